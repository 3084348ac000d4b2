"""A FHIR R4 DocumentReference becomes a note: `attachment` finds and reads its text.

Source: https://hl7.org/fhir/R4/documentreference.html and https://hl7.org/fhir/R4/datatypes.html#Attachment
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fhir_coder.attachments.fetch import Permit
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.attachment import Taken, take_text
from fhir_coder.ingest.document_life import read_life
from fhir_coder.ingest.elements import checked_object, list_at, object_at, string_at
from fhir_coder.ingest.patient import birth_date_of, sex_of
from fhir_coder.ingest.reference import encounter_reference, patient_reference
from fhir_coder.model import LOINC, Note
from fhir_coder.settings import Settings

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_WITHDRAWN = "entered-in-error"
_NOTHING = Taken(text="", origins=(), place="", passed_over=())  # is read of a document that was entered in error


def note_from_document_reference(
    resource: Mapping[str, Any],
    settings: Settings,
    *,
    place: str = "DocumentReference",
    binaries: Mapping[str, Mapping[str, Any]] | None = None,
    permit: Permit | None = None,
) -> Note:
    """Return the note that the DocumentReference carries. `place` is its FHIRPath in what was sent.

    `binaries` are the Binary resources that came along with it, by what an attachment's url may call them. `permit`
    says what may be read of the FHIR server for whoever sent the document (`attachments.fetch`); without it, all.

    Without an id, `Note.document` stays None. A subject or encounter that is contained or given by
    `urn:` cannot be referred to from outside and stays None too.

    A document that was entered in error is a note without text that takes back what it gave. One that is superseded
    does so too; its text is read, for those who look at it.

    Raises `InputError` where the resource is wrong and `UnsupportedError` where it is right but not read: attachments
    of other types or without text, a subject that is not a Patient, and a document entered in error where the settings
    name no place in which anything could be taken back.
    """
    if resource.get("resourceType") != "DocumentReference":
        raise InputError(
            "the resource is not a DocumentReference; send a DocumentReference or a Bundle of them",
            place=f"{place}.resourceType",
            code="structure",
        )
    in_error = next((name for name in ("status", "docStatus") if resource.get(name) == _WITHDRAWN), None)
    if in_error and settings.out is None and settings.server is None:
        raise UnsupportedError(
            "the document is marked entered-in-error and is not coded; send its correction", place=f"{place}.{in_error}"
        )
    identifier = _resource_id(resource, place)
    patient = _contained_patient(resource)
    taken = _NOTHING
    if in_error is None:
        binaries = {**(binaries or {}), **_binaries(resource)}
        taken = take_text(_contents(resource, place), binaries, settings, place=f"{place}.content", permit=permit)
    life = read_life(resource, settings, place=place)
    return Note(
        text=taken.text,
        origins=taken.origins,
        attachment=taken.place or None,
        passed_over=taken.passed_over,
        id=identifier or _master_identifier(resource, place),
        subject=_subject(resource, place),
        encounter=_encounter(resource, place),
        sex=sex_of(patient),
        birth_date=birth_date_of(patient),
        document=f"DocumentReference/{identifier}" if identifier else None,
        date=_date(resource, place),
        type_code=_type_code(resource, place),
        doc_status=string_at(resource, "docStatus", place),
        names=life.names,
        replaces=life.replaces,
        repeats=life.repeats,
        withdrawn=in_error is not None or resource.get("status") == "superseded",
    )


def _contained_patient(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the contained Patient that is the subject, or an empty one."""
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    contained = resource.get("contained")
    for each in contained if isinstance(contained, list) else []:
        if isinstance(each, dict) and each.get("resourceType") == "Patient" and f"#{each.get('id')}" == reference:
            return each
    return {}


def _contents(resource: Mapping[str, Any], place: str) -> list[Any]:
    contents = list_at(resource, "content", place)
    if not contents:
        raise InputError(
            "the document has no attachment; give content[0].attachment with contentType text/plain and data",
            place=f"{place}.content",
            code="required",
        )
    return contents


def _binaries(resource: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The contained Binary resources, by the reference to them."""
    contained = resource.get("contained")
    return {
        f"#{each.get('id')}": each
        for each in (contained if isinstance(contained, list) else [])
        if isinstance(each, dict) and each.get("resourceType") == "Binary"
    }


def _resource_id(resource: Mapping[str, Any], place: str) -> str | None:
    identifier = string_at(resource, "id", place)
    if identifier is not None and not _ID.fullmatch(identifier):
        raise InputError(
            "the id is not a FHIR id: 1 to 64 letters, digits, '-' and '.'", place=f"{place}.id", code="value"
        )
    return identifier


def _master_identifier(resource: Mapping[str, Any], place: str) -> str | None:
    master = object_at(resource, "masterIdentifier", place) or {}
    system, value = (string_at(master, name, f"{place}.masterIdentifier") for name in ("system", "value"))
    # With its system: two hospitals may give two documents the same number.
    return f"{system}|{value}" if system and value else value


def _subject(resource: Mapping[str, Any], place: str) -> str | None:
    subject = object_at(resource, "subject", place)
    return patient_reference(subject, place=f"{place}.subject") if subject else None


def _encounter(resource: Mapping[str, Any], place: str) -> str | None:
    context = object_at(resource, "context", place)
    encounters = list_at(context, "encounter", f"{place}.context") if context else []
    for index, encounter in enumerate(encounters):
        here = f"{place}.context.encounter[{index}]"
        reference = encounter_reference(checked_object(encounter, here), place=here)
        if reference:
            return reference
    return None


def _date(resource: Mapping[str, Any], place: str) -> datetime | None:
    value = string_at(resource, "date", place)
    if value is None:
        return None
    try:
        if _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    raise InputError(
        "the date is not an instant: a date, a time with seconds and a zone", place=f"{place}.date", code="value"
    )


def _type_code(resource: Mapping[str, Any], place: str) -> str | None:
    concept = object_at(resource, "type", place)
    for index, coding in enumerate(list_at(concept, "coding", f"{place}.type") if concept else []):
        here = f"{place}.type.coding[{index}]"
        if checked_object(coding, here).get("system") == LOINC:
            return string_at(coding, "code", here)
    return None
