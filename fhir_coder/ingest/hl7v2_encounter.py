"""The Encounter of an HL7 v2 message.

Source: HL7 Version 2 to FHIR guide 1.0.0, PV1 segment map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhir_coder.ingest.hl7v2 import Message
from fhir_coder.ingest.hl7v2_practitioner import Person, entries_of, people
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_time import to_datetime
from fhir_coder.ingest.hl7v2_types import Json, code, cx, entry, filled, instant, sender_zone

_PATIENT_CLASS = "http://terminology.hl7.org/CodeSystem/v2-0004"
_UNKNOWN = {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK", "display": "unknown"}
_CANCELLED = "cancelled"  # an admission that was taken back, though it may say when it would have ended
_PARTICIPANTS = (7, 8, 9, 17)  # attending, referring, consulting, admitting


@dataclass(frozen=True, slots=True)
class Stay:
    """The entry of an Encounter and those of its participants."""

    entry: Json
    practitioners: tuple[Json, ...]

    @property
    def reference(self) -> str:
        """How other resources of the Bundle refer to the Encounter."""
        return str(self.entry["fullUrl"])


def stay_of(
    message: Message, patient: str, *, status: str = "", write: Literal["create", "update"] = "create"
) -> Stay | None:
    """Return the Encounter of PV1-2/7/8/9/17/19/44/45, or None when PV1-19 gives it no identity.

    `status` is what the message's event tells; a stay that has ended is finished whatever the event.
    """
    pv1 = message.first("PV1")
    repetitions = message.repetitions(pv1, 19)
    identifier = cx(message, repetitions[0]) if repetitions else {}
    if "value" not in identifier or "system" not in identifier:
        return None
    start, end = (to_datetime(message.at(pv1, number), sender_zone(message)) for number in (44, 45))
    participants = {number: people(message, pv1, number) for number in _PARTICIPANTS}
    resource = {
        "resourceType": "Encounter",
        "identifier": [identifier],
        # Whether the stay goes on is known only once it has ended, or when the event says so.
        "status": "finished" if end and status != _CANCELLED else status or "unknown",
        "class": _patient_class(message.at(pv1, 2)),
        "subject": {"reference": patient},
        "participant": [_participant(number, each) for number, found in participants.items() for each in found],
        "period": filled({"start": instant(start), "end": instant(end)}),
    }
    everybody = tuple(each for found in participants.values() for each in found)
    return Stay(entry(filled(resource), identifier, write), tuple(entries_of(everybody)))


def _participant(number: int, person: Person) -> Json:
    role = mapped("PV1-participant", str(number))
    return filled({"type": [{"coding": [role.coding()]}] if role else None, "individual": person.reference})


def _patient_class(value: str) -> Json:
    """PV1-2 as v3 ActCode where the guide maps it, else the v2 code itself (the binding is extensible)."""
    value = code(value)
    target = mapped("PV1-2", value)
    if target:
        return target.coding()
    return {"system": _PATIENT_CLASS, "code": value} if value else dict(_UNKNOWN)
