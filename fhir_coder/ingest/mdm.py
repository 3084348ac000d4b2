"""An MDM message (a document with its header, TXA) becomes a note.

Source: HL7 v2.5.1, chapter 9, and the HL7 Version 2 to FHIR guide 1.0.0 (TXA segment map).
"""

from __future__ import annotations

from functools import partial

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_document import WITHDRAWN, Document, Told, message_identifier, with_system
from fhir_coder.ingest.hl7v2_practitioner import people
from fhir_coder.ingest.hl7v2_tables import Kind, code_system, mapped
from fhir_coder.ingest.hl7v2_text import MessageText, origins_of, read_text, text_of
from fhir_coder.ingest.hl7v2_types import Json, code, ei, filled, first_time, present
from fhir_coder.ingest.text import clean_text
from fhir_coder.model import LOINC
from fhir_coder.settings import Settings

_DOCUMENT_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0270"
_UNKNOWN = {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK", "display": "unknown"}


def told_in_document(message: Message, kind: Kind, settings: Settings, *, follow: bool) -> Told:
    """Return the document of an MDM message; none when it only announces a document and holds no OBX (T01, T03...).

    A document that is taken back (T11, or TXA-19 is CA) has no text.

    Raises `InputError`, with the field as its place, for what is missing or wrong.
    """
    txa = message.first("TXA")
    if txa is None:
        raise InputError("the message has no TXA segment; send the document's header", place="TXA", code="required")
    availability = mapped("TXA-19", message.at(txa, 19))
    status = availability.code if availability else "current"
    if kind.write == "withdraw":
        status = WITHDRAWN
    has_content = any(segment.name in ("OBX", "NTE") for segment in message.segments)
    if not has_content and status != WITHDRAWN:
        if _announces(message):
            return _status_alone(message, txa)
        raise InputError("the message has no OBX segment; send the text in OBX-5", place="OBX", code="required")
    found = read_text(message, message.segments, settings, follow=follow)
    if not found.lines and found.unread and status != WITHDRAWN:
        return Told(unread=found.unread)
    identifier, text = _identifier(message, txa), text_of(found.lines)
    text = clean_text(text, settings, place="OBX-5") if text.strip() or status != WITHDRAWN else ""
    return Told(
        documents=(partial(_document, message, txa, kind, status, identifier, text, found),), unread=found.unread
    )


def _document(
    message: Message, txa: Segment, kind: Kind, status: str, identifier: Json, text: str, found: MessageText
) -> Document:
    parent = ei(message, txa, 13)
    completion = mapped("TXA-17", message.at(txa, 17))
    authenticators = people(message, txa, 10)
    msh = message.first("MSH")
    return Document(
        identifier=identifier,
        write=kind.write if status != WITHDRAWN else "withdraw",
        text=text,
        origins=origins_of(found.lines),
        attachments=found.attachments,
        unread=found.unread,
        type=_type(message, txa),
        status=status,
        doc_status=WITHDRAWN if status == WITHDRAWN else completion.code if completion else None,
        date=first_time(message, [(txa, 6)]),
        written=first_time(message, [(txa, 6), (txa, 4), (msh, 7)]),
        authors=people(message, txa, 9)[:1],
        authenticator=authenticators[0] if authenticators else None,
        replaces=(parent,) if parent and kind.relation == "replaces" else (),
        elements=_elements(message, txa, kind.relation),
    )


def _status_alone(message: Message, txa: Segment) -> Told:
    """A change of status (T03), which is about the text that came before; other announcements say nothing yet."""
    completion = mapped("TXA-17", message.at(txa, 17))
    if message.value("MSH", 9, 2) != "T03" or completion is None:
        return Told()
    document = partial(
        Document,
        identifier=_identifier(message, txa),
        write="update",
        text="",
        is_written=False,
        is_status_alone=True,
        type=_type(message, txa),
        doc_status=completion.code,
    )
    return Told(documents=(document,))


def _announces(message: Message) -> bool:
    """Whether the event is one of those without content: the odd ones."""
    event = message.value("MSH", 9, 2)
    return event[-1:].isdigit() and int(event[-1]) % 2 == 1


def _identifier(message: Message, txa: Segment) -> Json:
    found = ei(message, txa, 12)
    if "value" in found:
        return with_system(found, "TXA-12.2")
    return message_identifier(message, "TXA-12.2")


def _elements(message: Message, txa: Segment, relation: str) -> Json:
    parent = ei(message, txa, 13)
    confidentiality = mapped("TXA-18", message.at(txa, 18))
    return filled(
        {
            "identifier": present([filled({"value": message.at(txa, 16)})]),
            "relatesTo": [{"code": relation, "target": {"identifier": parent}}] if relation and parent else None,
            "description": message.at(txa, 25),
            "securityLabel": [{"coding": [confidentiality.coding()]}] if confidentiality else None,
        }
    )


def _type(message: Message, txa: Segment) -> Json:
    """TXA-2: LOINC when it is LOINC or the table maps it, else the code as it came."""
    value, display, system = (code(message.at(txa, 2, component)) for component in (1, 2, 3))
    if value and system and code_system(system) == LOINC:
        return {"coding": [filled({"system": LOINC, "code": value, "display": display})]}
    target = mapped("TXA-2", value)
    if target:
        return {"coding": [target.coding()]}
    if value and system in ("", "HL70270"):
        return {"coding": [filled({"system": _DOCUMENT_TYPE, "code": value, "display": display})]}
    return filled({"coding": [dict(_UNKNOWN)], "text": display or value})
