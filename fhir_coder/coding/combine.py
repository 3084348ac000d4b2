"""Codes that one problem has because the patient has another: ICD-10-CM's "with" (guideline I.A.15), combination codes.

`mappings/coding/combinations.csv`, the first row that fits counts:

    base     codes that change: I10, E11.9
    with     what else the patient must have; groups joined by + must all be met
    words    where not empty: the words of the other problem (neuropathy is G62.9, and so is polyneuropathy)
    result   the code that the base becomes; ".22" is below the base's category, ".*" the other problem's code there
    partner  same: the other problem's code gives way to the result, too; empty: it is written beside it;
             beside: the base's own code is written beside the result, too; "beside same" does both
    link     presumed: the classification links them, unless the note says that they are unrelated;
             linked: the note must link them in one sentence ("due to", "with")
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from fhir_coder.coding.axes import CATEGORY
from fhir_coder.coding.codes import alternatives, is_below
from fhir_coder.coding.context import words
from fhir_coder.coding.evidence import words_pattern
from fhir_coder.errors import TableError
from fhir_coder.model import Entity
from fhir_coder.tables import read_table, split

_FAR = 60  # characters between two problems that a word links, or beside one that it does not
_NEAR = 5  # problems before and behind one that a word may link to it
_PARTNERS = frozenset({"", "same", "beside", "beside same"})
_PARTNERS_OWN = ".*"
_BREAK = re.compile(r"[.;\n]")


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem that the patient has, with its code so far."""

    entity: Entity
    code: str


@dataclass(frozen=True, slots=True)
class Combined:
    """A code that a base problem has together with others, and why."""

    base: Problem
    partners: tuple[Problem, ...]
    code: str
    keeps_base: bool
    replaces_partner: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Row:
    base: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    words: re.Pattern[str] | None
    result: str
    partner: str
    is_presumed: bool
    source: str

    def code(self, base: str, partner: str) -> str:
        if self.result == _PARTNERS_OWN:
            return base[:CATEGORY] + partner[CATEGORY:]
        return base[:CATEGORY] + self.result if self.result.startswith(".") else self.result


def combinations(text: str, problems: Sequence[Problem]) -> list[Combined]:
    """Return all combinations of a note's problems, by base in the order of the text, then by table."""
    by_base: dict[str, list[_Row]] = {}
    for row in rows():
        for code in row.base:
            by_base.setdefault(code, []).append(row)
    first = {(problem.code, problem.entity.text.lower()): problem for problem in reversed(problems)}
    anywhere = list(first.values())  # the first of those that are called the same
    found = []
    for position, problem in enumerate(problems):
        near = problems[max(0, position - _NEAR) : position + _NEAR + 1]
        for row in by_base.get(problem.code, ()):
            partners = _partners(text, problem, row, anywhere if row.is_presumed else near)
            if partners:
                found.append(_combined(problem, partners, row))
    return found


def _partners(text: str, base: Problem, row: _Row, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return one problem per group of a row, or none when a group is not met."""
    chosen = []
    for group in row.groups:
        other = next((each for each in problems if _is_partner(text, base, each, group, row)), None)
        if other is None:
            return ()
        chosen.append(other)
    return tuple(chosen)


def _is_partner(text: str, base: Problem, other: Problem, group: tuple[str, ...], row: _Row) -> bool:
    if other.entity is base.entity or not is_below(other.code, group):
        return False
    if row.words and not row.words.search(other.entity.text):
        return False
    if row.is_presumed:
        sentence = other.entity.sentence
        first, last = max(sentence[0], other.entity.start - _FAR), min(sentence[1], other.entity.end + _FAR)
        return not words("unrelated").search(text, first, last)
    return _are_linked(text, base.entity, other.entity)


def _are_linked(text: str, one: Entity, other: Entity) -> bool:
    first, second = sorted((one, other), key=lambda entity: entity.start)
    between = text[first.end : second.start]
    if first.sentence != second.sentence or len(between) > _FAR or _BREAK.search(between):
        return False
    return words("unrelated").search(between) is None and words("linked").search(between) is not None


def _combined(base: Problem, partners: tuple[Problem, ...], row: _Row) -> Combined:
    said = " and ".join(
        f'"{" ".join(each.entity.text.split())}" at {each.entity.start}-{each.entity.end} ({each.code})'
        for each in partners
    )
    how = "which ICD-10-CM presumes to be linked" if row.is_presumed else "and links the two"
    return Combined(
        base=base,
        partners=partners,
        code=row.code(base.code, partners[0].code),
        keeps_base="beside" in row.partner,
        replaces_partner="same" in row.partner,
        reason=f"the note says {said}, {how} ({row.source})",
    )


@cache
def rows() -> tuple[_Row, ...]:
    """Return the table. Raises `TableError` when a row is wrong."""
    columns = ("base", "with", "words", "result", "partner", "link", "source")
    found = []
    for number, row in enumerate(read_table("coding/combinations.csv", columns), 2):
        if row["partner"] not in _PARTNERS or row["link"] not in ("presumed", "linked") or not row["with"]:
            raise TableError(
                f"mappings/coding/combinations.csv:{number}: unknown partner or link, or nothing beside it"
            )
        found.append(
            _Row(
                base=split(row["base"]),
                groups=alternatives(row["with"]),
                words=words_pattern(split(row["words"])) if row["words"] else None,
                result=row["result"],
                partner=row["partner"],
                is_presumed=row["link"] == "presumed",
                source=row["source"],
            )
        )
    return tuple(found)
