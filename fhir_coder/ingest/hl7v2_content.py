"""What an HL7 v2 message holds for us: notes to be coded, and records that are written as they are.

Source: HL7 Version 2 to FHIR guide 1.0.0. Which messages are read, and how, is told by `mappings/hl7v2_messages.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_condition import diagnosis_entries, states_diagnosis
from fhir_coder.ingest.hl7v2_document import Case, Told, note_of
from fhir_coder.ingest.hl7v2_encounter import stay_of
from fhir_coder.ingest.hl7v2_patient import (
    merged_entry,
    merged_identifiers,
    patient_entry,
    patient_identifiers,
    patient_url,
)
from fhir_coder.ingest.hl7v2_tables import Kind, kind_of
from fhir_coder.ingest.hl7v2_types import Json
from fhir_coder.ingest.mdm import told_in_document
from fhir_coder.ingest.orders import told_in_comments
from fhir_coder.ingest.oru import told_in_results
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


class About(NamedTuple):  # as `hl7v2.Segment`: one is made for every message
    """What a message tells about one patient."""

    message: Message  # its head, and what follows that patient's PID
    patient: str  # URL
    has_notes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What was found by looking at the part of a message that is about one patient: it is taken, and not mapped yet."""

    message: Message
    kind: Kind
    identifiers: list[Json]  # of the patient
    merged: list[Json]  # identifiers of the patient who is merged into this one
    told: Told
    has_records: bool


def read_message(message: Message, settings: Settings) -> Content:
    """Return what the message holds, with the documents behind its pointers.

    Raises `UnsupportedError` for a message type that is not read, and for a note in a form that is not read, and
    `InputError`, with the field as its place, for what is missing or wrong.
    """
    parts = [_mapped(part, settings) for part in _look(message, settings, follow=True)]
    return Content(
        notes=tuple(note for part in parts for note in part.notes),
        records=tuple(record for part in parts for record in part.records),
        remark="" if any(part.notes for part in parts) else parts[0].remark,
        unread=tuple(error for part in parts for error in part.unread),
    )


def patients_of_message(message: Message, settings: Settings) -> list[About]:
    """Return the parts of the message that something comes of, each about one patient; none when nothing does.

    One that repeats PID is about several patients, or several times about one.

    Raises what `read_message` does, by the same look at the message, which it does not map: that takes most of the
    time. No pointer (RP) is followed.
    """
    return [
        About(message=part.message, patient=patient_url(part.identifiers), has_notes=bool(part.told.documents))
        for part in _look(message, settings, follow=False)
        if part.told.documents or part.has_records
    ]


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


def _look(message: Message, settings: Settings, *, follow: bool) -> list[_Looked]:
    """Look at the message for each patient, and raise whatever it is refused for: what comes later raises nothing.

    For `follow` see `hl7v2_data.read_pointer`.
    """
    kind = kind_of_message(message)
    if message.value("DSC", 1):
        raise InputError("the message goes on in another one, which is missing", place="DSC-1", code="incomplete")
    return [_look_at_one(part, kind, settings, follow=follow) for part in _patients(message)]


def _look_at_one(message: Message, kind: Kind, settings: Settings, *, follow: bool) -> _Looked:
    identifiers, merged, told = patient_identifiers(message), list[Json](), Told()
    if kind.reader == "merge":
        merged = merged_identifiers(message, patient_url(identifiers))
        has_records = settings.hl7v2_adt != "create"
    else:
        told = _told(message, kind, settings, follow=follow)
        has_records = kind.reader == "admission" or states_diagnosis(message)
        if told.unread and not (told.documents or has_records):
            raise told.unread[0]
    return _Looked(
        message=message, kind=kind, identifiers=identifiers, merged=merged, told=told, has_records=has_records
    )


def _told(message: Message, kind: Kind, settings: Settings, *, follow: bool) -> Told:
    if kind.reader == "results":
        return told_in_results(message, settings, follow=follow)
    if kind.reader == "document":
        return told_in_document(message, kind, settings, follow=follow)
    return told_in_comments(message, settings, follow=follow)


def _mapped(part: _Looked, settings: Settings) -> Content:
    if part.kind.reader == "merge":
        return _merge(part)
    message, kind = part.message, part.kind
    # Only messages of admission are the source for patient and stay; all others leave alone what is there.
    is_source = kind.reader == "admission"
    write: Literal["create", "update"] = "update" if is_source and settings.hl7v2_adt == "update" else "create"
    patient = patient_entry(message, part.identifiers, write)
    case = Case(patient=patient, stay=stay_of(message, patient["fullUrl"], status=kind.encounter, write=write))
    return Content(
        notes=tuple(note_of(case, document()) for document in part.told.documents),
        records=(*case.entries, *diagnosis_entries(message, case)) if part.has_records else (),
        remark="" if part.told.documents else _REMARKS[kind.reader],
        unread=part.told.unread,
    )


def _merge(part: _Looked) -> Content:
    if not part.has_records:
        return Content(remark="the setting hl7v2_adt leaves merged patients to the server's own")
    survivor = patient_entry(part.message, part.identifiers)
    merged = merged_entry(part.message, part.merged, survivor["fullUrl"])
    return Content(records=(survivor, merged), remark=_REMARKS["merge"])


_REMARKS = {
    "document": "the message announces a document or a change of its status; its text comes with another message",
    "results": "the message holds no value that is text or can be told as text",
    "admission": "the message holds no text; patient, stay and diagnoses are written as they came",
    "merge": "the message merges two patients; the merged one is marked as replaced",
    "referral": "the message holds no comment",
    "order": "the message holds no comment",
}
