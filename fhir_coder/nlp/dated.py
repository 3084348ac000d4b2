"""Whose date it is: gives the dates that a sentence states to the entities that it speaks of.

A date belongs to the nearest entity before it in its sentence, with a few words between and no break ("but", ";", a
negation); where there is none, to the one that follows ("In 2015 he had a stroke"), and to what is listed with it
("cough and fever for 3 days"). One that stands before a colon heads the tests of its sentence ("Labs 3/14/2024: ...").

What it is of tells a word before it ("since", "resolved", "died": the roles of `mappings/date_phrases.csv`), else the
kind of entity: of a problem or device it is the onset, of a test or procedure the time, of a relative's problem an age
is that of its onset. A duration tells the onset of a problem; of a medication it is the length of the course, no date.

Attributes that an entity gets, each only when the text says so: `onset`, `abatement`, `time`, `deceased` hold the words
as written (`deceased` also "died", without a date), and `cause_of_death` is True of what a relative died of;
`onset_date`, `abatement_date`, `date` (of `time`), `deceased_date` hold what `nlp.dates` makes of them (a FHIR date, or
two with a slash), `onset_age`, `abatement_age`, `deceased_age` years.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from fhir_coder.model import PROBLEM_TYPES, TEST_TYPES, Entity, EntityType
from fhir_coder.nlp.dates import Calendar, Role, Stated, find_dates, find_roles
from fhir_coder.nlp.phrases import Phrase

_REACH = 80  # characters between an entity and its date
_LEAD = 30  # characters before a date in which a word may tell its role
_MOST_WORDS, _MOST_WORDS_WITH_ROLE = 4, 8  # between an entity and its date
_WORD = re.compile(r"[A-Za-z]{2,}")
_BREAK = re.compile(
    r"[;:]|\.\s|\n\s*\n|\n\s*[-*•\d]|\b(?:but|no|not|denies|denied|without|who|whose|he|she|they|patient)\b", re.I
)
_BREAK_BEFORE = re.compile(r"[;:]|\.\s|\n\s*\n|\b(?:but|no|not|denies|denied|without)\b", re.IGNORECASE)
_CLOSE = re.compile(r"[\s,(\[-]*(?:in\s|x\s?\d{1,2}[\s,(]*)?$", re.IGNORECASE)  # between an entity and a bare year
_BESIDE = re.compile(r"[\s,(:]*(?:(?:dx|diagnosed|onset|died|deceased|passed away)\s)?$", re.IGNORECASE)  # and an age
_HEADING = re.compile(r"[)\]]?\s?:")
_OF = re.compile(
    r"(?P<of>\s(?:suddenly\s)?(?:of|from|due to|secondary to|after)\s(?:an?\s|the\s|his\s|her\s)?)?[\s,(:;-]*$", re.I
)
_LISTED = re.compile(r"[\s,]*(?:(?:and|or|with|&|/|,)\s*)?$", re.IGNORECASE)
_LISTED_TESTS = re.compile(r"[^;:()\n]{0,30},\s*(?:and\s)?$")
_NOT_DATED = frozenset({EntityType.ANATOMY, EntityType.GENE})
_LENGTHS = frozenset({"duration", "history"})
_AGES = frozenset({"age", "bare-age"})
_RESOLVED = {"onset": "onset_date", "abatement": "abatement_date", "time": "date", "deceased": "deceased_date"}


def read_dates(text: str, entities: Sequence[Entity], calendar: Calendar) -> list[Mapping[str, Any]]:
    """Return the attributes of each of the entities, which stand in order, with the dates that the text gives it."""
    attributes = [dict(entity.attributes) for entity in entities]
    if not entities:
        return []
    stated = find_dates(text, calendar)
    dated = _Dated(text, entities, attributes, find_roles(text))
    dated.read_deaths()
    taken = dated.told_by_findings(stated) | dated.told_by_measurement(stated)
    for each in stated:
        if each not in taken:
            dated.give(each)
    return list(attributes)


class _Dated:
    """Entities of one note, and the attributes that they are given."""

    def __init__(
        self, text: str, entities: Sequence[Entity], attributes: list[dict[str, Any]], roles: Sequence[Phrase[Role]]
    ) -> None:
        self._text = text
        self._entities = entities
        self._attributes = attributes
        self._roles = roles
        self._role_starts = [role.start for role in roles]
        self._places = [i for i, entity in enumerate(entities) if entity.type not in _NOT_DATED]
        self._starts = [entities[i].start for i in self._places]

    def read_deaths(self) -> None:
        """Read which relatives died, and of what: "died of MI"."""
        for entity, given in zip(self._entities, self._attributes, strict=True):
            if entity.assertion.experiencer != "family" or entity.type not in PROBLEM_TYPES:
                continue
            first = max(entity.sentence[0], entity.start - _LEAD)
            position = bisect_left(self._role_starts, entity.start) - 1
            if self._role(first, entity.start) == "deceased":
                said = self._roles[position]
                cause = _OF.match(self._text[said.end : entity.start])
                if cause:
                    given["deceased"] = self._text[said.start : said.end].lower()
                    if cause.group("of"):
                        given["cause_of_death"] = True

    def told_by_findings(self, stated: Sequence[Stated]) -> set[Stated]:
        """Read the onsets that `nlp.findings` has found; return what they are told by."""
        taken: set[Stated] = set()
        starts = [each.start for each in stated]
        for place, (entity, given) in enumerate(zip(self._entities, self._attributes, strict=True)):
            span = given.get("spans", {}).get("onset")
            if "onset" not in given or span is None or entity.assertion.negated:
                continue
            first = max(0, bisect_right(starts, span[0]) - 1)
            within = [each for each in stated[first : bisect_left(starts, span[1])] if each.end > span[0]]
            taken.update(within)
            told = next((each for each in within if each.date or each.age is not None), None)
            role = self._role(min(entity.end, span[0]), max(entity.end, span[0])) if span[0] > entity.end else None
            if role in ("abatement", "other"):
                words = given.pop("onset")
                if role == "abatement" and told:
                    given["abatement"] = words
                    _resolve(given, "abatement", told)
            elif told:
                _resolve(given, "onset", told)
                if span[1] <= entity.start:
                    self._give_along(bisect_left(self._places, place), told, role)
        return taken

    def told_by_measurement(self, stated: Sequence[Stated]) -> set[Stated]:
        """Read the times that `nlp.measurement` has found behind tests; return what they are told by."""
        taken: set[Stated] = set()
        starts = [each.start for each in stated]
        for entity, given in zip(self._entities, self._attributes, strict=True):
            words = given.get("time")
            if entity.type not in TEST_TYPES or not words:
                continue
            found = self._text.find(words, entity.end, entity.sentence[1])
            within = stated[bisect_left(starts, found) : bisect_left(starts, found + len(words))] if found >= 0 else ()
            taken.update(within)
            if told := next((each for each in within if each.date), None):
                _resolve(given, "time", told)
        return taken

    def give(self, stated: Stated) -> None:
        """Give a date to the entities that it belongs to."""
        position = bisect_left(self._starts, stated.start)  # of the first entity behind it
        if position and self._entities[self._places[position - 1]].end > stated.start:
            return  # it is a part of a name
        if self._is_heading(stated, position):
            self._give_to_tests(stated, position)
        elif not self._give_before(stated, position):
            self._give_behind(stated, position)

    def _is_heading(self, stated: Stated, position: int) -> bool:
        if stated.form not in ("date", "ago", "bare-year") or not _HEADING.match(self._text, stated.end):
            return False
        return not position or self._entities[self._places[position - 1]].sentence[1] <= stated.start

    def _give_to_tests(self, stated: Stated, position: int) -> None:
        sentence = None
        for place in self._places[position:]:
            entity = self._entities[place]
            sentence = sentence or entity.sentence
            if entity.sentence != sentence or not sentence[0] <= stated.start:
                return
            if entity.type in TEST_TYPES:
                self._set(place, "time", stated)

    def _give_before(self, stated: Stated, position: int) -> bool:
        """Give a date to the entity before it; tell whether there is one that it belongs to."""
        if not position:
            return False
        place = self._places[position - 1]
        entity = self._entities[place]
        gap = self._text[entity.end : stated.start]
        if stated.start >= entity.sentence[1] or len(gap) > _REACH or _BREAK.search(gap):
            return False
        role = self._role(max(entity.end, stated.start - _REACH), stated.end)
        if role is None and "deceased" in self._attributes[place]:  # "died of MI at 60"
            role = "deceased"
        if stated.form == "bare-year" and not (role or _CLOSE.match(gap)):
            return True
        if stated.form == "bare-age" and not (role == "deceased" or _BESIDE.match(gap)):
            return True
        if len(_WORD.findall(gap)) > (_MOST_WORDS_WITH_ROLE if role else _MOST_WORDS):
            return True
        name = _attribute(entity, role, stated)
        if name is None:
            return True
        if name in self._attributes[place] and name != "deceased":
            return False  # "In 2010 MI, in 2015 stroke"
        self._set(place, name, stated)
        for before in range(position - 2, -1, -1):
            if not self._is_listed(before, before + 1, name, stated, role):
                break
            self._set(self._places[before], name, stated)
        return True

    def _give_behind(self, stated: Stated, position: int) -> None:
        if position == len(self._places) or stated.form == "bare-year":
            return
        place = self._places[position]
        entity = self._entities[place]
        gap = self._text[stated.end : entity.start]
        if stated.start < entity.sentence[0] or len(gap) > _REACH or _BREAK_BEFORE.search(gap):
            return
        roles = {self._role(max(0, stated.start - _LEAD), stated.end), self._role(stated.end, entity.start)} - {None}
        if "other" in roles or len(_WORD.findall(gap)) > _MOST_WORDS_WITH_ROLE:
            return
        role = next(iter(roles)) if len(roles) == 1 else None
        if stated.form == "bare-age" and role != "deceased":  # "died at 60 of a stroke"
            return
        name = _attribute(entity, role, stated)
        if name is None or name in self._attributes[place]:
            return
        self._set(place, name, stated)
        self._give_along(position, stated, role)

    def _give_along(self, position: int, stated: Stated, role: Role | None) -> None:
        """Give a date that stands before a list to what is listed behind its first."""
        name = _attribute(self._entities[self._places[position]], role, stated)
        for behind in range(position + 1, len(self._places)):
            if name is None or not self._is_listed(behind - 1, behind, name, stated, role):
                return
            self._set(self._places[behind], name, stated)

    def _is_listed(self, first: int, second: int, name: str, stated: Stated, role: Role | None) -> bool:
        """Tell whether two neighbours are listed together, so that a date of one is the other's too."""
        before, behind = self._entities[self._places[first]], self._entities[self._places[second]]
        other = self._places[first] if self._attributes[self._places[second]].get(name) else self._places[second]
        if before.sentence != behind.sentence or name in self._attributes[other]:
            return False
        are_tests = before.type in TEST_TYPES and behind.type in TEST_TYPES
        are_problems = before.type in PROBLEM_TYPES and behind.type in PROBLEM_TYPES
        gap = self._text[before.end : behind.start]
        joined = (_LISTED_TESTS if are_tests else _LISTED).match(gap) if are_tests or are_problems else None
        return joined is not None and _attribute(self._entities[other], role, stated) == name

    def _role(self, start: int, end: int) -> Role | None:
        """Return the role that the last words between two places tell."""
        position = bisect_left(self._role_starts, end) - 1
        if position < 0 or self._roles[position].start < start or self._roles[position].end > end:
            return None
        return self._roles[position].meaning

    def _set(self, place: int, name: str, stated: Stated) -> None:
        given = self._attributes[place]
        given.setdefault(name, " ".join(self._text[stated.start : stated.end].strip("()[] ").split()))
        _resolve(given, name, stated)


def _resolve(given: dict[str, Any], name: str, stated: Stated) -> None:
    if stated.date:
        given.setdefault(_RESOLVED[name], stated.date)
    elif stated.age is not None:
        given.setdefault(f"{name}_age", stated.age)


def _attribute(entity: Entity, role: Role | None, stated: Stated) -> str | None:
    """Return the attribute of an entity that a date is, or None where it is none of its."""
    said = entity.assertion
    is_test = entity.type in TEST_TYPES
    if role == "other" or said.experiencer == "other" or said.certainty == "hypothetical":
        return None
    if said.temporality == "future" or (said.negated and not is_test):
        return None
    if said.experiencer == "family":
        return _of_relative(role, stated)
    if stated.form == "bare-age" or role == "deceased":
        return None
    if entity.type is EntityType.MEDICATION and not entity.attributes.get("allergy"):
        return _of_medication(entity, role, stated)
    if is_test or entity.type is EntityType.PROCEDURE:
        return None if stated.form in _LENGTHS | _AGES or role == "abatement" else "time"
    return "abatement" if role == "abatement" else "onset"


def _of_relative(role: Role | None, stated: Stated) -> str | None:
    if stated.form in _LENGTHS:
        return None
    return "deceased" if role == "deceased" else "onset"


def _of_medication(entity: Entity, role: Role | None, stated: Stated) -> str | None:
    if stated.form in _LENGTHS:
        return None  # of the course
    if role in ("onset", "abatement"):
        return role
    if stated.form == "since":
        return "onset"
    by_action = {"start": "onset", "stop": "abatement", None: "time"}
    return by_action.get(entity.attributes.get("action"))
