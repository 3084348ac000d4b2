"""READ FIRST in this folder. One attachment -> its text: what it is, who reads it, and where.

bytes -> size, hash -> gunzip -> what it really is -> plain text: here
                                                   -> anything else: a process that can be ended (`reader_pool`)
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Literal

from fhir_coder.attachments.charset import content_type, decode_attachment, known_charset, marked_charset
from fhir_coder.attachments.extracted import Extracted, Limits
from fhir_coder.attachments.gzip import MAGIC, unzipped
from fhir_coder.attachments.reader_pool import Request, pool
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.settings import Settings

Format = Literal["plain", "cda", "html", "rtf", "pdf"]

# The most readable form first: of a document in several, that is the one to take.
FORMATS: tuple[Format, ...] = ("plain", "cda", "html", "rtf", "pdf")

_MEDIA_TYPES: dict[str, Format] = {
    "text/plain": "plain",
    "text/markdown": "plain",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/rtf": "rtf",
    "application/x-rtf": "rtf",
    "text/rtf": "rtf",
    "text/richtext": "rtf",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "application/xml": "cda",
    "text/xml": "cda",
    "application/hl7-v3+xml": "cda",
    "application/hl7-cda+xml": "cda",
    "application/cda+xml": "cda",
}
_PACKED = frozenset({"application/gzip", "application/x-gzip"})  # say nothing of what is inside
_UNKNOWN = frozenset({"application/octet-stream", "binary/octet-stream"}) | _PACKED
READ_TYPES = "text/plain, text/html, application/rtf, application/pdf or CDA (application/xml)"

_SIGNATURE_WITHIN = 1024  # bytes
_SIGNATURES: tuple[tuple[re.Pattern[bytes], Format], ...] = (
    (re.compile(rb"\s*%PDF-"), "pdf"),
    (re.compile(rb"\s*\{\\rtf"), "rtf"),
    (re.compile(rb"\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE), "html"),
    (re.compile(rb"\s*<\?xml\b"), "cda"),
    (re.compile(rb"\s*<(?:\w+:)?ClinicalDocument[\s>]"), "cda"),
)


def format_of(stated: str) -> Format | None:
    """Return the form that a content type states, or None when it is not read, or may hold anything."""
    return _MEDIA_TYPES.get(content_type(stated)[0])


def read_attachment(raw: bytes, stated: str, settings: Settings, *, place: str) -> Extracted:
    """Return the text of an attachment whose content type is `stated` ("text/plain; charset=utf-8").

    An attachment that is evidently something else than it says (RTF sent as text/plain) is read as what it is.

    Raises `InputError`, with `place`, when the bytes are damaged, too large, of another charset, or take the reader
    longer or more memory than the settings allow; `UnsupportedError` when there is no text in them to be read.
    """
    if raw.startswith(MAGIC):
        raw = unzipped(raw, settings.max_body_bytes, place=place)
    media_type, charset = content_type(stated)
    format_ = evident_format(raw) or _MEDIA_TYPES.get(media_type) or ("plain" if media_type in _PACKED else None)
    if format_ is None:
        raise UnsupportedError(f"this content type is not read; send {READ_TYPES}", place=place)
    if charset is not None:
        charset = known_charset(charset, place=place)
    limits = Limits(chars=settings.max_note_chars, bytes=settings.max_body_bytes)
    if format_ == "plain":
        return Extracted(text=decode_attachment(raw, charset or marked_charset(raw), place=place))
    return pool(settings).read(Request(raw=raw, format=format_, charset=charset, limits=limits), place=place)


def may_be_read(stated: str) -> bool:
    """Tell whether an attachment of this content type is worth fetching."""
    media_type = content_type(stated)[0]
    return media_type in _MEDIA_TYPES or media_type in _UNKNOWN


def require_hash(raw: bytes, size: object, digest: str | None, *, place: str) -> None:
    """Compare the bytes with their stated size and SHA-1 (base64), where those are given. Raises `InputError`.

    Source: https://hl7.org/fhir/R4/datatypes.html#Attachment
    """
    if size is not None and (isinstance(size, bool) or size != len(raw)):
        raise InputError(
            f"the attachment's size is not that of its data, {len(raw)} bytes; the data may be cut off",
            place=f"{place}.size",
            code="value",
        )
    # SHA-1 is what FHIR R4 prescribes here; it guards against accidents, not against attackers.
    actual = base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode("ascii")
    if digest is not None and digest.strip() != actual:
        raise InputError(
            "the attachment's hash is not the SHA-1 of its data; the data may be damaged",
            place=f"{place}.hash",
            code="value",
        )


def evident_format(raw: bytes) -> Format | None:
    """Return the form that the first bytes tell (RTF, PDF, HTML, XML), or None when they tell none."""
    start = raw[:_SIGNATURE_WITHIN].removeprefix(b"\xef\xbb\xbf")
    return next((format_ for pattern, format_ in _SIGNATURES if pattern.match(start)), None)
