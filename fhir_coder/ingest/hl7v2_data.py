"""Documents inside an observation: encapsulated data (ED) and pointers (RP).

Source: HL7 v2.5.1, sections 2.A.24 (ED) and 2.A.65 (RP), HL7 tables 0191, 0291 and 0299.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fhir_coder.attachments.extracted import Extracted, within
from fhir_coder.attachments.fetch import Permit, fetch, require_allowed
from fhir_coder.attachments.read import READ_TYPES, may_be_read, read_attachment
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_types import Json
from fhir_coder.ingest.text import decode_text
from fhir_coder.settings import Settings

_PLAIN = "text/plain"
_ANY = "application/octet-stream"
# Stands for the text of a document that is not fetched yet; it is never coded.
_NOT_YET = Extracted(text="(a document behind a pointer)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What a document inside an observation gave."""

    text: Extracted | None = None  # its origins are places of the message: "OBX[1]-5, page 2"
    attachment: Json | None = None  # as it came, as a FHIR Attachment
    error: InputError | None = None  # why there is no text


def read_data(message: Message, segment: Segment, settings: Settings) -> Iterator[Data]:
    """Yield what each ED in OBX-5 holds: 2 type, 3 subtype, 4 encoding (A, Hex, Base64), 5 data. Raises nothing."""
    for raw in message.repetitions(segment, 5) or ("",):
        yield _data(message, segment, raw, settings)


def read_pointer(message: Message, segment: Segment, settings: Settings, *, follow: bool) -> Iterator[Data]:
    """Yield what is behind each RP in OBX-5: 1 where it is, 3 type, 4 subtype. Raises nothing.

    A pointer is followed as an attachment's url is (`attachments.fetch`). Without `follow` nothing is asked for: it is
    only seen whether the settings allow it, and other words stand for the text.
    """
    for raw in message.repetitions(segment, 5) or ("",):
        yield _behind(message, segment, raw, settings, follow=follow)


def require_permitted(message: Message, settings: Settings, permit: Permit) -> None:
    """Raise what `permit` raises, of `attachments.fetch`, for any RP of the message that would be followed."""
    for segment in message.all("OBX"):
        type_ = mapped("OBX-2", message.at(segment, 2))
        if type_ is None or type_.code != "pointer":
            continue
        for raw in message.repetitions(segment, 5):
            where = _address(message, raw)
            if _is_web_address(where):
                with suppress(InputError):  # it leads where nothing is asked for
                    require_allowed(where, settings, place="OBX-5.1", permit=permit)


def media_type(type_: str, subtype: str) -> str | None:
    """Return the media type of ED.2 (or RP.3) and ED.3 ("AP", "PDF"), or None when it is not known."""
    found = mapped("ED-3", subtype.upper()) or mapped("ED-2", type_.upper())
    if found:
        return found.code
    return subtype.lower() if "/" in subtype else None


def _data(message: Message, segment: Segment, raw: str, settings: Settings) -> Data:
    type_ = media_type(message.component(raw, 2), message.component(raw, 3))
    try:
        content = _decoded(message, raw)
    except InputError as error:
        return Data(error=error)
    if not content:
        return Data(error=InputError("the data is empty; send the document", place="OBX-5.5", code="required"))
    if type_ is None:
        return Data(error=UnsupportedError("this type of document is not known; give it in OBX-5.3", place="OBX-5.3"))
    attachment = {
        "contentType": type_,
        "data": base64.b64encode(content).decode("ascii"),
        "size": len(content),
    }
    try:
        text = _text(content, type_, message.charset, settings)
    except InputError as error:
        return Data(attachment=attachment, error=error)
    # Plain text stands in the document's own text already.
    return Data(text=within(segment.place(5), text), attachment=None if type_ == _PLAIN else attachment)


def _behind(message: Message, segment: Segment, raw: str, settings: Settings, *, follow: bool) -> Data:
    where = _address(message, raw)
    # The parts of the standard's own pointers (pathnames) mean nothing outside of the sender.
    if not _is_web_address(where):
        return Data(
            error=UnsupportedError(
                "the document is not in the message but behind a pointer that is no http(s) address; send it as ED",
                place="OBX-5.1",
            )
        )
    type_ = media_type(message.component(raw, 3), message.component(raw, 4))
    attachment = {**({"contentType": type_} if type_ else {}), "url": where}
    try:
        if type_ and not may_be_read(type_):
            raise UnsupportedError(f"no document of this type is read; send {READ_TYPES}", place="OBX-5.4")
        if follow:
            got = fetch(where, type_ or _PLAIN, settings, place="OBX-5.1")
            text = read_attachment(got.raw, type_ or got.content_type or _ANY, settings, place="OBX-5.1")
        else:
            require_allowed(where, settings, place="OBX-5.1")
            text = _NOT_YET
    except InputError as error:
        return Data(attachment=attachment, error=error)
    return Data(text=within(segment.place(5), text), attachment=attachment)


def _address(message: Message, raw: str) -> str:
    # All of the component: "&" separates the parts of a query, and senders do not always escape it.
    return message.text(raw.split(message.delimiters.component, 1)[0]).strip()


def _is_web_address(where: str) -> bool:
    try:
        return urlsplit(where).scheme in ("http", "https")
    except ValueError:
        return False


def _decoded(message: Message, raw: str) -> bytes:
    encoding, parts = message.component(raw, 4).upper(), raw.split(message.delimiters.component, 4)
    data = message.text(parts[4].split(message.delimiters.component, 1)[0]) if len(parts) > 4 else ""
    if encoding in ("", "A", "NONE"):
        return data.encode()
    packed = "".join(data.split())
    try:
        if encoding == "HEX":
            return bytes.fromhex(packed)
        return base64.b64decode(packed, validate=True)
    except (ValueError, binascii.Error):
        raise InputError(
            "the data is not what its encoding (OBX-5.4) says; the message may have been cut off",
            place="OBX-5.5",
            code="value",
        ) from None


def _text(content: bytes, type_: str, charset: str, settings: Settings) -> Extracted:
    if type_ == _PLAIN:
        try:
            return Extracted(text=decode_text(content, "utf-8", place="OBX-5.5"))
        except InputError:  # an older sender has it in the character set of its message
            return Extracted(text=decode_text(content, charset, place="OBX-5.5"))
    return read_attachment(content, type_, settings, place="OBX-5.5")
