"""The text of a message's observations and comments (OBX and NTE).

Source: HL7 v2.5.1, sections 7.4.2 (OBX), 2.4.10 (NTE) and 2.A (data types ED, RP, SN, CWE).
Each value stands on a line of its own. Where several things are told, each line begins with what it is about, as a
clinician would write it: "Glucose: 105 mg/dL", or a title above its paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_data import Data, read_data, read_pointer
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_types import Json
from fhir_coder.model import Origin
from fhir_coder.settings import Settings

_PARAGRAPHS = "text"  # of OBX-2: values that are prose, and stand below their title


class Line(NamedTuple):  # a tuple: made for every value, it is a tenth of the time of a message otherwise
    """A value of the message as a line of text (or several), and where it stood."""

    text: str
    place: str  # "OBX[3]-5": field 5 of the third OBX
    origins: tuple[Origin, ...] = ()  # of a document's own pages and sections; offsets are those of `text`


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageText:
    """What the segments of a document say."""

    lines: tuple[Line, ...]
    attachments: tuple[Json, ...] = ()  # documents that came as such (ED, RP), as FHIR Attachments
    unread: tuple[InputError, ...] = ()  # why some of them gave no text

    @property
    def is_blank(self) -> bool:
        """Whether they say nothing."""
        return not any(line.text.strip() for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Value:
    """The lines of one OBX."""

    kind: str  # of OBX-2 in the table
    name: str
    segment: Segment
    lines: tuple[Line, ...]
    data: tuple[Data, ...] = ()


def read_text(
    message: Message, segments: Iterable[Segment], settings: Settings, *, title: str = "", follow: bool = True
) -> MessageText:
    """Return the text of the OBX and NTE among `segments`, in their order.

    Observations bear their names (OBX-3) where there is more than one, unless the name is `title`, which stands above
    them already. Withdrawn and cancelled ones (OBX-11) are left out. For `follow` see `hl7v2_data.read_pointer`.
    """
    found = (_value(message, segment, settings, follow=follow) for segment in segments)
    values = [value for value in found if value is not None]
    names = {value.name for value in values if value.kind != "comment"}
    # One name for a whole document ("History and physical") is its type, not a title within it.
    named = bool(title) or len(names) > 1 or any(value.kind in ("value", "structured") for value in values)
    return MessageText(
        lines=tuple(_lines(values, title) if named else (line for value in values for line in value.lines)),
        attachments=tuple(each.attachment for value in values for each in value.data if each.attachment),
        unread=tuple(each.error for value in values for each in value.data if each.error),
    )


def text_of(lines: Iterable[Line]) -> str:
    """Return the lines as one text."""
    return "\n".join([line.text for line in lines])


def origins_of(lines: Iterable[Line]) -> tuple[Origin, ...]:
    """Return the place in the message where each part of the text of these lines stood."""
    spans: list[tuple[str, int, int]] = []
    at = 0
    for text, place, inner in lines:
        if inner:
            spans += ((each.place, at + each.start, at + each.end) for each in inner)
        elif spans and spans[-1][0] == place:  # repetitions of one field
            spans[-1] = (place, spans[-1][1], at + len(text))
        elif text:
            spans.append((place, at, at + len(text)))
        at += len(text) + 1
    return tuple(Origin(start=start, end=end, place=place) for place, start, end in spans)


def _lines(values: Sequence[_Value], title: str) -> Iterator[Line]:
    above = title  # the name under which the next lines would be read
    for value in values:
        new = value.kind != "comment" and value.name not in ("", above)
        if value.kind != "comment":
            above = value.name or above
        if new and not any(line.text.strip() for line in value.lines):
            continue  # a title without anything below it
        if not new:
            yield from value.lines
        elif value.kind == _PARAGRAPHS or len(value.lines) != 1 or "\n" in value.lines[0].text:
            yield Line(f"{value.name}:", value.segment.place(3))
            yield from value.lines
        else:
            yield value.lines[0]._replace(text=f"{value.name}: {value.lines[0].text}")


def _value(message: Message, segment: Segment, settings: Settings, *, follow: bool) -> _Value | None:
    if segment.name == "NTE":
        return _said("comment", "", segment, 3, map(message.text, message.repetitions(segment, 3)))
    if segment.name != "OBX":
        return None
    withdrawn = message.at(segment, 11)
    if withdrawn and mapped("OBX-11", withdrawn):
        return None
    type_ = message.at(segment, 2)
    target = mapped("OBX-2", type_)
    # A value without a type is a sender's fault; it is read as text, for text must not be lost.
    kind = target.code if target else "" if type_ else _PARAGRAPHS
    raws = message.repetitions(segment, 5)
    name = _name(message, segment)
    match kind:
        case "text" | "string":
            return _said(kind, name, segment, 5, map(message.text, raws or ("",)))
        case "coded":
            return _said(kind, name, segment, 5, filter(None, (_coded(message, raw) for raw in raws)))
        case "value" | "structured":
            read = _structured if kind == "structured" else _first
            values = (" ".join(filter(None, (read(message, raw), _unit(message, segment)))) for raw in raws)
            return _said(kind, name, segment, 5, values)
        case "data":
            return _document(name, segment, read_data(message, segment, settings))
        case "pointer":
            return _document(name, segment, read_pointer(message, segment, settings, follow=follow))
    if not raws:
        return None
    error = UnsupportedError("this type of value is not read; send the note as TX, FT, ST or ED", place="OBX-2")
    return _document(name, segment, (Data(error=error),))


def _said(kind: str, name: str, segment: Segment, number: int, texts: Iterable[str]) -> _Value:
    place = segment.place(number)
    return _Value(kind, name, segment, tuple([Line(text, place) for text in texts]))


def _document(name: str, segment: Segment, found: Iterable[Data]) -> _Value:
    data, place = tuple(found), segment.place(5)
    lines = tuple(Line(each.text.text, place, each.text.origins) for each in data if each.text is not None)
    return _Value(_PARAGRAPHS, name, segment, lines, data)


def _name(message: Message, segment: Segment) -> str:
    """What an observation is about: the suffix of its code where that is a title (IMP), else its name or code."""
    if len(segment.fields) < 3 or not segment.fields[2]:
        return ""
    suffix = mapped("OBX-3-suffix", message.at(segment, 3, 1, 2))
    if suffix:
        return suffix.code
    words = next(filter(None, (message.at(segment, 3, component) for component in (2, 5))), "")
    code = message.at(segment, 3)
    return " ".join((words or (code if code.isalpha() else "")).rstrip(":").split())


def _coded(message: Message, raw: str) -> str:
    """The words of a code: the original text, the name, the name in the other system, else the code itself."""
    return next(filter(None, (message.component(raw, component) for component in (9, 2, 5, 1))), "")


def _first(message: Message, raw: str) -> str:
    return message.component(raw, 1)


def _structured(message: Message, raw: str) -> str:
    """A structured number: comparator, number, separator, number ("<" 5, 1 : 128, 2 +)."""
    return "".join(message.component(raw, component) for component in (1, 2, 3, 4))


def _unit(message: Message, segment: Segment) -> str:
    return message.at(segment, 6) or message.at(segment, 6, 2)
