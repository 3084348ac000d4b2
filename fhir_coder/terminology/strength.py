"""One form for the strength of a medication, so that a note's "0.4mg" and RxNorm's "400 MCG" are the same.

RxNorm states strengths in few units (MG, MG/ML, UNT, MEQ, MG/ACTUAT, ...) per one unit of the denominator, to three
significant digits: https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html. Units are those of
`mappings/terminology/strength_units.csv`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import NamedTuple

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table, split

_TABLE = "terminology/strength_units.csv"
_LONGEST = 200  # characters; longer text is no strength
# "/" stands before the next strength of a combination and before a denominator; a hyphen only before a number.
_SEPARATOR = re.compile(r"\s*(?:/|\+|[-–](?=\s*\.?\d)|\b(?:per|in)\b)\s*")
_PART = re.compile(r"(\d{1,3}(?:,\d{3})+(?:\.\d{1,9})?|\d{1,12}(?:\.\d{1,9})?|\.\d{1,9})?[\s-]*(.*)")
_WORD = re.compile(r"[a-z][a-z0-9-]*")  # a unit that the table does not know stays as it is: "pfu", "vector-genomes"


class _Unit(NamedTuple):
    name: str
    factor: Decimal
    is_per: bool  # a number before it does not make it a strength: "125 mg/5 ml"


class _Amount(NamedTuple):
    number: Decimal
    unit: str  # with its denominator: "mg/ml"; "" when it is that of the next amount
    factor: Decimal
    per: Decimal = Decimal(1)


@lru_cache(maxsize=1 << 14)
def normal_strength(text: str) -> str:
    """Return the normal form of a strength, or "" when the text is none.

    "10mg" becomes "10 mg", "50 mcg" "0.05 mg", "125 mg/5 mL" "25 mg/ml". The strengths of a combination are each
    given with their unit: "12.5-5 mg" becomes "12.5 mg/5 mg". The normal form of a normal form is itself.
    """
    if len(text) > _LONGEST:
        return ""
    amounts: list[_Amount] = []
    for part in _SEPARATOR.split(text.lower().strip().rstrip(".,; ")):
        match = _PART.fullmatch(part)
        number = match.group(1) if match else None
        unit = _unit(match.group(2).strip()) if match else None
        if unit is None or not (number or unit.name):
            return ""
        value = Decimal((number or "1").replace(",", ""))
        if amounts and unit.name and (unit.is_per or not number):
            before = amounts[-1]
            if not before.unit or "/" in before.unit or not value:
                return ""
            amounts[-1] = before._replace(unit=f"{before.unit}/{unit.name}", per=value * unit.factor)
        elif number:
            amounts.append(_Amount(value, unit.name, unit.factor))
        else:
            return ""
    return _written(amounts)


def _written(amounts: list[_Amount]) -> str:
    words: list[str] = []
    last: _Amount | None = None  # that has a unit: it is also that of the numbers before it ("5-12.5-40 mg")
    for amount in reversed(amounts):
        last = amount if amount.unit else last
        if last is None:
            return ""
        value = amount.number * last.factor
        if last.per != 1:
            value = Decimal(f"{value / last.per:.3g}")
        words.append(f"{format(value.normalize(), 'f')} {last.unit}")
    return "/".join(reversed(words))


@cache
def _units() -> Mapping[str, _Unit]:
    units = {"": _Unit("", Decimal(1), is_per=False)}
    for row in read_table(_TABLE, ("unit", "factor", "per", "names")):
        try:
            unit = _Unit(row["unit"], Decimal(row["factor"]), row["per"] == "yes")
        except InvalidOperation as error:
            raise TableError(f"mappings/{_TABLE}: {row['unit']}: {row['factor']!r} is no number") from error
        for name in split(row["names"]):
            if units.setdefault(name, unit) is not unit:
                raise TableError(f"mappings/{_TABLE}: the name {name} stands there twice")
    return units


def _unit(name: str) -> _Unit | None:
    known = _units().get(name)
    if known is None and _WORD.fullmatch(name):
        return _Unit(name, Decimal(1), is_per=False)
    return known
