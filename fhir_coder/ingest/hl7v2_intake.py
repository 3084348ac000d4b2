"""The intakes of HL7 v2 messages, out of files and out of the inbox alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from fhir_coder.errors import InputError, SettingsError
from fhir_coder.ingest.hl7v2 import Message, parse, written_like
from fhir_coder.ingest.hl7v2_batch import require_whole_batch, split_messages
from fhir_coder.ingest.hl7v2_content import About, Content, patients_of_message, read_message
from fhir_coder.ingest.hl7v2_structure import require_structure
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_unmapped import unmapped_fields
from fhir_coder.ingest.intake import Intake
from fhir_coder.settings import Settings

_MOST_SHARES = 1_000  # of one message
_MOST_REPEATED = 4  # times the size of a message, of what its head takes in all shares


class Share(NamedTuple):  # as `Segment`: one is made for every message
    """What is stored of a message, to be coded by itself: all of it, or what is about one patient."""

    raw: bytes
    patient: str | None  # URL; None when nothing comes of it


class Look(NamedTuple):
    """A message that was looked at."""

    message: Message
    shares: Sequence[Share]


def intakes_from_hl7v2(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    """Yield the intakes of each message in `raw`. Raises nothing."""
    messages = split_messages(raw)
    try:
        require_whole_batch(raw)
    except InputError as cut_off:
        yield Intake(source=source, error=cut_off)
    if not messages:
        nothing = InputError("the input holds no message; send HL7 v2 in ER7 form", place="MSH", code="required")
        yield Intake(source=source, error=nothing)
    for number, message in enumerate(messages, start=1):
        name = source if len(messages) == 1 else f"{source} message {number}"
        try:
            parsed, content = read_raw(message, settings)
        except InputError as error:
            yield Intake(source=name, error=error)
        else:
            yield from _intakes(name, parsed, content)


def require_default_charset(settings: Settings) -> None:
    """Raise `SettingsError` when the setting hl7v2_charset names no character set that is read."""
    if mapped("MSH-18", settings.hl7v2_charset.upper()) is None:
        raise SettingsError(
            f"setting hl7v2_charset: {settings.hl7v2_charset} is not read; give a name of HL7 table 0211 (8859/1)"
        )


def read_raw(raw: bytes, settings: Settings) -> tuple[Message, Content]:
    """Return a message and what it holds. Raises `InputError` for what is missing, wrong or not read."""
    message = _parsed(raw, settings)
    return message, read_message(message, settings)


def look_at_raw(raw: bytes, settings: Settings) -> Look:
    """Return a message and its shares, for one that is to be acknowledged at once and read later.

    What is about several patients is shared out, so that each patient's share waits for what came before of that
    patient, and for nothing else.

    Raises what `read_raw` does, but follows no pointer (RP): the sender does not wait for other servers.
    """
    message = _parsed(raw, settings)
    about = patients_of_message(message, settings)
    several = len(about) > 1 and len({each.patient for each in about}) > 1
    return Look(message, (several and _shares(about, raw, settings)) or (Share(raw, _main_patient(about)),))


def _main_patient(about: Sequence[About]) -> str | None:
    """Return the first who has a note, else the first."""
    return next((each.patient for each in about if each.has_notes), about[0].patient if about else None)


def _shares(about: Sequence[About], raw: bytes, settings: Settings) -> Sequence[Share]:
    """Return a message for each patient, or none where they would not say the same, or be too many."""
    shares: list[Share] = []
    most = _MOST_REPEATED * len(raw)
    try:
        for each in about[: _MOST_SHARES + 1]:
            share = Share(written_like(each.message, raw), each.patient)
            most -= len(share.raw)
            if most < 0 or len(shares) == _MOST_SHARES or not _is_same(_parsed(share.raw, settings), each.message):
                return ()
            shares.append(share)
    except (UnicodeError, InputError):
        return ()
    return shares


def _is_same(one: Message, other: Message) -> bool:
    return [each[:2] for each in one.segments] == [each[:2] for each in other.segments]  # name and fields


def _parsed(raw: bytes, settings: Settings) -> Message:
    message = parse(raw, settings.hl7v2_charset)
    if settings.hl7v2_validation == "refuse":
        require_structure(message)
    return message


def _intakes(name: str, message: Message, content: Content) -> Iterator[Intake]:
    many = len(content.notes) > 1
    intakes = [
        Intake(source=f"{name} report {number}" if many else name, note=note)
        for number, note in enumerate(content.notes, start=1)
    ]
    if content.records or not intakes:
        intakes.insert(0, Intake(source=name, records=content.records, remark=content.remark))
    # What is told of the message as a whole is told once, with the first intake.
    yield replace(intakes[0], unread=content.unread, unmapped=unmapped_fields(message))
    yield from intakes[1:]
