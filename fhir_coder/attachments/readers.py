"""Who reads which form. Imported by the reader processes alone: it brings the parsers."""

from __future__ import annotations

from collections.abc import Callable

from fhir_coder.attachments.cda import read_cda
from fhir_coder.attachments.charset import content_type, decode_attachment, known_charset
from fhir_coder.attachments.extracted import Extracted, Limits
from fhir_coder.attachments.gzip import MAGIC, unzipped
from fhir_coder.attachments.html import read_html
from fhir_coder.attachments.pdf import read_pdf
from fhir_coder.attachments.rtf import read_rtf
from fhir_coder.errors import InputError, UnsupportedError

Reader = Callable[[bytes, str | None, Limits], Extracted]


def read_format(raw: bytes, format_: str, charset: str | None, limits: Limits) -> Extracted:
    """Return the text of bytes in one of the forms. Raises `InputError`, also for what a parser stumbles over."""
    try:
        found = _READERS[format_](raw, charset, limits)
    except (InputError, MemoryError):
        raise
    except RecursionError:
        raise InputError("the attachment is nested too deep; send the text", code="structure") from None
    except Exception as error:
        # The type alone: a parser's message may quote what it read.
        raise InputError(
            f"the attachment cannot be read, it is damaged or no {_NAMES[format_]} ({type(error).__name__})",
            code="structure",
        ) from None
    if len(found.text) > limits.chars:
        raise InputError(
            f"the note has {len(found.text)} characters, more than the setting max_note_chars ({limits.chars}) "
            "allows; split it or raise the setting",
            code="too-long",
        )
    return found


def _read_cda(raw: bytes, charset: str | None, limits: Limits) -> Extracted:  # noqa: ARG001 - XML states its own
    return read_cda(raw, limits, _read_inner, _read_inner)


def _read_inner(raw: bytes, stated: str, limits: Limits) -> Extracted:
    """Read what a CDA document holds instead of a body in XML."""
    if raw.startswith(MAGIC):
        raw = unzipped(raw, limits.bytes, place="")
    media_type, charset = content_type(stated)
    charset = known_charset(charset, place="") if charset else None
    if media_type == "text/plain":
        return Extracted(text=decode_attachment(raw, charset or "utf-8", place=""))
    if media_type not in _INNER:
        raise UnsupportedError(
            "the body of the CDA document is of a type that is not read; send text, HTML, RTF or PDF"
        )
    return _INNER[media_type](raw, charset, limits)


_READERS: dict[str, Reader] = {"cda": _read_cda, "html": read_html, "rtf": read_rtf, "pdf": read_pdf}
_NAMES = {"cda": "XML", "html": "HTML", "rtf": "RTF", "pdf": "PDF"}
_INNER: dict[str, Reader] = {
    "text/html": read_html,
    "text/rtf": read_rtf,
    "application/rtf": read_rtf,
    "application/pdf": read_pdf,
}
