"""The DocumentReference of an HL7 v2 message, and the note around it.

Source: HL7 Version 2 to FHIR guide 1.0.0 (TXA and OBR segment maps), https://hl7.org/fhir/R4/documentreference.html.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import Message
from fhir_coder.ingest.hl7v2_encounter import Stay
from fhir_coder.ingest.hl7v2_practitioner import Person, entries_of
from fhir_coder.ingest.hl7v2_tables import Write
from fhir_coder.ingest.hl7v2_types import Json, entry, filled, instant, sender
from fhir_coder.ingest.identified import identified_url
from fhir_coder.ingest.patient import birth_date_of, sex_of
from fhir_coder.model import LOINC, Note, Origin, PassedOver

WITHDRAWN = "entered-in-error"

_CLINICAL_NOTE = {
    "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
    "code": "clinical-note",
    "display": "Clinical Note",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Whom a message is about: the entry of the Patient, and the stay where one is known."""

    patient: Json
    stay: Stay | None

    @property
    def entries(self) -> tuple[Json, ...]:
        """The entries, in an order in which references point back."""
        return (self.patient, *((*self.stay.practitioners, self.stay.entry) if self.stay else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that a message carries."""

    identifier: Json  # masterIdentifier, with its system
    write: Write
    text: str
    origins: tuple[Origin, ...] = ()  # where its parts stood in the message
    attachments: tuple[Json, ...] = ()  # the forms in which it came, where the text was made from them
    unread: tuple[InputError, ...] = ()  # why some of it gave no text
    type: Json  # CodeableConcept
    status: str = "current"
    doc_status: str | None = None
    date: datetime | None = None  # when it was made available
    written: datetime | None = None  # the time of what it tells
    authors: tuple[Person, ...] = ()
    authenticator: Person | None = None
    related: tuple[Json, ...] = ()  # identifiers of what it answers: an order
    is_written: bool = True  # whether there is to be a DocumentReference of it
    is_status_alone: bool = False  # only `doc_status` is told, of a document that came before
    replaces: tuple[Json, ...] = ()  # identifiers of the documents whose place it takes
    elements: Json = field(default_factory=dict)  # further elements of the DocumentReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a message says in words, and why some of it could not be read.

    All that a message may be refused for is looked at by then. The documents are mapped when they are called for,
    which raises nothing: a message that is only to be acknowledged is not mapped.
    """

    documents: tuple[Callable[[], Document], ...] = ()
    unread: tuple[InputError, ...] = ()


def note_of(case: Case, document: Document) -> Note:
    """Return the note of a document, with all that is written around it.

    A document that is taken back has no text to be coded; its DocumentReference says entered-in-error.
    """
    withdrawn = document.status == WITHDRAWN
    made = _document_entry(case, document)
    stay = case.stay.reference if case.stay else None
    people = (*document.authors, *((document.authenticator,) if document.authenticator else ()))
    known = {each["fullUrl"] for each in case.entries}
    practitioners = [each for each in entries_of(people) if each["fullUrl"] not in known]
    codings = document.type.get("coding", [])
    return Note(
        text="" if withdrawn else document.text,
        origins=() if withdrawn else document.origins,
        id=document.identifier["value"],
        subject=case.patient["fullUrl"],
        encounter=stay,
        document=made["fullUrl"],
        sex=sex_of(case.patient["resource"]),
        birth_date=birth_date_of(case.patient["resource"]),
        date=document.written,
        type_code=next((each["code"] for each in codings if each.get("system") == LOINC), None),
        doc_status=WITHDRAWN if withdrawn else document.doc_status,
        context=(*case.entries, *practitioners, made) if document.is_written else case.entries,
        replaces=tuple(_url(each) for each in document.replaces if each.get("system")),
        withdrawn=withdrawn or document.status == "superseded",
        is_status_alone=document.is_status_alone,
        passed_over=tuple(PassedOver(place=error.place, reason=str(error)) for error in document.unread),
    )


def _url(identifier: Json) -> str:
    return identified_url("DocumentReference", identifier["system"], identifier["value"])


def message_identifier(message: Message, place: str) -> Json:
    """Return an identifier of MSH-10, which a sender repeats when it sends the same message again.

    Raises `InputError` when the sender does not name itself: `place` is where a number with its authority would do.
    """
    return with_system({"system": sender(message), "value": message.value("MSH", 10)}, place)


def with_system(identifier: Json, place: str) -> Json:
    """Return the identifier. Raises `InputError` when it has no system: others may have the same number."""
    if not identifier.get("system"):
        raise InputError(
            "the document's number has no assigning authority; give "
            + ("the sender" if place == "MSH-4" else f"{place} or the sender")
            + " in MSH-4",
            place=place,
            code="required",
        )
    return identifier


def _document_entry(case: Case, document: Document) -> Json:
    resource = {
        "resourceType": "DocumentReference",
        "masterIdentifier": document.identifier,
        "status": document.status,
        "docStatus": document.doc_status,
        "type": document.type,
        "category": [{"coding": [_CLINICAL_NOTE]}],
        "subject": {"reference": case.patient["fullUrl"]},
        "date": instant(document.date),
        "author": [author.reference for author in document.authors],
        "authenticator": document.authenticator.reference if document.authenticator else None,
        "content": [{"attachment": attachment} for attachment in (_plain(document.text), *document.attachments)],
        "context": _context(case, document),
        **document.elements,
    }
    return entry(filled(resource), document.identifier, "create" if document.write == "create" else "update")


def _context(case: Case, document: Document) -> Json:
    return filled(
        {
            "encounter": [{"reference": case.stay.reference}] if case.stay else None,
            "related": [{"identifier": identifier} for identifier in document.related],
        }
    )


def _plain(text: str) -> Json:
    if not text:  # of a document that is taken back without its text; an attachment may not be empty
        return {"contentType": "text/plain; charset=utf-8", "title": "taken back"}
    raw = text.encode("utf-8")
    return {
        "contentType": "text/plain; charset=utf-8",
        "data": base64.b64encode(raw).decode("ascii"),
        "size": len(raw),
    }
