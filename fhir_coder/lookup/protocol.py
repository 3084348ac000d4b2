"""READ FIRST in this folder. The lines of the protocol, and nothing of sockets.

    client:  <sequence number>,<description>\\n        17,type 2 diabetes, uncontrolled\\n
    server:  <sequence number>,<code>\\n               17,E11.65\\n

- One port per code system (`PORTS`), UTF-8, persistent connections. Lines may be sent without waiting for answers.
- Every line is answered by one line, and the answers of a connection come in the order of its lines.
- The sequence number is 1 to 20 digits and is given back as it came. Only the first comma separates.
- A line may end with CR LF; blanks around the number and the description do not count.
- An empty code (`17,`) says that no code is sure enough, or that several are equally so.
- What begins with `!` is no code but says why there is none: see `Refusal`.

    protocol.py -> connection.py (one client) -> batcher.py (all of them) -> workers.py (the coder)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

PORTS: Final[Mapping[str, int]] = MappingProxyType({"icd10cm": 0, "snomed": 1, "loinc": 2, "rxnorm": 3, "hcpcs": 4})
"""The code systems, and by how much their ports follow the first one: 8901 ICD-10-CM, 8902 SNOMED CT, ..."""

_DIGITS = 20  # of a sequence number: more than 64 bits need
_BLANKS = b" \t\r"


class Refusal(StrEnum):
    """Why a line has no code. With a leading `!` it stands where the code would."""

    NO_SEQUENCE_NUMBER = "no-sequence-number"  # answered without a number: ",!no-sequence-number"
    EMPTY_DESCRIPTION = "empty-description"
    NOT_UTF8 = "not-utf-8"
    TOO_LONG = "line-too-long"  # the rest of the line is skipped
    INCOMPLETE = "incomplete-line"  # the client closed its side in the middle of a line
    TIMEOUT = "timeout"  # a line was begun and not ended in time; the connection is closed
    TOO_MANY = "too-many-connections"  # the only line of the connection, which is closed
    FAILED = "failed"  # a fault of the server, which its log tells; the line may be sent again


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read: a description to be looked up, or why it cannot be."""

    sequence: bytes  # digits; empty where the line has no sequence number
    text: str = ""
    refusal: Refusal | None = None


def parse(line: bytes) -> Line:
    """Return what a line (without its line feed) says."""
    number, _, description = line.partition(b",")
    sequence = number.strip(_BLANKS)
    if not sequence.isdigit() or len(sequence) > _DIGITS:
        return Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)
    try:
        text = description.decode().strip()
    except UnicodeDecodeError:
        return Line(sequence, refusal=Refusal.NOT_UTF8)
    return Line(sequence, text) if text else Line(sequence, refusal=Refusal.EMPTY_DESCRIPTION)


def answer(sequence: bytes, code: str) -> bytes:
    """Return the line that answers with a code; an empty one says that none is sure enough."""
    return b"%b,%b\n" % (sequence, code.encode())


def refuse(sequence: bytes, refusal: Refusal) -> bytes:
    """Return the line that says why there is no code."""
    return answer(sequence, f"!{refusal}")


class LineReader:
    """Cuts a stream of bytes into lines, one when asked for one. Of a line that is too long only the head is kept."""

    def __init__(self, limit: int) -> None:
        """Lines longer than `limit` bytes are refused."""
        self._limit = limit
        self._buffer = bytearray()
        self._start = 0  # of what was not given out yet
        self._searched = 0  # up to where there is no line feed
        self._skipping = False  # the rest of a line that was refused

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        if self._start:
            del self._buffer[: self._start]
            self._searched -= self._start
            self._start = 0
        self._buffer += data

    @property
    def inside(self) -> bool:
        """Whether a line was begun whose end is still to come, once `next` has returned None."""
        return self._skipping or self._start < len(self._buffer)

    def next(self) -> Line | None:
        """Return the next line, or None when more has to be received first.

        A line that is too long is returned as soon as that is known; what follows of it is dropped.
        """
        if self._skipping and not self._skip():
            return None
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            return self._refuse() if self._searched - self._start > self._limit else None
        if end - self._start > self._limit:
            return self._refuse()
        line = bytes(self._buffer[self._start : end])
        self._start = self._searched = end + 1
        return parse(line)

    def rest(self) -> Line | None:
        """Return the line that was begun when the client closed its side, or None."""
        if self._skipping or not self.inside:
            self._skipping = False
            return None
        line = parse(bytes(self._buffer[self._start :]))
        self._drop(len(self._buffer))
        return Line(line.sequence, refusal=Refusal.INCOMPLETE)

    def _refuse(self) -> Line:
        head = self._buffer[self._start : self._start + _DIGITS + 2].partition(b",")
        sequence = bytes(head[0].strip(_BLANKS))
        self._skipping = True
        self._searched = self._start
        is_number = bool(head[1]) and sequence.isdigit() and len(sequence) <= _DIGITS
        return Line(sequence if is_number else b"", refusal=Refusal.TOO_LONG)

    def _skip(self) -> bool:
        """Drop the rest of a refused line; return whether its end was found."""
        end = self._buffer.find(b"\n", self._start)
        self._drop(len(self._buffer) if end < 0 else end + 1)
        self._skipping = end < 0
        return not self._skipping

    def _drop(self, end: int) -> None:
        self._start = self._searched = end
