r"""HL7 v2 messages in ER7 ("pipehat") form, split by their own delimiters.

Source: HL7 v2.5.1, chapter 2, sections 2.5 (delimiters), 2.7 (escape sequences) and 2.15.9 (MSH).
General parsers were measured to be too slow for intake and to lose segments that end in LF or CRLF,
so this one is ours: it splits, it does not judge. What a message means is told in `mdm`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from string import punctuation

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.text import decode_text, without_controls

# ISO 8859-1 maps every byte, so a header can be looked at before its charset (MSH-18) is known.
_ANY_BYTE = "iso8859-1"
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_MESSAGE_START = re.compile(rb"^MSH(?=[^\w\s])", re.MULTILINE)
_ENVELOPE = re.compile(rb"^(?:FHS|BHS|BTS|FTS)[^\w\s][^\n]*\n?", re.MULTILINE)
_TEXT_SEGMENTS = ("OBX", "NTE")
_NULL = '""'  # "delete the value", section 2.5.3; for intake the same as no value


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The five characters of MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment: its name and its raw fields, of which `fields[0]` is field 1 (in MSH, the separator itself)."""

    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was split. Values are unescaped when they are asked for."""

    delimiters: Delimiters
    charset: str
    segments: tuple[Segment, ...]

    def first(self, name: str) -> Segment | None:
        """Return the first segment of that name, or None."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def repetitions(self, segment: Segment | None, field: int) -> tuple[str, ...]:
        """Return the raw repetitions of a field; none when it is empty."""
        if segment is None or field > len(segment.fields) or not segment.fields[field - 1]:
            return ()
        return tuple(segment.fields[field - 1].split(self.delimiters.repetition))

    def component(self, raw: str, component: int, subcomponent: int = 1) -> str:
        """Return a component of one raw repetition, unescaped and stripped; "" when there is none."""
        parts = raw.split(self.delimiters.component)
        if component > len(parts):
            return ""
        pieces = parts[component - 1].split(self.delimiters.subcomponent)
        if subcomponent > len(pieces) or pieces[subcomponent - 1] == _NULL:
            return ""
        return without_controls(self.text(pieces[subcomponent - 1])).strip()

    def value(self, name: str, field: int, component: int = 1) -> str:
        """Return a component of the first repetition in the first segment of that name; "" when there is none."""
        repetitions = self.repetitions(self.first(name), field)
        return self.component(repetitions[0], component) if repetitions else ""

    def text(self, raw: str) -> str:
        """Return raw text with its escape sequences resolved (section 2.7)."""
        return unescape(raw, self.delimiters, self.charset)

    def er7(self) -> str:
        """Return the message as it would be sent, with CR segment ends."""
        return "".join(self._line(segment) + "\r" for segment in self.segments)

    def _line(self, segment: Segment) -> str:
        fields = segment.fields[1:] if segment.name == "MSH" else segment.fields
        return self.delimiters.field.join((segment.name, *fields))


def parse(raw: bytes) -> Message:
    """Return the message in `raw`: CR, LF or CRLF segment ends, with or without a byte order mark.

    Raises `InputError` (place "MSH", "MSH-2", "segment 3"...) for what is not a message, and
    `UnsupportedError` (place "MSH-18") for a character set that is not read.
    """
    raw = _without_bom(raw)
    header = read_header(raw)
    name = header.value("MSH", 18) or "UNICODE UTF-8"
    charset = mapped("MSH-18", name.upper())
    if charset is None:
        raise UnsupportedError(
            "the character set is not read; send UNICODE UTF-8, ASCII or one of ISO 8859", place="MSH-18"
        )
    text = decode_text(raw, charset.code, place="MSH-18")
    return Message(header.delimiters, charset.code, _segments(text, header.delimiters))


def read_header(raw: bytes) -> Message:
    """Return a message of the MSH segment alone, whatever follows it. Raises `InputError` when there is none."""
    line = re.split(rb"[\r\n]", _without_bom(raw).lstrip(b"\r\n \t"), maxsplit=1)[0].decode(_ANY_BYTE)
    if not line.startswith("MSH"):
        raise InputError(
            "the message does not begin with an MSH segment; send one HL7 v2 message in ER7 form",
            place="MSH",
            code="structure",
        )
    delimiters = _delimiters(line)
    return Message(delimiters, _ANY_BYTE, (_segment(line, delimiters),))


def split_messages(raw: bytes) -> list[bytes]:
    """Return the messages of a file: bare, in MLLP frames, or in a batch (FHS/BHS ... BTS/FTS, which are dropped).

    What stands before the first MSH is returned as a message of its own, for `parse` to name as an error.
    """
    raw = _without_bom(raw).translate(None, b"\x0b\x1c").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    raw = _ENVELOPE.sub(b"", raw)
    starts = [match.start() for match in _MESSAGE_START.finditer(raw)]
    bounds = [0, *starts, len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(bounds)]
    return [piece for piece in pieces if piece.strip()]


def message_key(message: Message, raw: bytes) -> str:
    """Return what a message is known by when it comes again: MSH-3, MSH-4, MSH-10 and its body."""
    names = "\x1f".join(message.value("MSH", field) for field in (3, 4, 10))
    return sha256(names.encode() + b"\x1e" + raw).hexdigest()


def unescape(raw: str, delimiters: Delimiters, charset: str) -> str:
    r"""Return `raw` with \F\ \S\ \T\ \R\ \E\ \.br\ and \Xdd\ resolved; an unknown sequence stays as it is."""
    if delimiters.escape not in raw:
        return raw
    return _sequences(delimiters.escape).sub(lambda match: _resolve(match[0], delimiters, charset), raw)


def escape(text: str, delimiters: Delimiters) -> str:
    r"""Return `text` so that it stands as one subcomponent; line ends become \.br\."""
    mark = delimiters.escape
    sequences = {
        mark: "E",
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
        "\n": ".br",
    }
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.translate({ord(character): f"{mark}{code}{mark}" for character, code in sequences.items()})


@lru_cache(maxsize=8)
def _sequences(mark: str) -> re.Pattern[str]:
    mark = re.escape(mark)
    # A run of \X..\ is one match: a character's bytes may be spread over several. Lengths are bounded.
    hexadecimal = rf"(?:{mark}X(?:[0-9A-Fa-f]{{2}}){{1,256}}{mark})+"
    return re.compile(rf"{hexadecimal}|{mark}(?:[FSTREHN]|\.[a-z]{{2}}[+-]?[0-9]{{0,3}}){mark}")


def _resolve(sequence: str, delimiters: Delimiters, charset: str) -> str:
    mark = delimiters.escape
    body = sequence[1:-1]
    if body.startswith("X"):
        try:
            return bytes.fromhex(sequence.replace(f"{mark}X", "").replace(mark, "")).decode(charset)
        except UnicodeDecodeError:
            return sequence
    characters = {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": mark,
        "H": "",  # highlighting on and off
        "N": "",
    }
    if body in characters:
        return characters[body]
    # Formatting commands (2.7.4): those that end a line do so; indents and the like carry no text.
    return "\n" if body[:3] in (".br", ".sp", ".ce") else ""


def _delimiters(line: str) -> Delimiters:
    separator = line[3:4]
    encoding = line[4:].split(separator, 1)[0] if separator else ""
    if not _is_mark(separator):
        raise InputError("MSH is not followed by a field separator; send MSH|^~\\&|", place="MSH-1", code="structure")
    # A fifth character, the truncation mark of v2.7, is allowed and has no meaning here.
    usable = all(map(_is_mark, encoding)) and len({separator, *encoding}) == len(encoding) + 1
    if len(encoding) not in (4, 5) or not usable:
        raise InputError(
            "the encoding characters are not four different marks; send MSH|^~\\&|", place="MSH-2", code="structure"
        )
    return Delimiters(separator, *encoding[:4])


def _is_mark(character: str) -> bool:
    return character in punctuation and character != ""


def _segments(text: str, delimiters: Delimiters) -> tuple[Segment, ...]:
    lines = text.lstrip("\r\n \t").rstrip("\r\n").replace("\r\n", "\r").replace("\n", "\r").split("\r")
    name = re.compile(rf"[A-Z][A-Z0-9]{{2}}(?:{re.escape(delimiters.field)}|$)")
    joined: list[list[str]] = []
    for number, line in enumerate(lines, start=1):
        if name.match(line):
            joined.append([line])
        elif joined and joined[-1][0].startswith(_TEXT_SEGMENTS):
            # A bare line end inside a text is a common fault of senders; the text must not be lost.
            joined[-1].append(line)
        elif line.strip():
            raise InputError(
                "this line is not a segment: three capitals and the field separator",
                place=f"segment {number}",
                code="structure",
            )
    line_end = f"{delimiters.escape}.br{delimiters.escape}"
    return tuple(_segment(line_end.join(parts), delimiters) for parts in joined)


def _segment(line: str, delimiters: Delimiters) -> Segment:
    name, *fields = line.split(delimiters.field)
    # MSH-1 is the separator itself, so that field numbers count as in the standard.
    return Segment(name, (delimiters.field, *fields) if name == "MSH" else tuple(fields))


def _without_bom(raw: bytes) -> bytes:
    for bom in _BOMS:
        raw = raw.removeprefix(bom)
    return raw
