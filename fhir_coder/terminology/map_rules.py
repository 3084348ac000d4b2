"""The rules of the SNOMED CT extended map: which of its rows applies to a patient.

Format: SNOMED CT Release File Specification 5.2 (Complex and Extended Map), ICD-10 Mapping Technical Guide
(http://snomed.org/icd10map) and NLM, "Mapping SNOMED CT to ICD-10-CM Technical Specifications". A rule is TRUE,
OTHERWISE TRUE, or conditions ("IFA": if a) joined by AND, OR and parentheses; AND binds more tightly:

    IFA 248152002 | Female (finding) |
    IFA 445518008 | Age at onset of clinical finding (observable entity) | >= 28.0 days AND IFA ... | < 1.0 year
    IFA 77386006 | Pregnant (finding) |

Ages. A day is a completed day of life, a week seven. A year or month has no fixed number of days, and of the patient
only days are known: on the one day on which a birthday may or may not fall (up to five for months), "< 18 years" cannot
be told. The age at onset is the age at the note's date unless it is known: the map asks for it to tell newborns,
children and adults apart, and SNOMED International's demonstrator (IHTSDO/snomed-to-icd-10-mapper) takes one age for
the encounter, too. `Choice.reason` says when a choice rests on that.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import ceil, floor
from typing import Literal

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.release import MapRow

_FEMALE, _MALE = "248152002", "248153007"
_ONSET, _AGE = "445518008", "424144002"
_DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
_MONTH_SLACK = 2  # days: two months have 59 to 62, not 60.9
_DEEPEST = 20  # parentheses

_PART = re.compile(
    r"\s*(?:(?P<word>AND\b|OR\b|\(|\))"
    r"|IFA\s+(?P<code>[0-9]{6,18})\s*\|[^|]*\|"
    r"(?:\s*(?P<operator><=|>=|<|>)\s*(?P<number>[0-9]{1,5}(?:\.[0-9]{1,3})?)\s*(?P<unit>day|week|month|year)s?\b)?)\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientContext:
    """What is known of the patient. What is not known stays `None`; a condition that is not listed is absent.

    `conditions` are the SNOMED CT codes of what the patient has, with their ancestors where a rule that names a more
    general concept is to hold.
    """

    sex: Literal["female", "male"] | None = None
    age_days: int | None = None  # at the note's date
    conditions: frozenset[str] = frozenset()
    onset_age_days: int | None = None  # where the note states it


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the map says for one group: a row, or none, and why.

    `open` are the rows among which it cannot be told, in order of priority; `row` is then `None`.
    """

    group: int
    row: MapRow | None
    reason: str
    open: tuple[MapRow, ...] = ()


@dataclass(frozen=True, slots=True)
class _Condition:
    code: str
    operator: str = ""
    number: float = 0.0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class _Joined:
    word: str  # AND or OR
    parts: tuple[_Expression, ...]


_Expression = _Condition | _Joined | bool


def holds(rule: str, patient: PatientContext) -> bool | None:
    """Tell whether a rule holds; `None` when what is known of the patient does not tell.

    OTHERWISE TRUE holds by itself: that the rows before it do not apply is for `chosen` to see to. So does no rule.
    Raises `TerminologyError` on a rule that cannot be read.
    """
    return _value(_read(rule), patient)


def chosen(rows: Sequence[MapRow], patient: PatientContext) -> list[Choice]:
    """Return for each map group, in order, its first row by priority whose rule holds.

    `rows` are those of one source concept into one target system. A rule that cannot be told, or not be read, leaves
    its group open: whether a later row applies depends on it.
    """
    ordered = sorted(rows, key=lambda row: (row.group, row.priority))
    return [_choice(group, list(members), patient) for group, members in groupby(ordered, lambda row: row.group)]


def _choice(group: int, rows: list[MapRow], patient: PatientContext) -> Choice:
    still_open: list[MapRow] = []
    unknown: dict[str, None] = {}
    assumed = False
    for row in rows:
        try:
            rule = _read(row.rule)
        except TerminologyError as error:
            unknown[str(error)] = None
            still_open.append(row)
            continue
        value = _value(rule, patient)
        assumed = assumed or (patient.onset_age_days is None and any(c.code == _ONSET for c in _conditions(rule)))
        if value is None:
            unknown |= dict.fromkeys(_unknown(rule, patient))
        if value is not False:
            still_open.append(row)
        if value is True:
            break
    if unknown:
        return Choice(group=group, row=None, reason=f"cannot be told: {'; '.join(unknown)}", open=tuple(still_open))
    note = " (the age at onset is taken to be the age at the note's date)" if assumed else ""
    if still_open:
        return Choice(group=group, row=still_open[0], reason=f"{still_open[0].rule or 'TRUE'}{note}")
    return Choice(group=group, row=None, reason=f"no rule of the group holds{note}")


@lru_cache(maxsize=8192)
def _read(rule: str) -> _Expression:
    text = rule.strip()
    if text in ("", "TRUE", "OTHERWISE TRUE"):
        return True
    parts = deque(_parts(text))
    expression = _expression(text, parts, 0)
    if parts:
        raise _unreadable(text, "AND or OR is missing, or a parenthesis is one too many")
    return expression


def _parts(text: str) -> Iterator[str | _Condition]:
    """Yield the conditions, and AND, OR and the parentheses between them."""
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise _unreadable(text, f"nothing is known that begins {text[position : position + 20]!r}")
        position = match.end()
        if match["word"]:
            yield match["word"]
            continue
        code, operator = match["code"], match["operator"] or ""
        if (code in (_ONSET, _AGE)) != bool(operator):
            why = "is compared with a number" if operator else "is an age without a limit (such as < 12.0 years)"
            raise _unreadable(text, f"{code} {why}")
        yield _Condition(code, operator, float(match["number"] or 0), match["unit"] or "")


def _expression(text: str, parts: deque[str | _Condition], depth: int) -> _Expression:
    alternatives: list[_Expression] = []
    while not alternatives or _next_is("OR", parts):
        conjunction = [_term(text, parts, depth)]
        while _next_is("AND", parts):
            conjunction.append(_term(text, parts, depth))
        alternatives.append(conjunction[0] if len(conjunction) == 1 else _Joined("AND", tuple(conjunction)))
    return alternatives[0] if len(alternatives) == 1 else _Joined("OR", tuple(alternatives))


def _next_is(word: str, parts: deque[str | _Condition]) -> bool:
    if parts and parts[0] == word:
        parts.popleft()
        return True
    return False


def _term(text: str, parts: deque[str | _Condition], depth: int) -> _Expression:
    if not parts:
        raise _unreadable(text, "it ends where a condition should follow")
    part = parts.popleft()
    if isinstance(part, _Condition):
        return part
    if part != "(" or depth == _DEEPEST:
        raise _unreadable(text, f"{part} stands where a condition should")
    expression = _expression(text, parts, depth + 1)
    if not _next_is(")", parts):
        raise _unreadable(text, "a parenthesis is not closed")
    return expression


def _unreadable(rule: str, why: str) -> TerminologyError:
    return TerminologyError(f"the map rule {rule[:200]!r} cannot be read: {why}")


def _value(expression: _Expression, patient: PatientContext) -> bool | None:
    """Return the truth in Kleene's three-valued logic."""
    if isinstance(expression, bool):
        return expression
    if isinstance(expression, _Condition):
        return _holds(expression, patient)
    values = [_value(part, patient) for part in expression.parts]
    decisive = expression.word == "OR"
    if decisive in values:
        return decisive
    return None if None in values else not decisive


def _holds(condition: _Condition, patient: PatientContext) -> bool | None:
    if condition.code in (_FEMALE, _MALE):
        return None if patient.sex is None else patient.sex == ("female" if condition.code == _FEMALE else "male")
    if not condition.operator:
        return condition.code in patient.conditions
    age = patient.age_days
    if condition.code == _ONSET and patient.onset_age_days is not None:
        age = patient.onset_age_days
    if age is None:
        return None
    limit = condition.number * _DAYS[condition.unit]
    slack = _MONTH_SLACK if condition.unit == "month" else 0
    earliest, latest = floor(limit) - slack, ceil(limit) + slack  # the days on which the patient may reach the age
    if condition.operator in ("<", ">="):
        below = True if age < earliest else False if age >= latest else None
    else:  # reached that very day still counts as "<="
        below = True if age <= earliest else False if age > latest else None
    if below is None:
        return None
    return below if condition.operator.startswith("<") else not below


def _conditions(expression: _Expression) -> Iterator[_Condition]:
    if isinstance(expression, _Condition):
        yield expression
    elif isinstance(expression, _Joined):
        for part in expression.parts:
            yield from _conditions(part)


def _unknown(expression: _Expression, patient: PatientContext) -> Iterator[str]:
    for condition in _conditions(expression):
        if _holds(condition, patient) is None:
            if not condition.operator:
                yield "the patient's sex is not known"
            elif patient.age_days is None and patient.onset_age_days is None:
                yield "the patient's age is not known"
            else:
                yield f"the patient's age is too near {condition.number:g} {condition.unit}s"
