"""A message of results (ORU, OUL) becomes a note for each report: an OBR with its OBX and NTE.

Source: HL7 v2.5.1, sections 7.3.1 (ORU) and 7.4.1 (OBR), and the HL7 Version 2 to FHIR guide 1.0.0 (OBR segment map).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_document import WITHDRAWN, Document, Told, message_identifier, with_system
from fhir_coder.ingest.hl7v2_practitioner import people_in_subcomponents
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_text import MessageText, origins_of, read_text, text_of
from fhir_coder.ingest.hl7v2_types import Json, concept, ei, filled, first_time
from fhir_coder.ingest.orders import heading, request_lines
from fhir_coder.ingest.text import clean_text
from fhir_coder.model import LOINC
from fhir_coder.settings import Settings

_ANY_NOTE = {"system": LOINC, "code": "34109-9", "display": "Note"}


@dataclass(frozen=True, slots=True)
class _Report:
    """An OBR, the ORC before it, and what belongs to it."""

    order: Segment | None  # ORC
    request: Segment | None  # OBR
    content: tuple[Segment, ...]


def told_in_results(message: Message, settings: Settings, *, follow: bool) -> Told:
    """Return a document for each report that says something, or is cancelled.

    Raises `InputError`, with the field as its place, for what is missing or wrong.
    """
    documents: list[Callable[[], Document]] = []
    known: Counter[str] = Counter()
    unread: list[InputError] = []
    for number, report in enumerate(_reports(message), start=1):
        title = concept(message, report.request, 4).get("text", "")
        found = read_text(message, report.content, settings, title=title, follow=follow)
        unread += found.unread
        if not found.is_blank or _is_cancelled(message, report):
            identifier, filler = _identifier(message, report, number)
            known[identifier["value"]] += 1
            identifier = _told_apart(identifier, known[identifier["value"]])
            lines = (*heading(title, report.request), *request_lines(message, report.request), *found.lines)
            # One that is cancelled and says nothing takes back what it gave.
            text = "" if found.is_blank else clean_text(text_of(lines), settings, place="OBX-5")
            said = MessageText(lines=lines, attachments=found.attachments, unread=found.unread)
            documents.append(partial(_document, message, report, title, identifier, filler, text, said))
    return Told(documents=tuple(documents), unread=tuple(unread))


def _document(
    message: Message, report: _Report, title: str, identifier: Json, filler: Json, text: str, said: MessageText
) -> Document:
    """The document of a report, whose text is "" when the report itself says nothing; `said` has its title too."""
    obr = report.request
    status = mapped("OBR-25", message.at(obr, 25))
    withdrawn = _is_cancelled(message, report)
    return Document(
        identifier=identifier,
        # A report that comes again under its number is a later version: preliminary, final, corrected.
        write="update" if filler else "create",
        # Most orders that are cancelled and say nothing never had a report.
        is_written=bool(text),
        text=text,
        origins=origins_of(said.lines),
        attachments=said.attachments,
        unread=said.unread,
        type=_type(message, obr, title),
        status=WITHDRAWN if withdrawn else "current",
        doc_status=status.code if status else None,
        date=first_time(message, [(obr, 22), (obr, 7), (message.first("MSH"), 7)]),
        written=first_time(message, [(obr, 7), (obr, 22), (message.first("MSH"), 7)]),
        authors=people_in_subcomponents(message, obr, 32)[:1],
        # Not as its identifier: a search for another document of that number would find this one.
        related=(filler,) if filler else (),
    )


def _is_cancelled(message: Message, report: _Report) -> bool:
    status = mapped("OBR-25", message.at(report.request, 25))
    return status is not None and status.code == WITHDRAWN


def _told_apart(identifier: Json, occurrence: int) -> Json:
    """A number of its own: a message may hold several reports of one filler's number and one code."""
    return identifier if occurrence == 1 else {**identifier, "value": f"{identifier['value']}/{occurrence}"}


def _reports(message: Message) -> list[_Report]:
    """The reports, and what stands before the first OBR (comments on the patient) with the first of them."""
    reports: list[_Report] = []
    order: Segment | None = None  # the last ORC; it goes with the OBR that follows
    head: tuple[Segment | None, Segment | None] = (None, None)
    content: list[Segment] = []
    for segment in message.segments:
        if segment.name == "ORC":
            order = segment
        elif segment.name == "OBR":
            if head[1] is not None:
                reports.append(_Report(*head, tuple(content)))
                content = []
            head, order = (order, segment), None
        elif segment.name in ("OBX", "NTE"):
            content.append(segment)
    return [*reports, _Report(*head, tuple(content))]


def _identifier(message: Message, report: _Report, number: int) -> tuple[Json, Json]:
    """The report's own identifier, and the number that its filler (or placer) gave it, where one did.

    Several reports of one specimen may share that number; with the code of what was asked for they differ.
    """
    places = ((report.request, 3), (report.order, 3), (report.request, 2), (report.order, 2))
    filler = next((found for segment, place in places if (found := ei(message, segment, place))), {})
    if not filler:
        own = message_identifier(message, "OBR-3.2")
        return {**own, "value": f"{own['value']}/{number}"}, {}
    with_system(filler, "OBR-3.2")
    code = message.at(report.request, 4) or "report"
    return {**filler, "value": f"{filler['value']}/{code}"}, filler


def _type(message: Message, obr: Segment | None, title: str) -> Json:
    """OBR-4 where it is LOINC, else a note, with the words of OBR-4."""
    stated = concept(message, obr, 4).get("coding", [])
    codings = [each for each in stated if each["system"] == LOINC]
    return filled({"coding": codings or [dict(_ANY_NOTE)], "text": title})
