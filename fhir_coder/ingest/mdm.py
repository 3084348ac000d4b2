"""An MDM message (a document with its text) becomes a note.

Source: HL7 v2.5.1, chapter 9, and the HL7 Version 2 to FHIR guide 1.0.0.
"""

from __future__ import annotations

from datetime import datetime

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_resources import document_entry, encounter_entry, patient_entry, sender_zone
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_time import to_datetime
from fhir_coder.ingest.patient import birth_date_of, sex_of
from fhir_coder.ingest.text import clean_text
from fhir_coder.model import LOINC, Note
from fhir_coder.settings import Settings


def note_from_message(message: Message, settings: Settings) -> Note:
    """Return the note of an MDM^T02, T04, T06, T08 or T10, with its Patient, Encounter and DocumentReference.

    Raises `UnsupportedError` for another message type, a withdrawn document or text that is not TX, FT or ST,
    and `InputError`, with the field as its place, for what is missing or wrong.
    """
    event = _event(message)
    if not message.value("MSH", 10):
        raise InputError("the message has no control id; give one", place="MSH-10", code="required")
    if message.first("TXA") is None:
        raise InputError("the message has no TXA segment; send the document's header", place="TXA", code="required")
    text = clean_text(_text(message), settings, place="OBX-5")
    patient = patient_entry(message)
    encounter = encounter_entry(message, patient["fullUrl"])
    document = document_entry(
        message,
        text,
        patient=patient["fullUrl"],
        encounter=encounter["fullUrl"] if encounter else None,
        relation=event,
    )
    resource = document["resource"]
    type_coding = resource["type"].get("coding", [{}])[0]
    return Note(
        text=text,
        id=resource["masterIdentifier"]["value"],
        subject=patient["fullUrl"],
        encounter=encounter["fullUrl"] if encounter else None,
        document=document["fullUrl"],
        sex=sex_of(patient["resource"]),
        birth_date=birth_date_of(patient["resource"]),
        date=_date(message),
        type_code=type_coding["code"] if type_coding.get("system") == LOINC else None,
        doc_status=resource.get("docStatus"),
        context=tuple(entry for entry in (patient, encounter, document) if entry is not None),
    )


def _event(message: Message) -> str:
    """The code of DocumentReference.relatesTo that the message's event stands for; "" for a first version."""
    kind, event = message.value("MSH", 9, 1), message.value("MSH", 9, 2)
    if not kind:
        raise InputError("the message type is missing; send MDM^T02", place="MSH-9", code="required")
    target = mapped("MSH-9", event) if kind == "MDM" else None
    if target is None:
        raise UnsupportedError(
            "the message type is not read; send a document with its text: MDM^T02, T04, T06, T08 or T10", place="MSH-9"
        )
    return target.code


def _text(message: Message) -> str:
    """The text of all OBX segments, each repetition on a line of its own."""
    observations = [segment for segment in message.segments if segment.name == "OBX"]
    if not observations:
        raise InputError("the message has no OBX segment; send the text in OBX-5", place="OBX", code="required")
    valid = [segment for segment in observations if not mapped("OBX-11", _field(message, segment, 11))]
    lines = [
        message.text(repetition)
        for segment in valid
        if mapped("OBX-2", _field(message, segment, 2))
        for repetition in message.repetitions(segment, 5) or ("",)
    ]
    if not lines and valid:
        raise UnsupportedError("no OBX holds text; send the note as TX, FT or ST", place="OBX-2")
    return "\n".join(lines)


def _field(message: Message, segment: Segment, field: int) -> str:
    repetitions = message.repetitions(segment, field)
    return message.component(repetitions[0], 1) if repetitions else ""


def _date(message: Message) -> datetime | None:
    """When the document was written: TXA-6 (origination), else TXA-4 (activity), else MSH-7 (the message)."""
    values = (message.value("TXA", 6), message.value("TXA", 4), message.value("MSH", 7))
    dates = (to_datetime(value, sender_zone(message)) for value in values)
    return next((date for date in dates if date is not None), None)
