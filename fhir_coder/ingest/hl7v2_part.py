"""Messages that are sent in parts: each part is a message of its own, with a pointer to the one that follows.

Source: HL7 v2.5.1, chapter 2, section 2.10.2 (DSC-1 names the pointer, and MSH-14 of the part that follows repeats it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_coder.ingest.hl7v2 import read_header
from fhir_coder.ingest.hl7v2_batch import continuation, join, pointer, with_line_feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a message."""

    sender: str  # MSH-3 and MSH-4: pointers are a sender's own
    continues: str  # MSH-14; "" in the first part
    pointer: str  # DSC-1; "" in the last part
    raw: bytes = field(repr=False)  # with LF segment ends


def may_be_part(raw: bytes) -> bool:
    """Tell quickly whether `part_of` is worth a look: it is not for nearly all messages."""
    return b"DSC" in raw or bool(continuation(raw[:4096].replace(b"\r", b"\n")))


def part_of(raw: bytes) -> Part | None:
    """Return the part that a message is, or None when it is whole. Raises `InputError` when it has no header."""
    if not may_be_part(raw):
        return None
    piece = with_line_feeds(raw)
    follows, continued = pointer(piece) or b"", continuation(piece)
    if not follows and not continued:
        return None
    header = read_header(raw)
    return Part(
        sender=f"{header.value('MSH', 3)}\x1f{header.value('MSH', 4)}",
        continues=continued.decode("latin-1"),
        pointer=follows.decode("latin-1"),
        raw=piece,
    )


def whole_message(parts: Sequence[bytes]) -> bytes:
    """Return the message of all parts (`Part.raw`), in their order."""
    return join(list(parts))
