"""The note itself, when it came as bare text: https://hl7.org/fhir/R4/documentreference.html."""

from __future__ import annotations

import base64

from fhir_coder.fhir.elements import OURS, US_CORE, Json, Source, date_time, fixed, identifier, subject
from fhir_coder.model import LOINC, Note

PROFILES = (US_CORE + "us-core-documentreference", OURS + "coded-document-reference")

_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
_ANY_NOTE = ("34109-9", "Note")


def document_reference(note: Note, source: Source, identity: str) -> Json:
    """Return the DocumentReference that holds the note's text.

    It bears no AI label: its content was not made by a machine.
    """
    attachment: Json = {"contentType": "text/plain; charset=utf-8"}
    if note.text:
        attachment["data"] = base64.b64encode(note.text.encode("utf-8", "replace")).decode("ascii")
    resource: Json = {
        "resourceType": "DocumentReference",
        **_profiles(note, source),
        "identifier": identifier(identity),
        "status": "current",
        "type": _type(note.type_code),
        "category": [fixed(_CATEGORY, "clinical-note", "Clinical Note")],
        "subject": subject(source),
        "content": [{"attachment": attachment}],
    }
    if note.doc_status:
        resource["docStatus"] = note.doc_status
    if note.date:
        attachment["creation"] = date_time(note.date)
        if note.date.tzinfo is not None:  # `date` is an instant
            resource["date"] = date_time(note.date)
    if source.encounter:
        resource["context"] = {"encounter": [{"reference": source.encounter}]}
    return resource


def _profiles(note: Note, source: Source) -> Json:
    """Return the profiles, which a document without a patient or text does not meet (us-core-6)."""
    return {"meta": {"profile": list(PROFILES)}} if source.subject and note.text else {}


def _type(code: str | None) -> Json:
    if code is None or code == _ANY_NOTE[0]:
        return fixed(LOINC, *_ANY_NOTE)
    return {"coding": [{"system": LOINC, "code": code}]}
