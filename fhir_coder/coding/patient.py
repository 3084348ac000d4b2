"""Codes that do not fit the patient's age and sex, and codes that take their place.

`mappings/coding/patient_edits.csv` states for whom codes are only, as the Medicare Code Editor does: female, male,
newborn (the first year), child (to 17 years), adult (from 15 years), maternity (9 to 64 years).
`mappings/coding/patient_codes.csv` states which code is written for whom: sepsis of a newborn is P36.9, not A41.9.
Both speak only where age and sex are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from fhir_coder.coding.codes import is_below
from fhir_coder.coding.context import Context
from fhir_coder.coding.evidence import Sign
from fhir_coder.errors import TableError
from fhir_coder.tables import read_table, split

_YEAR = 365.25
_GROUPS: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "newborn": ("patients in their first year", lambda years: years < 1),
    "child": ("patients up to 17 years", lambda years: years < 18),
    "adult": ("patients from 15 years on", lambda years: years >= 15),
    "maternity": ("patients of 9 to 64 years", lambda years: 9 <= years < 65),
}
_SEXES = frozenset({"female", "male"})


@dataclass(frozen=True, slots=True)
class Variant:
    """The code that is written for this patient, and why."""

    code: str
    reason: str


def objection(code: str, context: Context) -> str | None:
    """Return why a code must not be written for this patient, or None."""
    for codes, only, source in _edits():
        if not is_below(code, codes):
            continue
        if only in _SEXES:
            if context.sex and context.sex != only:
                return f"it is for {only} patients only, and this patient is {context.sex} ({source})"
        elif context.age_days is not None and not _GROUPS[only][1](context.age_days / _YEAR):
            return f"it is for {_GROUPS[only][0]} only, and this patient is {_age(context.age_days)} old ({source})"
    return None


def variant(code: str, context: Context, sentence: tuple[int, int]) -> Variant | None:
    """Return the code that takes the place of another for this patient, or None.

    What is said to be of the time after a birth must be said so in the sentence: a note speaks of births long ago, too.
    """
    for when, use, source in _variants().get(code, ()):
        if when == "postpartum" and not _is_within(context.postpartum, sentence):
            continue
        if said := _holds(when, context):
            return Variant(use, f"{said} ({source})")
    return None


def _is_within(sign: Sign | None, sentence: tuple[int, int]) -> bool:
    return sign is not None and sign.span is not None and sentence[0] <= sign.span[0] < sentence[1]


def _holds(when: str, context: Context) -> str | None:
    """Return what makes a condition of the table true, in words, or None where it is false or unknown."""
    if when == "pregnant" and context.pregnant:
        return f"the note says {context.pregnant}"
    if when == "postpartum" and context.postpartum:
        return f"the note says {context.postpartum}"
    if when in _SEXES:
        return f"the patient is {when}" if context.sex == when else None
    if context.age_days is None:
        return None
    years = context.age_days / _YEAR
    is_so = {
        "newborn": bool(context.is_newborn),
        "not newborn": years >= 1,
        "child": years < 18 and not context.is_newborn,
        "adult": years >= 18,
    }
    return f"the patient is {_age(context.age_days)} old" if is_so.get(when) else None


def _age(days: int) -> str:
    return (
        f"{days} days"
        if days < 2 * 31
        else f"{days // 30} months"
        if days < 2 * _YEAR
        else f"{int(days / _YEAR)} years"
    )


@cache
def _edits() -> tuple[tuple[tuple[str, ...], str, str], ...]:
    rows = read_table("coding/patient_edits.csv", ("codes", "only", "source"))
    for row in rows:
        if row["only"] not in _SEXES | _GROUPS.keys():
            raise TableError(f"mappings/coding/patient_edits.csv: for whom is {row['only']!r}?")
    return tuple((split(row["codes"]), row["only"], row["source"]) for row in rows)


@cache
def _variants() -> Mapping[str, tuple[tuple[str, str, str], ...]]:
    known = {"newborn", "not newborn", "child", "adult", "female", "male", "pregnant", "postpartum"}
    found: dict[str, tuple[tuple[str, str, str], ...]] = {}
    for row in read_table("coding/patient_codes.csv", ("code", "when", "use", "source")):
        if row["when"] not in known:
            raise TableError(f"mappings/coding/patient_codes.csv: when is {row['when']!r}?")
        found[row["code"]] = (*found.get(row["code"], ()), (row["when"], row["use"], row["source"]))
    return found
