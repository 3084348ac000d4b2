"""The rules every note text meets, whatever it came in: charset, control characters, length, not blank."""

from __future__ import annotations

import codecs
from email.message import Message

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.settings import Settings

# One for one, so that every offset holds: C0 controls carry no meaning in a note and are illegal in
# FHIR strings (https://hl7.org/fhir/R4/datatypes.html#string); tab, line feed and carriage return stay.
_CONTROLS = {code: " " for code in range(0x20) if chr(code) not in "\t\n\r"}

# Python names. Others are refused: Python also "decodes" base64, rot13 and idna under a charset's name.
_CHARSETS = frozenset(
    {"utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}
    | {"gb18030", "gbk", "gb2312", "big5", "shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "koi8-r", "koi8-u"}
    | {f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)}
    | {f"cp125{page}" for page in range(9)}
)


def without_controls(text: str) -> str:
    """Return `text` with every C0 control but tab, line feed and carriage return replaced by a space."""
    return text.translate(_CONTROLS)


def clean_text(text: str, settings: Settings, *, place: str) -> str:
    """Return `text` with control characters replaced by spaces, each by one.

    Raises `InputError` when the text is blank, longer than `settings.max_note_chars`, or holds lone surrogates.
    """
    if len(text) > settings.max_note_chars:
        raise InputError(
            f"the note has {len(text)} characters, more than the setting max_note_chars ({settings.max_note_chars}) "
            "allows; split it or raise the setting",
            place=place,
            code="too-long",
        )
    cleaned = without_controls(text)
    if not cleaned.strip():
        raise InputError("the note is empty; send a note with text", place=place, code="required")
    try:
        cleaned.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {error.start} is half of a surrogate pair; send valid Unicode", place=place, code="value"
        ) from None
    return cleaned


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


def content_type(value: str) -> tuple[str, str]:
    """Return the media type in lower case and the charset ("utf-8" when none is stated) of a Content-Type.

    The grammar is that of RFC 9110, section 8.3.1. The default is not the US-ASCII of RFC 2046 but its superset
    UTF-8, as FHIR text is UTF-8.
    """
    header = Message()
    header["Content-Type"] = " ".join(value.split())
    charset = header.get_param("charset", "utf-8")
    return value.split(";")[0].strip().lower(), charset if isinstance(charset, str) and charset else "utf-8"
