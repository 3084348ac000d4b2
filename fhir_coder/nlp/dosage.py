"""How a medication is taken: dose, strength, form, route, frequency, duration, as needed, and what changes.

The words are those of the `mappings/medication_*.csv` tables; patterns run on re2, in time linear in the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

import re2

from fhir_coder.errors import TableError
from fhir_coder.nlp.phrases import Phrases
from fhir_coder.tables import read_table, split

_WINDOW = 160  # characters behind a medication that may belong to it
_BEFORE = 40  # and before it ("10 mg of lisinopril", "started")

_NUMBER = r"\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,4})?|\.\d{1,4}|one|two|three|four|half"
# "5/325" is the strength of a combination, "1-2" a range.
_QUANTITY = re2.compile(
    rf"(?i)(?P<combined>\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)+)[\s-]?"
    rf"|(?P<number>\b(?:{_NUMBER})|\.\d{{1,4}})(?:\s*(?:-|–|to)\s*(?P<high>{_NUMBER}))?[\s-]?"
)
_WORDS = {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "half": 0.5}
_SPAN = {
    "second": "s", "minute": "min", "hour": "h", "hr": "h", "day": "d", "week": "wk", "wk": "wk", "month": "mo",
    "mo": "mo", "year": "a", "yr": "a",
}  # fmt: skip

_DURATION = re2.compile(
    r"(?i)\b(?:for|x|×|over(?: the)?(?: next)?)\s*(?:a total of |the next |another |about )?"
    r"(?P<number>\d{1,3}|one|two|three|four)(?:\s*-\s*\d{1,3})?\s*(?:more\s+)?"
    r"(?P<span>hours?|hrs?|days?|weeks?|wks?|months?|mos?|years?|yrs?)\b"
)
_AS_NEEDED = re2.compile(
    r"(?i)\b(?:prn|p\.r\.n\.?|as needed|as required|if needed|when needed)\b"
    r"(?:\s+(?:for\s+)?(?P<reason>[a-z][a-z/-]*(?: [a-z][a-z/-]*){0,3}))?"
)
# Words that end the reason of an "as needed": the sentence goes on about something else.
_REASON_ENDS = frozenset(
    "for and with at up not max maximum take taken by he she patient then but last until while".split()
)
_ACTIONS = {
    "stop": r"stop(?:ped|ping)?|discontinu(?:e|ed|ing)|d/c(?:'?ed|'?d)?|dc'?d|off of|came off|quit",
    "hold": r"hold(?:ing)?|held",
    "increase": r"increas(?:e|ed|ing)|uptitrat(?:e|ed|ing)|titrat(?:e|ed) up",
    "decrease": r"decreas(?:e|ed|ing)|reduc(?:e|ed|ing)|tapered|lower(?:ed)?",
    "start": r"start(?:ed|ing)?|begin|began|begun|initiat(?:e|ed|ing)|add(?:ed|ing)?|prescribed?|restart(?:ed)?",
    "continue": r"continu(?:e|es|ed|ing)|cont|resum(?:e|ed)|remains? on|maintained on|taking|takes|on",
}
_ACTION = {
    action: re2.compile(rf"(?i)\b(?:{words})\s+(?:(?:her|his|the|their|home|taking|on|back|dose of|with|to)\s+)*$")
    for action, words in _ACTIONS.items()
}


@dataclass(frozen=True, slots=True)
class _Tables:
    units: Phrases[tuple[str, str]]  # the unit, and its UCUM code
    forms: Phrases[str]
    routes: Phrases[str]
    frequencies: Phrases[tuple[str, Mapping[str, Any]]]  # in words, and as FHIR Timing.repeat


@dataclass(frozen=True, slots=True)
class _Amount:
    text: str
    end: int
    value: float | None  # None for a combination: "5/325 mg"
    high: float | None
    unit: str
    ucum: str

    @property
    def is_counted(self) -> bool:
        """Tell whether it counts things (tablets, puffs) and does not weigh them."""
        return self.ucum.startswith("{")


def read_dosage(text: str, start: int, end: int, first: int, last: int) -> Mapping[str, Any]:
    """Return how the medication at `start`:`end` is taken, reading no further than `first` and `last`.

    Keys, each only when the text says so: `dose`, `dose_high` (numbers), `unit` (as the table calls it), `ucum`,
    `strength` ("500 mg"), `form`, `route`, `frequency` (words), `timing` (FHIR Timing.repeat), `duration` (words),
    `duration_value`, `duration_unit` (UCUM), `as_needed`, `as_needed_for`, `action`, and `sig`, the words as written.
    """
    tables = _tables()
    behind = text[end : min(last, end + _WINDOW)]
    before = text[max(first, start - _BEFORE) : start]
    found: dict[str, Any] = {}
    amounts = _amounts(behind, tables.units)
    used = _strength_and_dose(amounts[:3])
    reach = max((amount.end for amount in used if amount), default=0)  # how far behind the medication its words go
    found |= _dose(*used) or _dose(*_strength_and_dose(_amounts(before, tables.units)[-1:]))
    form, route = tables.forms.search(behind), tables.routes.search(behind)
    frequency = tables.frequencies.search(behind)
    if form:
        found["form"] = form.meaning
    if route:
        found["route"] = route.meaning
    if frequency:
        words, timing = frequency.meaning
        found |= {"frequency": words, "timing": dict(timing)}
    reach = max([reach, *(phrase.end for phrase in (form, route, frequency) if phrase)])
    match = _DURATION.search(behind)
    if match:
        found |= _duration(match)
        reach = max(reach, match.end())
    match = _AS_NEEDED.search(behind)
    if match:
        found["as_needed"] = True
        reason = _reason(match.group("reason") or "")
        if reason:
            found["as_needed_for"] = reason
        reach = max(reach, match.end())
    if reach:
        found["sig"] = " ".join(behind[:reach].split()).strip(" ,;:-").removeprefix("to ")
    action = next((action for action, pattern in _ACTION.items() if pattern.search(before)), None)
    if action:
        found["action"] = action
    return found


def is_taken(dosage: Mapping[str, Any]) -> bool:
    """Tell whether a dosage says anything that only a medication has."""
    return any(name in dosage for name in ("dose", "frequency", "route", "form"))


def _amounts(text: str, units: Phrases[tuple[str, str]]) -> list[_Amount]:
    amounts = []
    for match in _QUANTITY.finditer(text):
        unit = units.at(text, match.end())
        if unit is None or text[match.start() - 1 : match.start()] in (".", "/"):
            continue
        high = match.group("high")
        amounts.append(
            _Amount(
                text=" ".join(text[match.start() : unit.end].split()),
                end=unit.end,
                value=_number(match.group("number")) if match.group("number") else None,
                high=_number(high) if high else None,
                unit=unit.meaning[0],
                ucum=unit.meaning[1],
            )
        )
    return amounts


def _strength_and_dose(amounts: list[_Amount]) -> tuple[_Amount | None, _Amount | None]:
    """Tell the amount that is weighed from the one that is counted: "10 mg tablet, take 2 tablets"."""
    weighed = next((amount for amount in amounts if not amount.is_counted), None)
    counted = next((amount for amount in amounts if amount.is_counted), None)
    return weighed, counted


def _dose(weighed: _Amount | None, counted: _Amount | None) -> dict[str, Any]:
    """Return strength and dose; what is weighed is the dose when nothing is counted: "10 mg daily"."""
    found: dict[str, Any] = {}
    if weighed and (counted or weighed.value is None):
        found["strength"] = weighed.text
    dose = counted or weighed
    if dose and dose.value is not None:
        found |= {"dose": dose.value, "unit": dose.unit, "ucum": dose.ucum}
        if dose.high:
            found["dose_high"] = dose.high
    return found


def _reason(words: str) -> str:
    return " ".join(takewhile(lambda word: word.lower() not in _REASON_ENDS, words.split()))


def _duration(match: Any) -> dict[str, Any]:
    number = int(_number(match.group("number")))
    span = match.group("span").lower()
    unit = _SPAN[span] if span in _SPAN else _SPAN[span.removesuffix("s")]
    return {"duration": f"{number} {span}", "duration_value": number, "duration_unit": unit}


def _number(written: str) -> float:
    value = _WORDS.get(written.lower()) or float(written.replace(",", ""))
    return int(value) if float(value).is_integer() else value


@cache
def _tables() -> _Tables:
    units = {
        name: (row["unit"], row["ucum"])
        for row in read_table("medication_units.csv", ("unit", "ucum", "names"))
        for name in (row["unit"], *split(row["names"]))
    }
    return _Tables(
        units=Phrases(units),
        forms=_canonical(read_table("medication_forms.csv", ("form", "names")), "form"),
        routes=_canonical(read_table("medication_routes.csv", ("route", "names", "snomed", "display")), "route"),
        frequencies=_frequencies(),
    )


def _canonical(rows: list[dict[str, str]], column: str) -> Phrases[str]:
    return Phrases({name: row[column] for row in rows for name in (row[column], *split(row["names"]))})


def _frequencies() -> Phrases[tuple[str, Mapping[str, Any]]]:
    columns = ("text", "names", "frequency", "period", "periodMax", "periodUnit", "when")
    frequencies: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for row in read_table("medication_frequencies.csv", columns):
        try:
            timing: dict[str, Any] = {
                name: _number(row[name]) for name in ("frequency", "period", "periodMax") if row[name]
            }
        except ValueError as error:
            raise TableError(f"mappings/medication_frequencies.csv: {row['text']}: {error}") from error
        if row["periodUnit"]:
            timing["periodUnit"] = row["periodUnit"]
        if row["when"]:
            timing["when"] = list(split(row["when"]))
        frequencies |= dict.fromkeys(split(row["names"]), (row["text"], timing))
    return Phrases(frequencies)
