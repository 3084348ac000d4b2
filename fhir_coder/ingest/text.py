"""The rules every note text meets, whatever it came in: charset, control characters, length, not blank."""

from __future__ import annotations

from fhir_coder.attachments.charset import decode_text, known_charset
from fhir_coder.errors import InputError
from fhir_coder.settings import Settings

__all__ = ["clean_text", "decode_text", "known_charset", "without_controls"]

# One for one, so that every offset holds: C0 controls carry no meaning in a note and are illegal in
# FHIR strings (https://hl7.org/fhir/R4/datatypes.html#string); tab, line feed and carriage return stay.
_CONTROLS = {code: " " for code in range(0x20) if chr(code) not in "\t\n\r"}


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
