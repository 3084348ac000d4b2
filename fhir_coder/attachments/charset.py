"""Bytes -> text, by the charset that the sender states. Nothing is guessed: a guess would change what a note says."""

from __future__ import annotations

import codecs
from email.message import Message

from fhir_coder.errors import InputError, UnsupportedError

# Python names. Others are refused: Python also "decodes" base64, rot13 and idna under a charset's name.
_CHARSETS = frozenset(
    {"utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}
    | {"gb18030", "gbk", "gb2312", "big5", "shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "koi8-r", "koi8-u"}
    | {f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)}
    | {f"cp125{page}" for page in range(9)}
)
_ONE_BYTE = ("iso8859-", "cp125", "koi8-")
_UTF16_LOOKED_AT = 1000  # bytes
_UTF16_AT_LEAST = 16


def content_type(value: str) -> tuple[str, str | None]:
    """Return the media type in lower case, and the charset where one is stated, of a Content-Type.

    The grammar is that of RFC 9110, section 8.3.1.
    """
    header = Message()
    header["Content-Type"] = " ".join(value.split())
    charset = header.get_param("charset")
    return value.split(";")[0].strip().lower(), charset if isinstance(charset, str) and charset else None


def known_charset(stated: str, *, place: str) -> str:
    """Return Python's name of the stated charset. Raises `UnsupportedError` for one that is not read."""
    try:
        name = codecs.lookup(stated.strip()).name
    except (LookupError, ValueError):
        name = ""
    if name not in _CHARSETS:
        raise UnsupportedError("the stated charset is not read; send the text as UTF-8", place=place)
    return name


def decode_text(raw: bytes, charset: str, *, place: str) -> str:
    """Return `raw` decoded strictly by `charset` (see `known_charset`), without a byte order mark.

    Raises `InputError` when the bytes are of another charset: a guess would change what the note says.
    """
    try:
        text = raw.decode(charset)
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte {error.start} is not {charset}; state the charset the text is really in, or send UTF-8",
            place=place,
            code="value",
        ) from None
    return text.removeprefix("\ufeff")


def decode_attachment(raw: bytes, charset: str, *, place: str) -> str:
    """Return what `decode_text` does, and refuse bytes that the charset decodes to something else than was written.

    A one-byte charset takes any bytes, those of UTF-8 too; and UTF-16 without a mark passes for ASCII with NULs.

    Raises `InputError`.
    """
    if charset.startswith(_ONE_BYTE) and not raw.isascii() and _is_utf8(raw):
        raise InputError(
            f"the text is UTF-8, though {charset} is stated; state the charset it is in", place=place, code="value"
        )
    if not charset.startswith(("utf-16", "utf-32")) and _looks_like_utf16(raw):
        raise InputError(
            f"the text is UTF-16, though {charset} is stated; state the charset it is in", place=place, code="value"
        )
    return decode_text(raw, charset, place=place)


def marked_charset(raw: bytes) -> str:
    """Return the charset that a byte order mark tells, and UTF-8 without one: FHIR text is UTF-8."""
    return "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _looks_like_utf16(raw: bytes) -> bool:
    start = raw[:_UTF16_LOOKED_AT]
    if len(start) < _UTF16_AT_LEAST:
        return False
    nulls = (start[::2].count(0), start[1::2].count(0))
    return max(nulls) >= 0.4 * len(start) and min(nulls) <= 0.05 * len(start)
