r"""Escape sequences of HL7 v2 text and the marks they stand for.

Source: HL7 v2.5.1 and v2.8, chapter 2, sections 2.5.4 (delimiters) and 2.7 (escape sequences, formatted text).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

# Space between lines and within them says nothing that a longer one would not say, and a number of nine digits must
# not become a text of a gigabyte: with these bounds a text grows by less than a half.
_MOST_LINE_ENDS = 3
_MOST_SPACES = 8

_LINE_ENDS = frozenset({"br", "sp", "ce"})  # what begins a new line; .ce centres the next one


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The characters of MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""  # of v2.7, where MSH-2 has a fifth character


def unescape(raw: str, delimiters: Delimiters, charset: str) -> str:
    r"""Return `raw` with its escape sequences resolved; an unknown one stays as it is.

    \F\ \S\ \T\ \R\ \E\ \P\ are the delimiters and \Xdd..\ bytes in `charset` (Python's name). Highlighting (\H\ \N\)
    and changes of the character set (\Cxxyy\ \Mxxyyzz\) carry no text; of formatting commands, .br .sp .ce end
    the line, .sk is space, and indents and fill modes (.in .ti .fi .nf) carry no text. \Zdd\ is the sender's own
    and stays.
    """
    if delimiters.escape not in raw:
        return raw
    return _sequences(delimiters.escape).sub(lambda match: _resolved(match[0], delimiters, charset), raw)


def escape(text: str, delimiters: Delimiters) -> str:
    r"""Return `text` so that it stands as one subcomponent; line ends become \.br\."""
    if text.isalnum():  # most of what is echoed in an acknowledgement
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_escapes(delimiters))


@lru_cache(maxsize=8)
def _escapes(delimiters: Delimiters) -> Mapping[int, str]:
    mark = delimiters.escape
    sequences = {
        mark: "E",
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
        "\n": ".br",
    }
    return {ord(character): f"{mark}{code}{mark}" for character, code in sequences.items()}


@lru_cache(maxsize=8)
def _sequences(mark: str) -> re.Pattern[str]:
    mark = re.escape(mark)
    # A run of \X..\ is one match: a character's bytes may be spread over several. Lengths are bounded.
    hexadecimal = rf"(?:{mark}X(?:[0-9A-Fa-f]{{2}}){{1,256}}{mark})+"
    charsets = r"C[0-9A-Fa-f]{4}|M[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{2})?"
    commands = r"\.[A-Za-z]{2} ?[+-]?[0-9]{0,9}"
    return re.compile(rf"{hexadecimal}|{mark}(?:[FSTREPHN]|{charsets}|{commands}){mark}")


def _resolved(sequence: str, delimiters: Delimiters, charset: str) -> str:
    mark = delimiters.escape
    body = sequence[1:-1]
    if body.startswith("X"):
        try:
            return bytes.fromhex(sequence.replace(f"{mark}X", "").replace(mark, "")).decode(charset)
        except UnicodeDecodeError:
            return sequence
    if body.startswith("."):
        return _formatting(body[1:3].lower(), body[3:].strip())
    characters = {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": mark,
        "P": delimiters.truncation or sequence,
    }
    return characters.get(body, "")


def _formatting(command: str, number: str) -> str:
    """What a formatting command (section 2.7.6) is in plain text; without a number it counts one."""
    number = number.removeprefix("+")
    count = int(number) if number.isdigit() else 1
    if command in _LINE_ENDS:
        return "\n" * min(count, _MOST_LINE_ENDS) if command == "sp" and count else "\n"
    return " " * min(count, _MOST_SPACES) if command == "sk" else ""
