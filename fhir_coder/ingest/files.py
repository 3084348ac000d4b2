"""Files and standard input: what kind each is, and the notes in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import parse, split_messages
from fhir_coder.ingest.intake import Intake
from fhir_coder.ingest.json_input import intakes_from_json
from fhir_coder.ingest.mdm import note_from_message
from fhir_coder.ingest.text import clean_text, decode_text
from fhir_coder.model import Note
from fhir_coder.settings import Settings

__all__ = ["Intake", "intakes_from_bytes", "intakes_from_hl7v2", "intakes_from_json", "read_path"]

Reader = Callable[[bytes, str, Settings], Iterator[Intake]]
_STDIN = "-"


def read_path(path: Path, settings: Settings) -> Iterator[Intake]:
    """Yield what `path` holds: a note (.txt), a DocumentReference or Bundle (.json), HL7 v2 messages (.hl7).

    "-" is standard input, whose kind is told by its first characters. Raises nothing: what cannot be read is
    an intake with an error, so that one bad input never stops the rest.
    """
    try:
        if str(path) == _STDIN:
            yield from intakes_from_bytes(_read(None, settings), "stdin", settings)
            return
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise UnsupportedError(
                "files with this ending are not read; give .txt, .json (FHIR) or .hl7", place=path.suffix or "file name"
            )
        raw = _read(path, settings)
    except InputError as error:
        yield Intake(source=str(path), error=error)
        return
    yield from reader(raw, str(path), settings)


def intakes_from_bytes(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    """Yield the intakes of bytes of unknown kind: JSON begins with "{", HL7 v2 with MSH or a batch header."""
    start = raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x0b")
    if start.startswith(b"{"):
        return intakes_from_json(raw, source, settings)
    if start[:3] in (b"MSH", b"FHS", b"BHS") and not start[3:4].isalnum():
        return intakes_from_hl7v2(raw, source, settings)
    return _intakes_from_text(raw, source, settings)


def intakes_from_hl7v2(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    """Yield an intake for each message in `raw`. Raises nothing."""
    messages = split_messages(raw)
    if not messages:
        error = InputError("the input holds no message; send HL7 v2 in ER7 form", place="MSH", code="required")
        yield Intake(source=source, error=error)
    for number, message in enumerate(messages, start=1):
        name = source if len(messages) == 1 else f"{source} message {number}"
        try:
            yield Intake(source=name, note=note_from_message(parse(message), settings))
        except InputError as error:
            yield Intake(source=name, error=error)


def _intakes_from_text(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    try:
        text = clean_text(decode_text(raw, "utf-8", place="text"), settings, place="text")
        yield Intake(source=source, note=Note(text=text, id=Path(source).name))
    except InputError as error:
        yield Intake(source=source, error=error)


def _read(path: Path | None, settings: Settings) -> bytes:
    """The bytes of a file, or of standard input, up to the limit."""
    try:
        if path is None:
            raw = sys.stdin.buffer.read(settings.max_body_bytes + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(settings.max_body_bytes + 1)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", code="not-found") from error
    if len(raw) > settings.max_body_bytes:
        raise InputError(
            f"the input is larger than the setting max_body_bytes ({settings.max_body_bytes}); split it or raise it",
            code="too-long",
        )
    return raw


_READERS: dict[str, Reader] = {
    ".txt": _intakes_from_text,
    ".json": intakes_from_json,
    ".hl7": intakes_from_hl7v2,
}
