"""What the reading of an attachment gives: its text, and where each part of it stood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fhir_coder.model import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large what is read may become."""

    chars: int  # of the text
    bytes: int  # of anything decompressed on the way


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The text of an attachment. Offsets of `origins` are characters of `text`, in order, without overlap."""

    text: str
    origins: tuple[Origin, ...] = ()


def joined(parts: Iterable[tuple[str, str]], separator: str) -> Extracted:
    """Return the (place, text) parts as one text, with an origin for each part that is not empty."""
    text: list[str] = []
    origins: list[Origin] = []
    length = 0
    for place, part in parts:
        if not part:
            continue
        if text:
            text.append(separator)
            length += len(separator)
        text.append(part)
        origins.append(Origin(start=length, end=length + len(part), place=place))
        length += len(part)
    return Extracted(text="".join(text), origins=tuple(origins))


def within(place: str, inner: Extracted) -> Extracted:
    """Return the inner text as a part of something that holds it: "page 2" becomes "nonXMLBody, page 2"."""
    origins = inner.origins or (Origin(start=0, end=len(inner.text), place=""),)
    return replace(
        inner, origins=tuple(replace(each, place=f"{place}, {each.place}" if each.place else place) for each in origins)
    )
