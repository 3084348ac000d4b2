"""What an HL7 v2 message holds for us: notes to be coded, and records that are written as they are.

Source: HL7 Version 2 to FHIR guide 1.0.0. Which messages are read, and how, is told by `mappings/hl7v2_messages.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_condition import diagnosis_entries
from fhir_coder.ingest.hl7v2_document import Case, Told
from fhir_coder.ingest.hl7v2_encounter import stay_of
from fhir_coder.ingest.hl7v2_patient import merged_entry, patient_entry
from fhir_coder.ingest.hl7v2_tables import Kind, kind_of
from fhir_coder.ingest.hl7v2_types import Json
from fhir_coder.ingest.mdm import note_from_document
from fhir_coder.ingest.orders import note_from_comments
from fhir_coder.ingest.oru import notes_from_results
from fhir_coder.model import Note
from fhir_coder.settings import Settings

_READ = (
    "MDM^T01 to T11, ORU^R01, OUL, ADT^A01 to A16, A25 to A28, A31, A38, A40, A60, REF, ORM, OMG^O19, OML^O21, "
    "RDE^O11, BAR or DFT"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a message holds."""

    notes: tuple[Note, ...] = ()
    # Transaction entries that are written before the notes, coded or not: Patient, Encounter, Conditions.
    records: tuple[Json, ...] = ()
    remark: str = ""  # why there is no note, where there is none
    unread: tuple[InputError, ...] = ()  # parts that gave no text, though others did


def read_message(message: Message, settings: Settings, *, follow: bool = True) -> Content:
    """Return what the message holds. For `follow` see `hl7v2_data.read_pointer`.

    Raises `UnsupportedError` for a message type that is not read, and for a note in a form that is not read, and
    `InputError`, with the field as its place, for what is missing or wrong.
    """
    kind = kind_of_message(message)
    if message.value("DSC", 1):
        raise InputError("the message goes on in another one, which is missing", place="DSC-1", code="incomplete")
    parts = [_read(part, kind, settings, follow=follow) for part in _patients(message)]
    return Content(
        notes=tuple(note for part in parts for note in part.notes),
        records=tuple(record for part in parts for record in part.records),
        remark="" if any(part.notes for part in parts) else parts[0].remark,
        unread=tuple(error for part in parts for error in part.unread),
    )


def kind_of_message(message: Message) -> Kind:
    """Return how the message is read. Before v2.3 the event may stand in EVN-1 alone.

    Raises `UnsupportedError` for a type that is not read, and `InputError` when type or control id are missing.
    """
    if not message.value("MSH", 10):
        raise InputError("the message has no control id; give one", place="MSH-10", code="required")
    type_, event, structure = (message.value("MSH", 9, component) for component in (1, 2, 3))
    if not type_:
        raise InputError("the message type is missing; send MDM^T02", place="MSH-9", code="required")
    found = kind_of(type_, event or message.value("EVN", 1) or structure.rpartition("_")[2])
    if found is None:
        raise UnsupportedError(f"the message type is not read; send {_READ}", place="MSH-9")
    return found


def _patients(message: Message) -> Iterator[Message]:
    """Yield a message for each patient: some types repeat PID, and what follows it is about that patient alone."""
    starts = [place for place, segment in enumerate(message.segments) if segment.name == "PID"]
    if len(starts) < 2:
        yield message
        return
    head: tuple[Segment, ...] = message.segments[: starts[0]]
    for start, end in zip(starts, [*starts[1:], len(message.segments)], strict=True):
        yield Message(message.delimiters, message.charset, (*head, *message.segments[start:end]))


def _read(message: Message, kind: Kind, settings: Settings, *, follow: bool) -> Content:
    if kind.reader == "merge":
        return _merge(message, settings)
    # Only messages of admission are the source for patient and stay; all others leave alone what is there.
    is_source = kind.reader == "admission"
    write: Literal["create", "update"] = "update" if is_source and settings.hl7v2_adt == "update" else "create"
    patient = patient_entry(message, write)
    case = Case(patient=patient, stay=stay_of(message, patient["fullUrl"], status=kind.encounter, write=write))
    told = _told(message, kind, case, settings, follow=follow)
    diagnoses = diagnosis_entries(message, case)
    if not (told.notes or diagnoses or is_source) and told.unread:
        raise told.unread[0]
    return Content(
        notes=told.notes,
        records=(*case.entries, *diagnoses) if is_source or diagnoses else (),
        remark="" if told.notes else _REMARKS[kind.reader],
        unread=told.unread,
    )


def _told(message: Message, kind: Kind, case: Case, settings: Settings, *, follow: bool) -> Told:
    if kind.reader == "results":
        return notes_from_results(message, case, settings, follow=follow)
    if kind.reader == "document":
        return note_from_document(message, kind, case, settings, follow=follow)
    return note_from_comments(message, case, settings, follow=follow)


def _merge(message: Message, settings: Settings) -> Content:
    survivor = patient_entry(message)
    merged = merged_entry(message, survivor)
    if settings.hl7v2_adt == "create":
        return Content(remark="the setting hl7v2_adt leaves merged patients to the server's own")
    return Content(records=(survivor, merged), remark=_REMARKS["merge"])


_REMARKS = {
    "document": "the message announces a document or a change of its status; its text comes with another message",
    "results": "the message holds no value that is text or can be told as text",
    "admission": "the message holds no text; patient, stay and diagnoses are written as they came",
    "merge": "the message merges two patients; the merged one is marked as replaced",
    "referral": "the message holds no comment",
    "order": "the message holds no comment",
}
