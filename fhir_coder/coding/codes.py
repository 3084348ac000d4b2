"""Sets of ICD-10-CM codes as tables and tabular notes write them."""

from __future__ import annotations

import re
from functools import lru_cache

from fhir_coder.tables import split

_CODE = r"[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?"
_REFERENCE = re.compile(rf"\b({_CODE})(?:\.?-(?:({_CODE})\b)?|\b)")


def is_below(code: str, prefixes: tuple[str, ...]) -> bool:
    """Tell whether a code is one of some codes, or stands below one: E11.22 below E11 and E11.2."""
    return code.startswith(prefixes) if prefixes else False


def alternatives(cell: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of a cell, of which each must be met: "I50 + N18.5|N18.6"."""
    return tuple(split(group) for group in cell.split("+") if group.strip())


@lru_cache(maxsize=1 << 14)
def references(text: str) -> tuple[tuple[str, str], ...]:
    """Return the ranges of codes that a note of the tabular list names: "(E08.-)", "(P70-P74)", "(R73.9)".

    A range holds all codes from its first to those below its last; it is of one code where both are the same.
    """
    inside = re.findall(r"[(\[]([^()\[\]]*)[)\]]", text)
    return tuple((match[1], match[2] or match[1]) for part in inside for match in _REFERENCE.finditer(part))


def names(ranges: tuple[tuple[str, str], ...], code: str) -> bool:
    """Tell whether a code is in one of some ranges."""
    return any(first <= code and (code <= last or code.startswith(last)) for first, last in ranges)
