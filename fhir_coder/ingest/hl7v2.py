r"""READ FIRST in the HL7 v2 half of this folder: messages in ER7 ("pipehat") form, split by their own delimiters.

    bytes -> hl7v2_batch.split_messages -> parse -> Message -> hl7v2_content.read_message -> notes and records

Source: HL7 v2.5.1, chapter 2, sections 2.5 (delimiters), 2.10.2 (continuation) and 2.15.9 (MSH).
General parsers were measured to be too slow for intake and to lose segments that end in LF or CRLF,
so this one is ours: it splits, it does not judge. What a message means is told in `hl7v2_content`.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from string import punctuation
from typing import NamedTuple

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2_escape import Delimiters, unescape
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.text import decode_text, without_controls

DEFAULT_CHARSET = "UNICODE UTF-8"

# ISO 8859-1 maps every byte, so a header can be looked at before its charset (MSH-18) is known.
_ANY_BYTE = "iso8859-1"
_WIDE = ((codecs.BOM_UTF16_LE, b"M\x00S\x00H\x00", "utf-16-le"), (codecs.BOM_UTF16_BE, b"\x00M\x00S\x00H", "utf-16-be"))
_TEXT_SEGMENTS = ("OBX", "NTE")
_JAPANESE = "iso2022_jp_ext"  # Python's name for JIS X 0201, 0208 and 0212 together
_NULL = '""'  # "delete the value", section 2.5.3; for intake the same as no value


class Segment(NamedTuple):  # a tuple: one is made for every line of every message
    """A segment: its name and its raw fields, of which `fields[0]` is field 1 (in MSH, the separator itself)."""

    name: str
    fields: tuple[str, ...]
    number: int = 0  # which of its name in the message, from 1; 0 when it was made here

    def place(self, number: int) -> str:
        """Return the place of a field in the message: "OBX[3]-5"."""
        return f"{self.name}[{self.number}]-{number}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was split. Values are unescaped when they are asked for."""

    delimiters: Delimiters
    charset: str
    segments: tuple[Segment, ...]
    _first: dict[str, Segment] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_first", {segment.name: segment for segment in reversed(self.segments)})

    def first(self, name: str) -> Segment | None:
        """Return the first segment of that name, or None."""
        return self._first.get(name)

    def all(self, name: str) -> tuple[Segment, ...]:
        """Return the segments of that name, in order."""
        return tuple(segment for segment in self.segments if segment.name == name) if name in self._first else ()

    def repetitions(self, segment: Segment | None, number: int) -> tuple[str, ...]:
        """Return the raw repetitions of a field; none when it is empty."""
        if segment is None or number > len(segment.fields) or not segment.fields[number - 1]:
            return ()
        return tuple(segment.fields[number - 1].split(self.delimiters.repetition))

    def component(self, raw: str, component: int, subcomponent: int = 1) -> str:
        """Return a component of one raw repetition, unescaped and stripped; "" when there is none."""
        parts = raw.split(self.delimiters.component, component)
        if component > len(parts):
            return ""
        pieces = parts[component - 1].split(self.delimiters.subcomponent, subcomponent)
        return self._read(pieces[subcomponent - 1]) if subcomponent <= len(pieces) else ""

    def components(self, raw: str, count: int) -> list[str]:
        """Return the first `count` components of one raw repetition, each without its further subcomponents."""
        parts = raw.split(self.delimiters.component, count)[:count]
        found = [self._read(part.split(self.delimiters.subcomponent, 1)[0]) if part else "" for part in parts]
        return found + [""] * (count - len(found))

    def subcomponents(self, raw: str, component: int, count: int) -> list[str]:
        """Return the first `count` subcomponents of a component of one raw repetition."""
        parts = raw.split(self.delimiters.component, component)
        if component > len(parts) or not parts[component - 1]:
            return [""] * count
        pieces = parts[component - 1].split(self.delimiters.subcomponent, count)[:count]
        return [self._read(piece) for piece in pieces] + [""] * (count - len(pieces))

    def at(self, segment: Segment | None, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """Return a component of the first repetition of a field; "" when there is none."""
        if segment is None or number > len(segment.fields):
            return ""
        raw = segment.fields[number - 1]
        if not raw or raw.isalnum():  # no delimiter: most values, and a fifth of the time
            return raw if component == subcomponent == 1 else ""
        return self.component(raw.split(self.delimiters.repetition, 1)[0], component, subcomponent)

    def value(self, name: str, number: int, component: int = 1) -> str:
        """Return a component of the first repetition in the first segment of that name; "" when there is none."""
        return self.at(self._first.get(name), number, component)

    def text(self, raw: str) -> str:
        """Return raw text with its escape sequences resolved (section 2.7)."""
        return unescape(raw, self.delimiters, self.charset)

    def _read(self, value: str) -> str:
        if value.isalnum():
            return value
        return "" if not value or value == _NULL else _plain(self.text(value))

    def er7(self) -> str:
        """Return the message as it would be sent, with CR segment ends."""
        return "".join(self._line(segment) + "\r" for segment in self.segments)

    def _line(self, segment: Segment) -> str:
        fields = segment.fields[1:] if segment.name == "MSH" else segment.fields
        return self.delimiters.field.join((segment.name, *fields))


def parse(raw: bytes, default_charset: str = DEFAULT_CHARSET) -> Message:
    """Return the message in `raw`: CR, LF or CRLF segment ends, with or without a byte order mark, in any UTF.

    `default_charset`, a name of HL7 table 0211, is that of a message that states none in MSH-18.

    Raises `InputError` (place "MSH", "MSH-2", "segment 3"...) for what is not a message, and
    `UnsupportedError` (place "MSH-18") for a character set that is not read.
    """
    raw, charset = _narrowed(raw)
    header = read_header(raw)
    charset = charset or _charset(header, default_charset)
    text = decode_text(raw, charset, place="MSH-18")
    return Message(header.delimiters, charset, _segments(text, header.delimiters))


def read_header(raw: bytes) -> Message:
    """Return a message of the MSH segment alone, whatever follows it. Raises `InputError` when there is none."""
    line = re.split(rb"[\r\n]", _narrowed(raw)[0].lstrip(b"\r\n \t"), maxsplit=1)[0].decode(_ANY_BYTE)
    if not line.startswith("MSH"):
        raise InputError(
            "the message does not begin with an MSH segment; send one HL7 v2 message in ER7 form",
            place="MSH",
            code="structure",
        )
    delimiters = _delimiters(line)
    return Message(delimiters, _ANY_BYTE, (_segment(line, delimiters),))


def written_like(message: Message, raw: bytes) -> bytes:
    """Return the message as bytes, in the encoding of the one in `raw` that it is a part of.

    Raises `UnicodeError` when the encoding lacks a character, such as the one that stands for unreadable bytes.
    """
    wide = any(raw.startswith((mark, start)) for mark, start, _ in _WIDE)
    text = message.er7()
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le") if wide else text.encode(message.charset)


def message_key(message: Message, raw: bytes) -> str:
    """Return what a message is known by when it comes again: MSH-3, MSH-4, MSH-10 and its body."""
    names = "\x1f".join(message.value("MSH", number) for number in (3, 4, 10))
    return sha256(names.encode() + b"\x1e" + raw).hexdigest()


def _charset(header: Message, default: str) -> str:
    """Python's name of the character set in MSH-18.

    A repetition names a set to which the text switches by escape sequences of ISO 2022. Only Japanese messages were
    seen to do so; Python reads all their sets under one name.
    """
    stated = [header.component(raw, 1).upper() for raw in header.repetitions(header.first("MSH"), 18)]
    named = [name for name in stated if name] or [default.upper()]
    found = [mapped("MSH-18", name) for name in named]
    if len(named) > 1 and all(each is not None and each.code in ("ascii", _JAPANESE) for each in found):
        return _JAPANESE
    if found[0] is None:
        raise UnsupportedError(
            "the character set is not read; send UNICODE UTF-8, ASCII or one of ISO 8859", place="MSH-18"
        )
    return found[0].code


def _narrowed(raw: bytes) -> tuple[bytes, str]:
    """The bytes without a byte order mark, and the charset that the mark tells: "" for most.

    UTF-16 is rewritten as UTF-8. A byte that cannot be read becomes the replacement character, which is what is seen
    where a file was cut in the middle of a character.
    """
    for mark, start, charset in _WIDE:
        if raw.startswith((mark, start)):
            return raw.removeprefix(mark).decode(charset, "replace").encode(), "utf-8"
    if raw.startswith(codecs.BOM_UTF8):
        return raw.removeprefix(codecs.BOM_UTF8), ""
    return raw, ""


def _plain(value: str) -> str:
    # Most values are plain; translating each would take a third of the time of a message.
    return value.strip() if value.isprintable() else without_controls(value).strip()


@lru_cache(maxsize=64)
def _marks(encoding: str) -> Delimiters:
    separator, encoding = encoding[:1], encoding[1:]
    if not _is_mark(separator):
        raise InputError("MSH is not followed by a field separator; send MSH|^~\\&|", place="MSH-1", code="structure")
    usable = all(map(_is_mark, encoding)) and len({separator, *encoding}) == len(encoding) + 1
    if len(encoding) not in (4, 5) or not usable:
        raise InputError(
            "the encoding characters are not four different marks; send MSH|^~\\&|", place="MSH-2", code="structure"
        )
    return Delimiters(separator, *encoding)


def _delimiters(line: str) -> Delimiters:
    separator = line[3:4]
    return _marks(separator + line[4:12].split(separator, 1)[0] if separator else "")


def _is_mark(character: str) -> bool:
    return character in punctuation and character != ""


@lru_cache(maxsize=64)
def _segment_start(separator: str) -> re.Pattern[str]:
    return re.compile(rf"[A-Z][A-Z0-9]{{2}}(?:{re.escape(separator)}|$)")


def _segments(text: str, delimiters: Delimiters) -> tuple[Segment, ...]:
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    starts = _segment_start(delimiters.field).match
    line_end = f"{delimiters.escape}.br{delimiters.escape}"
    joined: list[str] = []
    more: dict[int, list[str]] = {}  # lines that belong to a segment, by its place; joined once, at the end
    for number, line in enumerate(text.lstrip("\r\n \t").rstrip("\r\n").split("\r"), start=1):
        if starts(line):
            if line.startswith("ADD") and joined:
                # Section 2.10.2.1: what follows continues the last field of the segment before.
                more.setdefault(len(joined) - 1, []).append(line[4:])
            else:
                joined.append(line)
        elif joined and joined[-1].startswith(_TEXT_SEGMENTS):
            # A bare line end inside a text is a common fault of senders; the text must not be lost.
            more.setdefault(len(joined) - 1, []).append(line_end + line)
        elif line.strip():
            raise InputError(
                "this line is not a segment: three capitals and the field separator",
                place=f"segment {number}",
                code="structure",
            )
    for place, lines in more.items():
        joined[place] = "".join((joined[place], *lines))
    counts: dict[str, int] = {}
    segments = []
    for line in joined:
        name = line[:3]
        counts[name] = number = counts.get(name, 0) + 1
        segments.append(_segment(line, delimiters, number))
    return tuple(segments)


def _segment(line: str, delimiters: Delimiters, number: int = 1) -> Segment:
    parts = line.split(delimiters.field)
    # MSH-1 is the separator itself, so that field numbers count as in the standard.
    return Segment(parts[0], (delimiters.field, *parts[1:]) if parts[0] == "MSH" else tuple(parts[1:]), number)
