"""The text of a message's observations and comments (OBX and NTE).

Source: HL7 v2.5.1, sections 7.4.2 (OBX), 2.4.10 (NTE) and 2.A (data types ED, RP, SN, CWE).
Each value stands on a line of its own. Where several things are told, each line begins with what it is about, as a
clinician would write it: "Glucose: 105 mg/dL", or a title above its paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_data import Data, read_data, read_pointer
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_types import Json
from fhir_coder.settings import Settings

_PARAGRAPHS = "text"  # of OBX-2: values that are prose, and stand below their title


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageText:
    """What the segments of a document say."""

    lines: tuple[str, ...]
    attachments: tuple[Json, ...] = ()  # documents that came as such (ED, RP), as FHIR Attachments
    unread: tuple[InputError, ...] = ()  # why some of them gave no text

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class _Value:
    """The lines of one OBX."""

    kind: str  # of OBX-2 in the table
    name: str
    lines: tuple[str, ...]
    data: Data | None = None


def read_text(message: Message, segments: Iterable[Segment], settings: Settings, *, title: str = "") -> MessageText:
    """Return the text of the OBX and NTE among `segments`, in their order.

    Observations bear their names (OBX-3) where there is more than one, unless the name is `title`, which stands above
    them already. Withdrawn and cancelled ones (OBX-11) are left out.
    """
    values = [value for segment in segments if (value := _value(message, segment, settings)) is not None]
    names = {value.name for value in values if value.kind != "comment"}
    # One name for a whole document ("History and physical") is its type, not a title within it.
    named = bool(title) or len(names) > 1 or any(value.kind in ("value", "structured") for value in values)
    return MessageText(
        lines=tuple(_lines(values, title) if named else (line for value in values for line in value.lines)),
        attachments=tuple(value.data.attachment for value in values if value.data and value.data.attachment),
        unread=tuple(value.data.error for value in values if value.data and value.data.error),
    )


def _lines(values: Sequence[_Value], title: str) -> Iterator[str]:
    above = title  # the name under which the next lines would be read
    for value in values:
        new = value.kind != "comment" and value.name not in ("", above)
        if value.kind != "comment":
            above = value.name or above
        if new and not any(line.strip() for line in value.lines):
            continue  # a title without anything below it
        if not new:
            yield from value.lines
        elif value.kind == _PARAGRAPHS or len(value.lines) != 1 or "\n" in value.lines[0]:
            yield f"{value.name}:"
            yield from value.lines
        else:
            yield f"{value.name}: {value.lines[0]}"


def _value(message: Message, segment: Segment, settings: Settings) -> _Value | None:
    if segment.name == "NTE":
        return _Value("comment", "", tuple(message.text(raw) for raw in message.repetitions(segment, 3)))
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
            return _Value(kind, name, tuple(map(message.text, raws or ("",))))
        case "coded":
            return _Value(kind, name, tuple(filter(None, (_coded(message, raw) for raw in raws))))
        case "value" | "structured":
            read = _structured if kind == "structured" else _first
            values = (" ".join(filter(None, (read(message, raw), _unit(message, segment)))) for raw in raws)
            return _Value(kind, name, tuple(values))
        case "data" | "pointer":
            data = read_data(message, segment, settings) if kind == "data" else read_pointer(message, segment)
            return _Value("text", name, data.lines, data)
    if not raws:
        return None
    error = UnsupportedError("this type of value is not read; send the note as TX, FT, ST or ED", place="OBX-2")
    return _Value("text", name, (), Data(error=error))


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
