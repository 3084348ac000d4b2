"""The Patient of an HL7 v2 message, and the one that was merged into it.

Source: HL7 Version 2 to FHIR guide 1.0.0, PID and MRG segment maps. Demographics that cannot be read are left out:
the identifier alone decides who the patient is, and a note is not refused for a bad postal code.
"""

from __future__ import annotations

from typing import Literal

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_time import to_date, to_datetime
from fhir_coder.ingest.hl7v2_types import Json, addresses, cx, entry, filled, instant, names, sender_zone
from fhir_coder.ingest.identified import identified_url

# Where the identifier stands: PID-3; before v2.3 also in PID-2 (external) and PID-4 (alternate).
_IDENTIFIERS = (3, 2, 4)


def patient_identifiers(message: Message) -> list[Json]:
    """Return the Identifiers of PID-3. Raises `InputError` (place PID-3) when it identifies nobody."""
    identifiers = _identifiers(message, message.first("PID"), _IDENTIFIERS)
    if not identifiers:
        raise InputError("the message names no patient; give an identifier in PID-3", place="PID-3", code="required")
    _require_authority(identifiers[0], "PID-3.4")
    return identifiers


def patient_url(identifiers: list[Json]) -> str:
    """Return the fullUrl of the Patient that has these Identifiers; the first decides."""
    return identified_url("Patient", identifiers[0]["system"], identifiers[0]["value"])


def patient_entry(message: Message, identifiers: list[Json], write: Literal["create", "update"] = "create") -> Json:
    """Return the Patient of PID-5/7/8/11/29/30 who has these Identifiers (`patient_identifiers`)."""
    pid = message.first("PID")
    gender = mapped("PID-8", message.at(pid, 8).upper())
    resource = {
        "resourceType": "Patient",
        "identifier": identifiers,
        "name": names(message, pid, 5),
        "gender": gender.code if gender else None,
        "birthDate": to_date(message.at(pid, 7)),
        **_deceased(message, pid),
        "address": addresses(message, pid, 11),
    }
    return entry(filled(resource), identifiers[0], write)


def merged_identifiers(message: Message, survivor: str) -> list[Json]:
    """Return the Identifiers of MRG-1. Raises `InputError` (place MRG-1) when it names nobody, or `survivor`."""
    identifiers = _identifiers(message, message.first("MRG"), (1,))
    if not identifiers:
        raise InputError(
            "the message does not name the patient that is merged; give it in MRG-1", place="MRG-1", code="required"
        )
    _require_authority(identifiers[0], "MRG-1.4")
    if patient_url(identifiers) == survivor:
        raise InputError("the patient in MRG-1 is the one in PID-3; give the other one", place="MRG-1", code="value")
    return identifiers


def merged_entry(message: Message, identifiers: list[Json], survivor: str) -> Json:
    """Return the Patient of MRG-1 (`merged_identifiers`), no longer active and replaced by `survivor`."""
    resource = {
        "resourceType": "Patient",
        "identifier": identifiers,
        "active": False,
        "name": names(message, message.first("MRG"), 7),
        "link": [{"other": {"reference": survivor}, "type": "replaced-by"}],
    }
    return entry({name: value for name, value in resource.items() if value != []}, identifiers[0], "update")


def _identifiers(message: Message, segment: Segment | None, fields: tuple[int, ...]) -> list[Json]:
    """The identifiers of the first of the fields that has any."""
    for number in fields:
        found = [cx(message, raw) for raw in message.repetitions(segment, number) if message.component(raw, 1)]
        if found:
            return found
    return []


def _require_authority(identifier: Json, place: str) -> None:
    if "system" not in identifier:
        # An id alone is not unique across hospitals; a search for it could find another person.
        raise InputError(
            f"the patient identifier has no assigning authority; give {place} or MSH-4", place=place, code="required"
        )


def _deceased(message: Message, pid: Segment | None) -> Json:
    moment = to_datetime(message.at(pid, 29), sender_zone(message))
    if moment:
        return {"deceasedDateTime": instant(moment)}
    return {"deceasedBoolean": True} if message.at(pid, 30) == "Y" else {}
