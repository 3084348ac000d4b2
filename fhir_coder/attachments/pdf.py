"""application/pdf -> text, by pypdf. The origin of each part is its page."""

from __future__ import annotations

import io
import logging

from pypdf import PasswordType, PdfReader
from pypdf.errors import LimitReachedError

from fhir_coder.attachments.extracted import Extracted, Limits, joined
from fhir_coder.attachments.pages import running_text
from fhir_coder.errors import InputError, UnsupportedError

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings may quote what it reads

_MOST_PAGES = 2_000


def read_pdf(raw: bytes, charset: str | None, limits: Limits) -> Extracted:  # noqa: ARG001 - the readers' signature
    """Return the text of the pages, without the headers and footers that they repeat.

    Raises `UnsupportedError` when it is encrypted or holds images alone, and `InputError` when it is damaged or
    too large.
    """
    try:
        pages = _pages(raw, limits)
    except LimitReachedError:
        raise InputError("the PDF expands beyond what a note can hold; send the text", code="too-long") from None
    found = joined(((f"page {number}", text) for number, text in enumerate(running_text(pages), start=1)), "")
    if not found.text.strip():
        raise UnsupportedError("the PDF holds no text, only images (a scan?); send it with its text recognised")
    return found


def _pages(raw: bytes, limits: Limits) -> list[str]:
    reader = PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise UnsupportedError("the PDF is encrypted; send it without a password")
    pages: list[str] = []
    length = 0
    for number, page in enumerate(reader.pages, start=1):
        text = page.extract_text()
        pages.append(text)
        length += len(text)
        if number > _MOST_PAGES or length > limits.chars:
            raise InputError("the PDF is longer than the setting max_note_chars allows; split it", code="too-long")
    return pages
