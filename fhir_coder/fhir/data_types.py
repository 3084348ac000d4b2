"""Invariants of the data types that our resources hold: https://hl7.org/fhir/R4/datatypes.html.

One walk over a resource. A data type is known by the names of its parts, since the JSON does not name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_coder.fhir.units import is_ucum
from fhir_coder.model import UCUM

Json = Mapping[str, Any]
Problem = tuple[str, str]  # element, what is wrong

_COMPARATORS = frozenset({"<", "<=", ">=", ">"})
_UNITS_OF_TIME = frozenset({"s", "min", "h", "d", "wk", "mo", "a"})
_WHEN = frozenset(
    "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS WAKE C CM CD CV AC ACM "
    "ACD ACV PC PCM PCD PCV".split()
)
_DAYS = frozenset({"mon", "tue", "wed", "thu", "fri", "sat", "sun"})
# Elements of the type SimpleQuantity, which has no comparator (sqty-1).
_SIMPLE = frozenset({"low", "high", "doseQuantity", "rateQuantity"})
# The parts by which a data type with an invariant is known.
_TELLING = frozenset({"value", "reference", "start", "end", "low", "high", "numerator", "denominator", "data"})
_NEEDED = (  # of Timing.repeat: rule, element, what must stand beside it
    ("tim-1", "duration", "durationUnit"),
    ("tim-2", "period", "periodUnit"),
    ("tim-6", "periodMax", "period"),
    ("tim-7", "durationMax", "duration"),
    ("tim-8", "countMax", "count"),
    ("tim-9", "offset", "when"),
)


def broken_invariants(resource: Json) -> Iterator[Problem]:
    """Yield the elements of a resource whose data type's invariants do not hold, and the rule."""
    waiting = [(name, name, value) for name, value in resource.items() if name != "contained"]
    while waiting:
        place, name, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(place, name, each) for each in value if isinstance(each, dict)]
        elif isinstance(value, dict):
            if name == "repeat" or not _TELLING.isdisjoint(value):
                yield from _of_element(place, name, value)
            waiting += [
                (f"{place}.{part}", part, each) for part, each in value.items() if isinstance(each, dict | list)
            ]


def _of_element(place: str, name: str, value: Json) -> Iterator[Problem]:
    if "value" in value and isinstance(value["value"], int | float):
        yield from _quantity(place, name, value)
    if "reference" in value and isinstance(value["reference"], str) and not value["reference"].strip():
        yield place, "refers to nothing (ref-1)"
    if isinstance(value.get("start"), str) and isinstance(value.get("end"), str):
        yield from _period(place, value["start"], value["end"])
    if name.endswith("Range") and {"low", "high"} & value.keys():
        low, high = value.get("low", {}).get("value"), value.get("high", {}).get("value")
        if low is not None and high is not None and low > high:
            yield place, "ends before it begins (rng-2)"
    if ("numerator" in value) != ("denominator" in value):
        yield place, "has only one of numerator and denominator (rat-1)"
    if name == "repeat":
        yield from _repeat(place, value)
    if name == "attachment" and "data" in value and "contentType" not in value:
        yield place, "has data without a contentType (att-1)"


def _quantity(place: str, name: str, value: Json) -> Iterator[Problem]:
    if "code" in value and "system" not in value:
        yield f"{place}.system", "is required with a code (qty-3)"
    if value.get("system") == UCUM and not is_ucum(str(value.get("code", ""))):
        yield f"{place}.code", "is no unit of UCUM"
    if "comparator" in value and (value["comparator"] not in _COMPARATORS or name in _SIMPLE):
        yield f"{place}.comparator", "is no code of the required value set, or has no place here (sqty-1)"
    if name.endswith("Age") and (value.get("code") not in _UNITS_OF_TIME or value["value"] <= 0):
        yield place, "is no age (age-1)"
    if name.endswith("Duration") and value.get("code") not in _UNITS_OF_TIME:
        yield place, "is no duration (drt-1)"


def _period(place: str, start: str, end: str) -> Iterator[Problem]:
    length = min(len(start), len(end))
    if len(start) > len("2026-03-01") and len(end) > len("2026-03-01"):
        length = len("2026-03-01")  # times of different zones are not compared as text
    if start[:length] > end[:length]:
        yield place, "ends before it begins (per-1)"


def _repeat(place: str, value: Json) -> Iterator[Problem]:
    for rule, element, needed in _NEEDED:
        if element in value and needed not in value:
            yield f"{place}.{needed}", f"is required with {element} ({rule})"
    for element in ("duration", "period"):
        if isinstance(value.get(element), int | float) and value[element] < 0:
            yield f"{place}.{element}", "is negative (tim-4, tim-5)"
    if "timeOfDay" in value and "when" in value:
        yield place, "has both timeOfDay and when (tim-10)"
    for element in ("periodUnit", "durationUnit"):
        if element in value and value[element] not in _UNITS_OF_TIME:
            yield f"{place}.{element}", "is not a code of the required value set"
    for element, codes in (("when", _WHEN), ("dayOfWeek", _DAYS)):
        if not codes.issuperset(value.get(element, ())):
            yield f"{place}.{element}", "is not a code of the required value set"
