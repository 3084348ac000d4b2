"""The messages of a file: bare, in MLLP frames, in a batch, or in parts that continue one another.

Source: HL7 v2.5.1, chapter 2, sections 2.10.2 (continuation: DSC, MSH-14) and 2.10.3 (batch: FHS, BHS, BTS, FTS).
"""

from __future__ import annotations

import codecs
import re
from itertools import pairwise

from fhir_coder.errors import InputError

_MESSAGE_START = re.compile(rb"^MSH(?=[^\w\s])", re.MULTILINE)
_ENVELOPE = re.compile(rb"^(?:FHS|BHS|BTS|FTS)(?:[^\w\s][^\n]*)?(?:\n|\Z)", re.MULTILINE)
_BATCH_START = re.compile(rb"^BHS(?=[^\w\s])", re.MULTILINE)
_BATCH_END = re.compile(rb"^BTS(?:[^\w\s]([0-9]{0,9})|$)", re.MULTILINE)
_CONTINUED = re.compile(rb"^DSC(.)([^\n]*)\n?", re.MULTILINE)
_CONTINUATION_FIELD = 13  # MSH-14, counted from the name MSH


def split_messages(raw: bytes) -> list[bytes]:
    """Return the messages of a file, with LF segment ends; the parts of one that was sent in parts are joined.

    What stands before the first MSH is returned as a message of its own, for `parse` to name as an error.
    """
    raw = _ENVELOPE.sub(b"", with_line_feeds(raw))
    starts = [match.start() for match in _MESSAGE_START.finditer(raw)]
    bounds = [0, *starts, len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(bounds)]
    return _joined([piece for piece in pieces if piece.strip()])


def with_line_feeds(raw: bytes) -> bytes:
    """Return the bytes with LF segment ends, without a byte order mark and without the marks of MLLP frames."""
    raw = raw.removeprefix(codecs.BOM_UTF8).translate(None, b"\x0b\x1c")
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def require_whole_batch(raw: bytes) -> None:
    """Raise `InputError` (place "BTS-1") when batches count other messages than there are.

    A batch need not end in BTS, nor BTS count; then nothing tells whether all is there.
    """
    raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    counts = _BATCH_END.findall(raw)
    if not counts or not all(counts) or len(counts) != len(_BATCH_START.findall(raw)):
        return
    stated, found = sum(map(int, counts)), len(_MESSAGE_START.findall(raw))
    if stated != found:
        raise InputError(
            f"the batch counts {stated} messages, {found} were found; some may be missing",
            place="BTS-1",
            code="incomplete",
        )


def _joined(pieces: list[bytes]) -> list[bytes]:
    """Append to each message that ends in DSC the one whose MSH-14 is the pointer of DSC-1."""
    whole: list[list[bytes]] = []
    waiting: dict[bytes, int] = {}  # pointer -> place of the message that it continues
    for piece in pieces:
        place = waiting.pop(continuation(piece), None) if waiting else None
        if place is None:
            place = len(whole)
            whole.append([])
        follows = pointer(piece)
        if follows is not None:
            waiting[follows] = place
        whole[place].append(piece)
    return [parts[0] if len(parts) == 1 else join(parts) for parts in whole]


def join(parts: list[bytes]) -> bytes:
    """Return the message of parts with LF segment ends, in their order."""
    bodies = [_CONTINUED.sub(b"", part) for part in parts]
    return b"".join((bodies[0], *(body.partition(b"\n")[2] for body in bodies[1:])))


def pointer(piece: bytes) -> bytes | None:
    """Return DSC-1 of a message with LF segment ends, or None when nothing follows it."""
    found = _CONTINUED.search(piece) if b"DSC" in piece else None
    return (found[2].split(found[1], 1)[0].strip() or None) if found else None


def continuation(piece: bytes) -> bytes:
    """Return MSH-14 of a message with LF segment ends, or b"" when it continues no other."""
    if not piece[3:4]:
        return b""
    fields = piece.partition(b"\n")[0].split(piece[3:4])
    return fields[_CONTINUATION_FIELD].strip() if len(fields) > _CONTINUATION_FIELD else b""
