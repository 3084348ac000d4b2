"""Values behind laboratory tests and vital signs: "Hgb 10.2 g/dL", "BP 148/92", "troponin <0.01", "UA negative"."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import re2

from fhir_coder.errors import TableError
from fhir_coder.nlp.phrases import Phrases
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.release import Measure

BLOOD_PRESSURE = "85354-9"  # LOINC: the panel whose components are systolic and diastolic

# What may stand between a test and its value. Anything else ends the search: the number is about something else.
_BETWEEN = (
    r"(?:[\s:=~*]|\(?(?:mean|avg|oral|rectal|resting|random|fasting|serum|spot|initial|repeat|today)\)?\b"
    r"|(?:levels?|counts?|values?|results?|readings?|of|is|was|were|at|now|currently|to|came back|returned|down|up"
    r"|elevated|low|high|stable|remains?|measured|noted|around|about|approximately)\b|\([A-Za-z0-9]{1,8}\)|-\s)*"
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,7}(?:\.\d{1,4})?|\.\d{1,4}"
_COMPARATOR = r"[<>]=?|≤|≥|(?:less|greater|more) than"
_QUANTITY = re2.compile(rf"{_BETWEEN}(?P<comparator>{_COMPARATOR})?\s*(?P<number>{_NUMBER})(?P<rest>)")
_PRESSURE = re2.compile(rf"{_BETWEEN}(?P<systolic>\d{{2,3}})\s*(?:/|over)\s*(?P<diastolic>\d{{2,3}})\b(?P<rest>)")
_FINDING = re2.compile(
    rf"(?i){_BETWEEN}(?P<finding>(?:weakly |strongly )?positive|negative|non-?reactive|reactive|trace|undetectable"
    rf"|not detected|detected|within normal limits|wnl|normal|unremarkable)\b|{_BETWEEN}(?P<grade>\d\+)"
)
_AFTER_NUMBER = re2.compile(r"[/-]\d|:\d\d|\d|[A-Za-z]*\s?(?:/|x)\s?\d{1,2}/")  # a date, a time, a fraction, a range

_COMPARATORS = {"≤": "<=", "≥": ">=", "less than": "<", "greater than": ">", "more than": ">"}
_FILLER = 60  # characters that are searched for a value
_DOSES = frozenset({"mg", "ug", "g", "mEq", "meq", "[iU]", "U"})  # amounts, not concentrations


def read_measurement(text: str, end: int, limit: int, measures: tuple[Measure, ...], code: str) -> Mapping[str, Any]:
    """Return what is measured by the test whose mention ends at `end`; empty when no value follows before `limit`.

    Keys: `value`, `comparator`, `unit` (UCUM), `unit_text` (as written), or `systolic` and `diastolic`, or
    `value_text`; and `value_end`, the offset behind the value. A value outside the plausible range of every unit,
    or without a unit where several are possible, is not taken.
    """
    window = text[end : min(limit, end + _FILLER)]
    if code == BLOOD_PRESSURE:
        return _pressure(window, end)
    match = _QUANTITY.match(window)
    if match is None:
        return _finding(window, end)
    behind = window[match.end() :]
    if behind.startswith("+"):  # a grade: "protein 2+"
        return _finding(window, end)
    if _AFTER_NUMBER.match(behind):
        return {}
    unit, unit_text = _unit(behind)
    value = float(match.group("number").replace(",", ""))
    checked = _checked_unit(value, unit, (*measures, *_alternatives().get(code, ())))
    if checked is None:
        return {}
    measurement: dict[str, Any] = {"value": int(value) if value.is_integer() else value}
    if match.group("comparator"):
        comparator = match.group("comparator").lower()
        measurement["comparator"] = _COMPARATORS.get(comparator, comparator)
    if checked:
        measurement |= {"unit": checked, "unit_text": unit_text or checked}
    blanks = len(behind) - len(behind.lstrip())
    measurement["value_end"] = end + match.end() + (blanks + len(unit_text) if unit_text else 0)
    return measurement


def is_dose(text: str, end: int, limit: int) -> bool:
    """Tell whether an amount follows ("potassium 20 mEq"): then a medication is meant, not a test."""
    window = text[end : min(limit, end + _FILLER)]
    match = _QUANTITY.match(window)
    return match is not None and _unit(window[match.end() :])[0] in _DOSES


def _pressure(window: str, end: int) -> Mapping[str, Any]:
    match = _PRESSURE.match(window)
    if match is None:
        return {}
    systolic, diastolic = int(match.group("systolic")), int(match.group("diastolic"))
    if not diastolic < systolic <= 350 or diastolic < 10:  # millimetres of mercury
        return {}
    return {"systolic": systolic, "diastolic": diastolic, "unit": "mm[Hg]", "value_end": end + match.end()}


def _finding(window: str, end: int) -> Mapping[str, Any]:
    match = _FINDING.match(window)
    if match is None:
        return {}
    return {"value_text": (match.group("finding") or match.group("grade")).lower(), "value_end": end + match.end()}


def _unit(behind: str) -> tuple[str, str]:
    """Return the unit at the start of a text as UCUM and as written; both empty when there is none."""
    blanks = len(behind) - len(behind.lstrip())
    phrase = _units().at(behind, blanks) if blanks <= 1 else None
    return (phrase.meaning, behind[phrase.start : phrase.end]) if phrase else ("", "")


def _checked_unit(value: float, unit: str, measures: tuple[Measure, ...]) -> str | None:
    """Return the unit of a value ("" when the test has none), or None when the value cannot be one of this test."""
    if unit:
        stated = [measure for measure in measures if measure.unit == unit]
        return unit if not stated or any(_is_plausible(value, measure) for measure in stated) else None
    if not measures:
        return None
    plausible = {measure.unit for measure in measures if _is_plausible(value, measure)}
    return plausible.pop() if len(plausible) == 1 else None


def _is_plausible(value: float, measure: Measure) -> bool:
    return (measure.low is None or value >= measure.low) and (measure.high is None or value <= measure.high)


@cache
def _units() -> Phrases[str]:
    rows = read_table("units.csv", ("ucum", "names"))
    return Phrases({name: row["ucum"] for row in rows for name in (row["ucum"], *split(row["names"]))})


@cache
def _alternatives() -> dict[str, tuple[Measure, ...]]:
    alternatives: dict[str, tuple[Measure, ...]] = {}
    for row in read_table("unit_alternatives.csv", ("code", "unit", "low", "high")):
        try:
            measure = Measure(code=row["code"], unit=row["unit"], low=float(row["low"]), high=float(row["high"]))
        except ValueError as error:
            raise TableError(f"mappings/unit_alternatives.csv: {row['code']}: {error}") from error
        alternatives[row["code"]] = (*alternatives.get(row["code"], ()), measure)
    return alternatives
