"""Files, folders and standard input: what kind each is, and what is in it."""

from __future__ import annotations

import glob
import gzip
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, cast

import orjson

from fhir_coder.attachments.read import evident_format, read_attachment
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2_intake import intakes_from_hl7v2
from fhir_coder.ingest.intake import Intake
from fhir_coder.ingest.json_input import intakes_from_json
from fhir_coder.ingest.text import clean_text, decode_text
from fhir_coder.model import Note
from fhir_coder.settings import Settings

__all__ = ["Intake", "files_of", "intakes_from_bytes", "intakes_from_hl7v2", "intakes_from_json", "read_path"]

Reader = Callable[[bytes, str, Settings], Iterator[Intake]]
_STDIN = "-"
_GZIP = ".gz"
_GZIP_START = b"\x1f\x8b"
_NDJSON = ".ndjson"
# Resources of a bulk export that hold no note; a line of another kind is no fault.
_NOTES = ("DocumentReference", "Bundle")


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that are meant: a folder's (with its subfolders', in order), a pattern's, or the path itself.

    Hidden files are left out. A pattern without a match is yielded as it is, to be named as missing.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.is_file() and not _hidden(each, path))
        elif glob.has_magic(str(path)) and not path.exists():
            matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
            yield from files_of(matches) if matches else iter((path,))
        else:
            yield path


def read_path(path: Path, settings: Settings) -> Iterator[Intake]:
    """Yield what `path` holds: a note (.txt, .html, .rtf, .pdf, .xml), a DocumentReference or Bundle (.json), one on
    each line (.ndjson), HL7 v2 messages (.hl7); each may be compressed (.gz).

    "-" is standard input, whose kind is told by its first characters. Raises nothing: what cannot be read is
    an intake with an error, so that one bad input never stops the rest.
    """
    try:
        if str(path) == _STDIN:
            yield from intakes_from_bytes(_read_all(sys.stdin.buffer, settings), "stdin", settings)
            return
        if _kind(path) == _NDJSON:
            yield from _intakes_from_lines(path, settings)
            return
        reader = _reader(path)
        with path.open("rb") as file:
            raw = _read_all(file, settings)
    except InputError as error:
        yield Intake(source=str(path), error=error)
    except OSError as error:
        yield Intake(source=str(path), error=_unreadable(error))
    else:
        yield from reader(raw, str(path), settings)


def read_content(path: Path, content: bytes, settings: Settings) -> Iterator[Intake]:
    """Yield what a file holds whose bytes are at hand; its name tells the kind, as in `read_path`, .ndjson left out."""
    try:
        reader = _reader(path)
        raw = _read_all(BufferedReader(BytesIO(content)), settings)
    except InputError as error:
        yield Intake(source=str(path), error=error)
    else:
        yield from reader(raw, str(path), settings)


def _kind(path: Path) -> str:
    return path.with_suffix("").suffix.lower() if path.suffix.lower() == _GZIP else path.suffix.lower()


def _reader(path: Path) -> Reader:
    reader = _READERS.get(_kind(path))
    if reader is None:
        raise UnsupportedError(
            "files with this ending are not read; give .txt, .html, .rtf, .pdf, .xml (CDA), .json or .ndjson "
            "(FHIR) or .hl7",
            place=path.suffix or "file name",
        )
    return reader


def intakes_from_bytes(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    """Yield the intakes of bytes of unknown kind: JSON begins with "{", HL7 v2 with MSH or a batch header.

    RTF (which begins with "{" too), HTML, PDF and CDA are known by their first bytes; all else is text.
    """
    if evident_format(raw):
        return _intakes_from_attachment(raw, source, settings)
    start = raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x0b")
    if start.startswith(b"{"):
        return intakes_from_json(raw, source, settings)
    if start[:3] in (b"MSH", b"FHS", b"BHS") and not start[3:4].isalnum():
        return intakes_from_hl7v2(raw, source, settings)
    return _intakes_from_text(raw, source, settings)


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _intakes_from_text(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    try:
        text = clean_text(decode_text(raw, "utf-8", place="text"), settings, place="text")
        yield Intake(source=source, note=Note(text=text, id=Path(source).name))
    except InputError as error:
        yield Intake(source=source, error=error)


def _intakes_from_attachment(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    name = Path(source.removesuffix(_GZIP))
    place = name.suffix or source
    try:
        found = read_attachment(raw, _ATTACHMENTS.get(name.suffix.lower(), _ANY), settings, place=place)
        text = clean_text(found.text, settings, place=place)
        yield Intake(source=source, note=Note(text=text, id=Path(source).name, origins=found.origins))
    except InputError as error:
        yield Intake(source=source, error=error)


def _intakes_from_lines(path: Path, settings: Settings) -> Iterator[Intake]:
    """One FHIR resource on each line (bulk data). The file may be of any length, a line as long as a body."""
    others = 0
    with path.open("rb") as file:
        lines = _unpacked(file)
        number = 0
        while True:
            number += 1
            source = f"{path} line {number}"
            try:
                line = lines.readline(settings.max_body_bytes + 2)
            except (OSError, EOFError, zlib.error) as error:
                yield Intake(source=source, error=_unreadable(error))
                return
            if not line:
                break
            if len(line) > settings.max_body_bytes + 1:
                yield Intake(source=source, error=_too_long(settings))
                return
            if holds_note(line):
                yield from intakes_from_json(line, source, settings)
            elif line.strip():
                others += 1
    if others:
        yield Intake(source=str(path), remark=f"{others} lines hold no DocumentReference")


def holds_note(line: bytes) -> bool:
    """Whether a line of bulk data is to be read: other resources are no notes, and what is not JSON is to be named."""
    if not line.strip():
        return False
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        return True
    return not isinstance(resource, dict) or resource.get("resourceType") in _NOTES


def _read_all(file: IO[bytes], settings: Settings) -> bytes:
    """All bytes, unpacked, up to the limit."""
    try:
        raw = _unpacked(file).read(settings.max_body_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(error) from error
    if len(raw) > settings.max_body_bytes:
        raise _too_long(settings)
    return raw


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    """The file, unpacked as it is read where its first bytes say gzip: a bomb grows no further than the limit."""
    start = file.peek(2)[:2] if hasattr(file, "peek") else b""
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if start == _GZIP_START else file


def _unreadable(error: Exception) -> InputError:
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        return InputError("the file is no whole gzip file; it may have been cut off", place="gzip", code="structure")
    strerror = error.strerror if isinstance(error, OSError) else type(error).__name__
    return InputError(f"the file cannot be read: {strerror}", code="not-found")


def _too_long(settings: Settings) -> InputError:
    return InputError(
        f"the input is larger than the setting max_body_bytes ({settings.max_body_bytes}); split it or raise it",
        code="too-long",
    )


_ANY = "application/octet-stream"
_ATTACHMENTS = {
    ".html": "text/html",
    ".htm": "text/html",
    ".rtf": "application/rtf",
    ".pdf": "application/pdf",
    ".xml": "application/xml",
}
_READERS: dict[str, Reader] = {
    ".txt": _intakes_from_text,
    ".json": intakes_from_json,
    ".hl7": intakes_from_hl7v2,
    **dict.fromkeys(_ATTACHMENTS, _intakes_from_attachment),
}
