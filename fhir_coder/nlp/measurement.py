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
_DATE = (
    r"\d{1,2}/\d{1,2}(?:/(?:\d{4}|\d{2}))?|\d{4}-\d{2}-\d{2}"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?(?:,? \d{4})?"
)
_TIMES = (
    rf"(?:on|as of|from|dated|drawn on|drawn) (?:{_DATE})(?: at (?:\d{{1,2}}:\d{{2}}|\d{{4}}))?"
    r"|at (?:\d{1,2}:\d{2}(?: ?[ap]\.?m)?|[0-2]\d[0-5]\d(?: ?h(?:ou)?rs?)?|\d{1,2} ?[ap]\.?m)"
    r"|(?:this|yesterday) (?:morning|afternoon|evening)|yesterday|today|tonight|last night|on admission|on arrival"
    r"|at discharge|at presentation|at baseline|overnight"
)
_BETWEEN = (
    rf"(?:[\s:=~*]|(?i:{_TIMES})\b|\(?(?:mean|avg|oral|rectal|resting|random|fasting|serum|spot|initial"
    rf"|repeat|today)\)?\b"
    r"|(?:levels?|counts?|values?|results?|readings?|of|is|was|were|at|now|currently|to|came back|returned|down|up"
    r"|trended|trending|rose|risen|fell|fallen|dropped|increased|decreased|improved|declined|went|climbed"
    r"|peaked|has|had"
    r"|have|been|come|then|again|today|titers?|titres?|critically|slightly|mildly|markedly|significantly"
    r"|normal|just|only"
    r"|elevated|low|high|critical|stable|remains?|measured|noted|around|about|approximately)\b"
    r"|\([A-Za-z0-9]{1,8}\)|-\s)*"
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,7}(?:\.\d{1,4})?|\.\d{1,4}"
_COMPARATOR = r"[<>]=?|≤|≥|(?:less|greater|more) than"
_QUANTITY = re2.compile(rf"{_BETWEEN}(?P<from>from\s+)?(?P<comparator>{_COMPARATOR})?\s*(?P<number>{_NUMBER})")
_PRESSURE = re2.compile(
    rf"(?i){_BETWEEN}(?P<systolic>\d{{2,3}})\s*(?:/|over)\s*(?P<diastolic>\d{{2,3}})(?:mm\s?\[?hg\b\]?|\b)(?P<rest>)"
)
_FINDING = re2.compile(
    rf"(?i){_BETWEEN}(?:for )?(?P<finding>(?:weakly |strongly )?(?:positive|reactive)|negative"
    rf"|non-?reactive|trace|undetectable"
    rf"|not detected|none detected|detected|within normal limits|wnl|normal|unremarkable|indeterminate|equivocal"
    rf"|inconclusive|pos|neg|[1l]:\d{{1,6}})\b|{_BETWEEN}(?P<grade>\d\+|\(\+\)|\(-\))"
)
# A result before the test: "negative troponin", "a positive ANA"; with a negation before it nothing is sure.
_RESULT_BEFORE = re2.compile(
    r"(?i)(?P<not>\b(?:no|not|without|denies|never|non)[\s-]+(?:[a-z]+\s+)?)?\b(?P<finding>(?:weakly "
    r"|strongly )?positive|negative"
    r"|non-?reactive|reactive|undetectable|normal|unremarkable)\s+$"
)
_LEVEL_BEFORE = re2.compile(
    r"(?i)\b(?P<level>critically (?:high|low|elevated)|very (?:high|low)|elevated|high|increased|low"
    r"|decreased|reduced|abnormal)\s+$"
)
# "2.1 -> 1.4", "from 2.1 to 1.4", "1.4, down from 2.1": the earlier value is kept beside the latest.
_ARROW = re2.compile(rf"^\s*(?:->|-->|–>|—>|→|>>)\s*(?P<number>{_NUMBER})")
_TO = re2.compile(rf"^\s*(?:to|->|-->|→)\s*(?P<number>{_NUMBER})")
_FORMER = re2.compile(
    rf"(?i)^\s*[,(]?\s*(?:(?:up|down|improved|increased|decreased|worse|better|trending|trended|risen"
    rf"|which is|was) )*from\s+"
    rf"(?:(?:a |his |her |the )?(?:baseline|previous|prior|nadir|peak)(?: value)?(?: of)?\s+)?(?P<number>{_NUMBER})"
)
# "(3.5-5.0)", "[ref 3.5 - 5.0]", "reference range: 3.5-5.0", "(normal <5)".
_RANGE_TITLE = r"(?:ref(?:erence)?\.?(?: range| interval)?|normal(?: range)?(?: is)?|nl|range|normals?)\s*[:=]?\s*"
_RANGE = re2.compile(
    rf"(?i)^\s*[,;]?\s*(?P<open>[(\[])?\s*(?P<title>{_RANGE_TITLE})?(?:(?P<low>{_NUMBER})\s*(?:-|–"
    rf"|to)\s*(?P<high>{_NUMBER})"
    rf"|(?P<most><=?|≤|up to|less than)\s*(?P<upper>{_NUMBER})|(?P<least>>=?|≥|greater than"
    rf"|more than)\s*(?P<lower>{_NUMBER}))"
)
_TIME = re2.compile(rf"(?i)^\s*[,(]?\s*(?P<time>{_TIMES})\b")
_TIME_WITHIN = re2.compile(rf"(?i)\b(?P<time>{_TIMES})\b")
# A range of values: only with decimals or a unit, else it may be a date.
_SPREAD = re2.compile(rf"{_BETWEEN}(?P<low>{_NUMBER})\s*(?:-|–|to)\s*(?P<high>{_NUMBER})")
_SIGNS = {"(+)": "positive", "(-)": "negative", "pos": "positive", "neg": "negative"}
# A date, a time, a fraction, a range, an ordinal.
_AFTER_NUMBER = re2.compile(r"[/-]\d|:\d\d|\d|(?:st|nd|rd|th)\b|[A-Za-z]*\s?(?:/|x)\s?\d{1,2}/")

_COMPARATORS = {"≤": "<=", "≥": ">=", "less than": "<", "greater than": ">", "more than": ">"}
_UNIT_OR_DATE = re2.compile(r"\S*/\S*")  # of which no letter is a flag: "4.2 mmol/L"
_REQUIRED = frozenset({"mL/min/{1.73_m2}"})  # "EGFR neg" is a gene
_CHANGED = re2.compile(r"(?i)\b(?:up|down|rose|risen|fell|fallen|dropped|increased|decreased|declined|climbed)\s+$")
_WEIGHTS = frozenset({"[lb_av]", "kg"})  # "weight up 5 lb" is how much it is more; "WBC up 14" is how many there are
_AGO = re2.compile(r"^\s*ago\b")  # "3 weeks ago" is no value
_FILLER = 60  # characters that are searched for a value
_TAIL = 60  # and those behind it for range, flag and time
_WORDY = 6  # characters from test to value from which there may be a word among them
_MOST_VALUES = 8  # of a trend
_DOSES = frozenset({"mg", "ug", "g", "mEq", "meq", "[iU]", "U"})  # amounts, not concentrations


def read_measurement(
    text: str, end: int, limit: int, measures: tuple[Measure, ...], code: str, before: str = ""
) -> Mapping[str, Any]:
    """Return what is measured by the test whose mention ends at `end`; empty when no value follows before `limit`.

    Keys: `value`, `comparator`, `unit` (UCUM), `unit_text` (as written), or `systolic` and `diastolic`, or
    `value_text`; `previous_value` (of a trend), `reference_range` (low, high, text), `interpretation` (a code of
    https://terminology.hl7.org/CodeSystem-v3-ObservationInterpretation.html), `time` (as written); and `value_end`, the
    offset behind the value. A value outside the plausible range of every unit, or without a unit where several are
    possible, is not taken. A result may stand in the words `before` the test ("negative troponin").
    """
    window = text[end : min(limit, end + _FILLER)]
    if code == BLOOD_PRESSURE:
        found = _pressure(window, end)
    else:
        found = _quantity(window, end, (*measures, *_alternatives().get(code, ())))
        if not found and not any(measure.unit in _REQUIRED for measure in measures):
            found = _finding(window, end)
        if not found and measures:
            found = _spread(window, end, measures)
        if not found and before and (match := _RESULT_BEFORE.search(before)) and not match.group("not"):
            found = {"value_text": match.group("finding").lower(), "value_end": end}
    if not found:
        return {}
    return _with_tail(text, end, limit, found, read_level(before))


def read_level(before: str) -> str | None:
    """Return the interpretation that the word before a test gives: "elevated creatinine"."""
    match = _LEVEL_BEFORE.search(before) if before.strip() else None
    return _interpretations()[match.group("level").lower()] if match else None


def _quantity(window: str, end: int, measures: tuple[Measure, ...]) -> dict[str, Any]:
    """Return the number behind a test, and nothing when it cannot be its value."""
    match = _QUANTITY.match(window)
    if match is None:
        return {}
    written, position = [match.group("number")], match.end()
    unit, unit_text = _own_unit(window[position:], measures)
    position = _behind_unit(window, position, unit_text)
    has_changed = _CHANGED.search(window[: match.end() - len(match.group("number"))]) is not None
    step = _TO if match.group("from") or has_changed else _ARROW
    while len(written) < _MOST_VALUES and (following := step.match(window[position:])):
        written.append(following.group("number"))
        position += following.end()
        unit, unit_text = _own_unit(window[position:], measures)
        position = _behind_unit(window, position, unit_text)
    if match.group("from") and len(written) == 1:
        return {}
    if has_changed and len(written) > 1:  # "dropped 2 g/dL to 8.1"
        del written[0]
    elif has_changed and unit in _WEIGHTS and not _FORMER.match(window[position:]):
        return {}
    number_end = position - len(unit_text)
    behind = window[match.end() :] if len(written) == 1 else window[number_end:]
    if behind.startswith("+") or _AFTER_NUMBER.match(behind):  # a grade ("2+"), a titre, a date
        return {}
    if _AGO.match(window[position:]):
        return {}
    values = [float(number.replace(",", "")) for number in written]
    if len(values) == 1 and (former := _FORMER.match(window[position:])):
        values.insert(0, float(former.group("number").replace(",", "")))
        unit_behind = _own_unit(window[position + former.end() :], measures)[1]
        position = _behind_unit(window, position + former.end(), unit_behind)
    checked = _checked_unit(values[-1], unit, measures)
    if checked is None:
        return {}
    measurement: dict[str, Any] = {"value": _plain(values[-1])}
    if match.group("comparator"):
        comparator = match.group("comparator").lower()
        measurement["comparator"] = _COMPARATORS.get(comparator, comparator)
    if len(values) > 1 and _checked_unit(values[-2], unit, measures) is not None:
        measurement["previous_value"] = _plain(values[-2])
    if checked:
        measurement |= {"unit": checked, "unit_text": unit_text or checked}
    return measurement | {"value_end": end + position}


def _own_unit(behind: str, measures: tuple[Measure, ...]) -> tuple[str, str]:
    """Return the unit at the start of a text, unless it is a flag or a test: "K 3.1 L", "Na 138 K 4.2", "37 HR 80"."""
    unit, written = _unit(behind)
    may_be_other = (len(written) == 1 and written.isalpha()) or written == "HR"
    is_other = may_be_other and unit not in {measure.unit for measure in measures}
    return ("", "") if is_other else (unit, written)


def _behind_unit(window: str, position: int, unit_text: str) -> int:
    if not unit_text:
        return position
    behind = window[position:]
    return position + len(behind) - len(behind.lstrip()) + len(unit_text)


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else value


def _spread(window: str, end: int, measures: tuple[Measure, ...]) -> dict[str, Any]:
    """Return a range of values as text: "0-2 /hpf"."""
    match = _SPREAD.match(window)
    if match is None:
        return {}
    low, high = (float(match.group(name).replace(",", "")) for name in ("low", "high"))
    _, unit_text = _own_unit(window[match.end() :], measures)
    decimal = "." in match.group("low") and "." in match.group("high")
    if not (unit_text or decimal) or low >= high or window[match.end() :][:1] in ("/", "-"):
        return {}
    if not any(_is_plausible(low, measure) and _is_plausible(high, measure) for measure in measures):
        return {}
    spread = f"{match.group('low')}-{match.group('high')} {unit_text}".strip()
    return {"value_text": spread, "value_end": end + _behind_unit(window, match.end(), unit_text)}


def _with_tail(text: str, end: int, limit: int, found: Mapping[str, Any], level: str | None) -> Mapping[str, Any]:
    """Add what stands between a test and its value, and behind the value: range, flag and time."""
    measurement = dict(found)
    position = measurement["value_end"]
    between = text[end:position]
    is_wordy = len(between) > _WORDY
    if is_wordy and (match := _TIME_WITHIN.search(between)):
        measurement["time"] = match.group("time")
    interpretation = level or _interpretations().get(str(measurement.get("value_text")))
    if is_wordy and "value_text" not in measurement and (phrase := _levels().search(_UNIT_OR_DATE.sub(" ", between))):
        interpretation = interpretation or phrase.meaning
    for _ in range(3):
        window = text[position : min(limit, position + _TAIL)]
        if "reference_range" not in measurement and (taken := _reference_range(window)):
            measurement["reference_range"], length = taken
        elif flag := _flag(window):
            interpretation, length = flag
        elif "time" not in measurement and (match := _TIME.match(window)):
            measurement["time"], length = match.group("time"), match.end()
        else:
            break
        position += length
    if interpretation:
        measurement["interpretation"] = interpretation
    measurement["value_end"] = position
    return measurement


def _reference_range(window: str) -> tuple[dict[str, Any], int] | None:
    """Return a reference range at the start of a text and its length: it stands in brackets, or has a title."""
    match = _RANGE.match(window)
    if match is None or not (match.group("open") or match.group("title")):
        return None
    rest = window[match.end() :]
    unit_text = _unit(rest)[1]
    end = _behind_unit(window, match.end(), unit_text)
    blanks = len(window[end:]) - len(window[end:].lstrip())
    if match.group("open"):
        if window[end + blanks : end + blanks + 1] not in (")", "]"):
            return None
        written, end = window[match.start(1) + 1 : end], end + blanks + 1
    elif window[end : end + 1] in ("/", "-"):
        return None
    else:
        written = window[:end]
    low, high = match.group("low") or match.group("lower"), match.group("high") or match.group("upper")
    range_: dict[str, Any] = {"text": " ".join(written.strip(" ,;").split())}
    if low:
        range_["low"] = _plain(float(low.replace(",", "")))
    if high:
        range_["high"] = _plain(float(high.replace(",", "")))
    if low and high and range_["low"] >= range_["high"]:
        return None
    return range_, end


def _flag(window: str) -> tuple[str, int] | None:
    """Return the interpretation at the start of a text, and the length of its words: "(H)", "high", "L"."""
    start = len(window) - len(window.lstrip(" *!,"))
    phrase = _levels().at(window, start)
    opened = window[start : start + 1] in ("(", "[")
    if phrase is None and opened:
        phrase = _levels().at(window, start + 1)
        if phrase and window[phrase.end : phrase.end + 1] not in (")", "]"):
            phrase = None
    if phrase is None:
        return None
    written = window[phrase.start : phrase.end].strip("()[]")
    # A letter is a flag in capitals only, and not where it begins a word or a measure: "88 L arm", "5 h".
    if len(written) <= 2 and (not written.isupper() or not _ends_flag(window, phrase.end)):
        return None
    if len(written) > 2 and window[:start].strip(" ") == "," and not _ends_flag(window, phrase.end):
        return None
    return phrase.meaning, phrase.end + (1 if opened and window[phrase.end : phrase.end + 1] in (")", "]") else 0)


def _ends_flag(window: str, end: int) -> bool:
    rest = window[end:]
    return (
        not rest.strip()
        or bool(_TIME.match(rest))
        or rest.lstrip(" ")[:1] in ",;.)]\n(*["
        or rest.lstrip()[:1].isdigit()
    )


def is_dose(text: str, end: int, limit: int) -> bool:
    """Tell whether an amount follows ("potassium 20 mEq"): then a medication is meant, not a test."""
    window = text[end : min(limit, end + _FILLER)]
    match = _QUANTITY.match(window)
    return match is not None and _unit(window[match.end() :])[0] in _DOSES


def _pressure(window: str, end: int) -> dict[str, Any]:
    match = _PRESSURE.match(window)
    if match is None:
        return {}
    systolic, diastolic = int(match.group("systolic")), int(match.group("diastolic"))
    if not diastolic < systolic <= 350 or diastolic < 10:  # millimetres of mercury
        return {}
    return {"systolic": systolic, "diastolic": diastolic, "unit": "mm[Hg]", "value_end": end + match.end()}


def _finding(window: str, end: int) -> dict[str, Any]:
    match = _FINDING.match(window)
    if match is None:
        return {}
    written = (match.group("finding") or match.group("grade")).lower()
    return {"value_text": _SIGNS.get(written, written), "value_end": end + match.end()}


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
def _interpretations() -> Mapping[str, str]:
    """Return the code of each word of the table."""
    columns = ("code", "display", "place", "names")
    return {name: row["code"] for row in read_table("interpretations.csv", columns) for name in split(row["names"])}


@cache
def _levels() -> Phrases[str]:
    """Return the words that say how a value lies, without those that are a result themselves."""
    rows = read_table("interpretations.csv", ("code", "display", "place", "names"))
    return Phrases({name: row["code"] for row in rows if row["place"] == "both" for name in split(row["names"])})


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
