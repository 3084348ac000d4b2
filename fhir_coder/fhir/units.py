"""Whether a unit is one of UCUM: https://ucum.org/ucum.

The units of our tables are known to be (a test parses each); others, which a release of LOINC brings along, are parsed
by ucumvert, which takes half a second to load and a millisecond each.
"""

from __future__ import annotations

from functools import cache, lru_cache

from fhir_coder.tables import read_table

_TIMES = frozenset({"s", "min", "h", "d", "wk", "mo", "a"})
# As mappings/starter/loinc.csv and units.csv write it, and as UCUM does.
_OTHERWISE = {"ppm": "[ppm]"}
_LONGEST = 60  # characters of a unit
_REMEMBERED = 1000


def ucum(code: str | None) -> str | None:
    """Return the code of UCUM for a unit of our tables or of a release; None where it is none."""
    if code is None:
        return None
    code = _OTHERWISE.get(code, code)
    return code if is_ucum(code) else None


def is_ucum(code: str) -> bool:
    """Tell whether a code is a unit of UCUM."""
    return code in _tabled() or _parses(code)


@cache
def _tabled() -> frozenset[str]:
    measured = {row["ucum"] for row in read_table("units.csv", ("ucum", "names"))}
    given = {row["ucum"] for row in read_table("medication_units.csv", ("unit", "ucum", "names"))}
    return (_TIMES | measured | given) - _OTHERWISE.keys()


@lru_cache(maxsize=_REMEMBERED)
def _parses(code: str) -> bool:
    if not code or len(code) > _LONGEST:
        return False
    from lark.exceptions import LarkError
    from ucumvert import get_ucum_parser

    try:
        get_ucum_parser().parse(code)
    except LarkError:
        return False
    return True
