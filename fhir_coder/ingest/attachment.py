"""The attachments of a DocumentReference: which one is read, where its bytes are, and what becomes of the others.

Source: https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.content (the repetitions are the
same document in different formats) and https://hl7.org/fhir/R4/datatypes.html#Attachment
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_coder.attachments.charset import content_type, known_charset
from fhir_coder.attachments.fetch import Fetched, Permit, fetch, of_binary
from fhir_coder.attachments.read import FORMATS, READ_TYPES, format_of, may_be_read, read_attachment, require_hash
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.elements import checked_object, object_at, string_at
from fhir_coder.ingest.text import clean_text
from fhir_coder.model import Origin, PassedOver
from fhir_coder.settings import Settings

Json = Mapping[str, Any]

_ANY = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The text that was taken, and from where."""

    text: str
    origins: tuple[Origin, ...]
    place: str
    passed_over: tuple[PassedOver, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """An attachment, looked at from outside."""

    place: str
    attachment: Json
    stated: str  # content type
    rank: int  # the most readable form first


def take_text(
    contents: Sequence[Any],
    binaries: Mapping[str, Json],
    settings: Settings,
    *,
    place: str,
    permit: Permit | None = None,
) -> Taken:
    """Return the text of the most readable attachment that can be read; `place` is that of `contents`.

    `binaries` are the Binary resources that came along, by what a url may call them ("#b1", "Binary/7"). `permit` is
    that of `fetch`; what it raises is raised.

    Raises `InputError` or `UnsupportedError` when none can be read: that of the most readable one, with the reasons for
    the others in its message.
    """
    offers: list[_Offer] = []
    faults: list[tuple[str, InputError]] = []
    for index, content in enumerate(contents):
        here = f"{place}[{index}]"
        try:
            offers.append(_offer(content, here))
        except InputError as error:
            faults.append((here, error))
    offers.sort(key=lambda offer: offer.rank)
    for number, offer in enumerate(offers):
        try:
            text, origins = _read(offer, binaries, settings, permit)
        except InputError as error:
            faults.append((offer.place, error))
            continue
        others = [PassedOver(place=where, reason=str(error)) for where, error in faults]
        others += [
            PassedOver(place=each.place, reason=f"the text was taken from {offer.place}")
            for each in offers[number + 1 :]
        ]
        return Taken(text=text, origins=origins, place=offer.place, passed_over=tuple(others))
    raise _together(faults)


def _offer(content: Any, place: str) -> _Offer:
    attachment = object_at(checked_object(content, place), "attachment", place)
    here = f"{place}.attachment"
    if attachment is None:
        raise InputError("the attachment is missing", place=here, code="required")
    stated = string_at(attachment, "contentType", here)
    if stated is None and ("data" in attachment or "url" not in attachment):
        raise InputError(
            "the attachment's contentType is missing (att-1); give text/plain",
            place=f"{here}.contentType",
            code="required",
        )
    if stated is not None and not may_be_read(stated):
        raise UnsupportedError(
            f"no attachment of this content type is read; send the note as {READ_TYPES}", place=f"{here}.contentType"
        )
    format_ = format_of(stated) if stated else None
    return _Offer(
        place=here,
        attachment=attachment,
        stated=stated or _ANY,
        rank=FORMATS.index(format_) if format_ else len(FORMATS),
    )


def _read(
    offer: _Offer, binaries: Mapping[str, Json], settings: Settings, permit: Permit | None
) -> tuple[str, tuple[Origin, ...]]:
    _, charset = content_type(offer.stated)
    if charset is not None:
        known_charset(charset, place=f"{offer.place}.contentType")
    source = "data" if "data" in offer.attachment or "url" not in offer.attachment else "url"
    place = f"{offer.place}.{source}"
    if source == "data":
        stated, raw = offer.stated, _inline(offer.attachment, offer.place)
    else:
        got = _behind_url(offer, binaries, settings, permit)
        stated, raw = (got.content_type or _ANY) if offer.stated == _ANY else offer.stated, got.raw
    require_hash(raw, offer.attachment.get("size"), string_at(offer.attachment, "hash", offer.place), place=offer.place)
    found = read_attachment(raw, stated, settings, place=place)
    return clean_text(found.text, settings, place=place), found.origins


def _inline(attachment: Json, place: str) -> bytes:
    data = string_at(attachment, "data", place)
    if data is None:
        raise InputError("the attachment has no data; send the text, base64", place=f"{place}.data", code="required")
    try:
        # White space is allowed inside base64Binary, anything else that is not base64 is not.
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            "the data is not base64; encode the text's bytes as base64", place=f"{place}.data", code="value"
        ) from None


def _behind_url(offer: _Offer, binaries: Mapping[str, Json], settings: Settings, permit: Permit | None) -> Fetched:
    place = f"{offer.place}.url"
    url = string_at(offer.attachment, "url", offer.place) or ""
    if url in binaries:
        return of_binary(binaries[url], place=place)
    if url.startswith(("#", "urn:")):
        raise InputError(
            "the url refers to a resource that did not come with the document", place=place, code="not-found"
        )
    return fetch(url, content_type(offer.stated)[0], settings, place=place, permit=permit)


def _together(faults: Sequence[tuple[str, InputError]]) -> InputError:
    """The error of a document of which no attachment can be read: one that is damaged counts before an unread type."""
    place, first = next((each for each in faults if not isinstance(each[1], UnsupportedError)), faults[0])
    others = "".join(f"; {where}: {error}" for where, error in faults if error is not first)
    if not others:
        return first
    message = f"{first}{others}"
    if isinstance(first, UnsupportedError):
        return UnsupportedError(message, place=first.place or place)
    return InputError(message, place=first.place or place, code=first.code)
