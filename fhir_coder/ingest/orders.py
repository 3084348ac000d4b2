"""What orders and referrals say in words (ORM, OMG, OML, REF; also ADT): a note of the comments and observations.

Source: HL7 v2.5.1, chapters 4 (orders) and 11 (referrals), sections 4.5.3 (OBR) and 2.4.10 (NTE).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_document import Document, Told, message_identifier
from fhir_coder.ingest.hl7v2_practitioner import people
from fhir_coder.ingest.hl7v2_text import Line, MessageText, origins_of, read_text, text_of
from fhir_coder.ingest.hl7v2_types import Json, concept, first_time
from fhir_coder.ingest.text import clean_text
from fhir_coder.model import LOINC
from fhir_coder.settings import Settings

_NOTE = {"coding": [{"system": LOINC, "code": "34109-9", "display": "Note"}]}
_REFERRAL = {"coding": [{"system": LOINC, "code": "57133-1", "display": "Referral note"}]}


def told_in_comments(message: Message, settings: Settings, *, follow: bool) -> Told:
    """Return one document of all that the message says in words; none when it says nothing.

    Raises `InputError`, with the field as its place, for what is missing or wrong.
    """
    lines: list[Line] = []
    attachments: list[Json] = []
    unread: list[InputError] = []
    for head, content in _parts(message):
        title = concept(message, head, 4).get("text", "") if head is not None else ""
        found = read_text(message, content, settings, title=title, follow=follow)
        said_here = request_lines(message, head) + found.lines
        if any(line.text.strip() for line in said_here):
            lines += (*heading(title, head), *said_here)
        attachments += found.attachments
        unread += found.unread
    if not lines:
        return Told(unread=tuple(unread))
    identifier = message_identifier(message, "MSH-4")
    text = clean_text(text_of(lines), settings, place="NTE-3")
    said = MessageText(lines=tuple(lines), attachments=tuple(attachments), unread=tuple(unread))
    return Told(documents=(partial(_document, message, identifier, text, said),), unread=said.unread)


def _document(message: Message, identifier: Json, text: str, said: MessageText) -> Document:
    times = [(message.first("ORC"), 9), (message.first("EVN"), 2), (message.first("MSH"), 7)]
    return Document(
        identifier=identifier,
        write="create",
        text=text,
        origins=origins_of(said.lines),
        attachments=said.attachments,
        unread=said.unread,
        type=dict(_REFERRAL if message.first("RF1") else _NOTE),
        date=first_time(message, times),
        written=first_time(message, times),
        authors=people(message, message.first("ORC"), 12)[:1],
    )


def heading(title: str, obr: Segment | None) -> tuple[Line, ...]:
    """Return the title of what an OBR asks for (OBR-4) as a line, where there is one."""
    return (Line(title, obr.place(4)),) if title and obr is not None else ()


def request_lines(message: Message, obr: Segment | None) -> tuple[Line, ...]:
    """Return what an OBR says in words about the patient: OBR-13 (clinical information), OBR-31 (reason)."""
    if obr is None:
        return ()
    reasons = [message.component(raw, 2) or message.component(raw, 1) for raw in message.repetitions(obr, 31)]
    information = [message.text(raw) for raw in message.repetitions(obr, 13)]
    said = (("Clinical information", information, 13), ("Reason for study", reasons, 31))
    return tuple(
        Line(f"{title}: {words}", obr.place(number))
        for title, values, number in said
        for words in values
        if words.strip()
    )


def _parts(message: Message) -> Iterator[tuple[Segment | None, list[Segment]]]:
    """Yield the comments and observations before the first OBR, then those of each OBR with it."""
    head: Segment | None = None
    content: list[Segment] = []
    for segment in message.segments:
        if segment.name == "OBR":
            yield head, content
            head, content = segment, []
        elif segment.name in ("OBX", "NTE"):
            content.append(segment)
    yield head, content
