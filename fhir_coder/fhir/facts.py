"""Entities to facts: what is written at all, as what, and which mentions mean the same.

A note says one thing several times. All mentions of one concept with one assertion status are one fact, which
becomes one resource with a span per mention. What the text denies, or says of other people, is never written as
the patient's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Literal, NamedTuple

from fhir_coder.fhir.elements import best_codings, words
from fhir_coder.fhir.identity import digest
from fhir_coder.model import ICD10CM, PROBLEM_TYPES, TEST_TYPES, Entity, EntityType
from fhir_coder.tables import read_table

Kind = Literal["Condition", "MedicationStatement", "Observation", "Device", "FamilyMemberHistory", "AllergyIntolerance"]
Status = Literal["present", "possible", "historical", "hypothetical"]

_STATES: frozenset[Status] = frozenset({"present", "possible", "historical"})
# Only a medication can be planned: MedicationStatement has a status for it, the others have none.
_WRITTEN: dict[Kind, frozenset[Status]] = {
    "Condition": _STATES,
    "MedicationStatement": _STATES | {"hypothetical"},
    "Observation": _STATES,
    "Device": _STATES,
    "FamilyMemberHistory": _STATES,
    "AllergyIntolerance": _STATES,
}
# Where a concept is present, "possible" and "history of" add spans, not resources. A test is left out: the value
# of last year is another result than the same value of today.
_ABSORBED: tuple[Status, ...] = ("possible", "historical")
_ABSORBING: frozenset[Kind] = frozenset({"Condition", "MedicationStatement", "Device", "AllergyIntolerance"})

_WORD = re.compile(r"[a-z]+|\n")
_JOINS = frozenset(
    "and or with of to from causes caused causing gives gave cause reaction reactions develops developed gets got had "
    "has severe mild moderate bad facial generalized diffuse skin which that it allergy intolerance".split()
)
# Between a substance and what it did, and the other way round.
_CAUSED = re.compile(
    r"\s*(?:(?:allergy|intolerance)\s*)?"
    r"(?:\(|[-–=>:]+|,?\s*(?:(?:which|it|that)\s+)?"
    r"(?:caus(?:es?|ed|ing)|gives?|gave|result(?:ed|ing) in|develop(?:s|ed)|gets?|got)"
    r"(?:\s+(?:her|him|them|the patient))?)\s*(?:(?:an?|some|mild|moderate|severe|bad|diffuse|facial)\s+)*",
    re.IGNORECASE,
)
_CAUSED_BY = frozenset({"to", "from"})
_REACTION_REACH = 60  # characters between a substance and the reaction that is told of it

_VALUE_ATTRIBUTES = ("comparator", "value", "value_text", "unit", "unit_text", "systolic", "diastolic", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that the note says, and all places where it says so."""

    kind: Kind
    status: Status
    key: tuple[str, ...]  # what tells it from other facts of its kind
    mentions: tuple[Entity, ...]  # in the order of the text; the first one stands for all
    absorbed: tuple[Entity, ...] = ()  # mentions with a weaker status, of which only the spans count
    reactions: tuple[Entity, ...] = ()  # of an allergy: what the substance did

    @property
    def entity(self) -> Entity:
        """The mention that stands for the fact."""
        return self.mentions[0]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Start and end of all mentions, in the order of the text."""
        return sorted({(each.start, each.end) for each in self.mentions + self.absorbed})

    def identity(self, document: str) -> str:
        """Return the fact's identity within the document of the given identity."""
        return digest(document, self.kind, self.status, *self.key)


def facts(entities: Iterable[Entity], text: str) -> list[Fact]:
    """Return the facts that are to be written, in the order of their first mention; `text` is the note's."""
    groups: dict[tuple[Kind, tuple[str, ...]], dict[Status, list[Entity]]] = {}
    ordered = sorted(entities, key=lambda each: (each.start, each.end))
    of_allergies = _of_allergies(ordered, text)
    ordered = [each for each in ordered if (each.start, each.end) not in of_allergies or not _is_allergy_word(each)]
    for entity in ordered:
        kind = kind_of(entity)
        if kind is None or (entity.start, entity.end) in of_allergies:
            continue
        status = status_of(entity)
        if status in _WRITTEN[kind]:
            groups.setdefault((kind, _key(kind, entity)), {}).setdefault(status, []).append(entity)
    _join_sides(groups)
    found = [fact for (kind, key), by_status in groups.items() for fact in _merge(kind, key, by_status)]
    return sorted(_with_reactions(found, ordered, of_allergies, text), key=lambda fact: fact.entity.start)


def _with_reactions(
    found: list[Fact], ordered: list[Entity], of_allergies: frozenset[tuple[int, int]], text: str
) -> list[Fact]:
    """Add to the allergies what the substances did: "penicillin (hives, swelling)", "hives to penicillin"."""
    reactions: dict[tuple[int, int], dict[str, Entity]] = {}
    substance: Entity | None = None  # of the reaction before
    for position, entity in enumerate(ordered):
        is_reaction = entity.attributes.get("reaction") or (entity.start, entity.end) in of_allergies
        if not is_reaction or entity.assertion.experiencer != "patient":
            continue
        before = ordered[position - 1] if position else None
        behind = ordered[position + 1] if position + 1 < len(ordered) else None
        continues = before is not None and _is_beside(before, entity, text)
        if continues and before and kind_of(before) == "AllergyIntolerance":
            substance = before
        elif not (continues and substance):
            leads = behind and kind_of(behind) == "AllergyIntolerance" and _is_beside(entity, behind, text)
            substance = behind if leads else None
        if substance:
            told = reactions.setdefault((substance.start, substance.end), {})
            told.setdefault(words(entity.text).casefold(), entity)
    return [replace(fact, reactions=_reactions_of(fact, reactions)) if reactions else fact for fact in found]


def _reactions_of(fact: Fact, reactions: Mapping[tuple[int, int], Mapping[str, Entity]]) -> tuple[Entity, ...]:
    if fact.kind != "AllergyIntolerance":
        return ()
    return tuple(each for mention in fact.mentions for each in reactions.get((mention.start, mention.end), {}).values())


def _is_beside(first: Entity, second: Entity, text: str) -> bool:
    """Tell whether nothing stands between two entities of a sentence but what joins a substance and a reaction.

    Words between may be those of another substance: "penicillin (hives), peanuts (anaphylaxis)".
    """
    gap = text[first.end : second.start].lower()
    return first.sentence == second.sentence and len(gap) <= _REACTION_REACH and _JOINS.issuperset(_WORD.findall(gap))


def _join_sides(groups: dict[tuple[Kind, tuple[str, ...]], dict[Status, list[Entity]]]) -> None:
    """Add a problem without a side to the same one with a side, where there is only one such."""
    sided: dict[tuple[str, ...], list[tuple[Kind, tuple[str, ...]]]] = {}
    for group in groups:
        if group[0] == "Condition" and group[1][-1]:
            sided.setdefault(group[1][:-1], []).append(group)
    for concept, known in sided.items():
        without: tuple[Kind, tuple[str, ...]] = ("Condition", (*concept, ""))
        if len(known) == 1 and without in groups:
            for status, mentions in groups.pop(without).items():
                there = groups[known[0]].setdefault(status, [])
                there.extend(mentions)
                # The mention that has the side stands for all.
                there.sort(key=lambda each: (not each.attributes.get("laterality"), each.start))


def _of_allergies(ordered: Sequence[Entity], text: str) -> frozenset[tuple[int, int]]:
    """Return the spans of problems that belong to an allergy: what the substance did, and the word allergy itself.

    "Allergic to penicillin (hives)", "lisinopril allergy, which causes cough", "anaphylaxis to ceftriaxone".
    """
    found: set[tuple[int, int]] = set()
    substance: Entity | None = None  # that all between it and the entity is told of
    for before, entity in pairwise([None, *ordered]):
        if entity is None:
            continue
        if _is_not_tolerated(entity):
            substance = entity
            if (
                before
                and before.type in PROBLEM_TYPES
                and text[before.end : entity.start].strip().lower() in _CAUSED_BY
            ):
                found.add((before.start, before.end))
            continue
        gap = text[substance.end : entity.start] if substance else ""
        if substance and entity.type in PROBLEM_TYPES and (_CAUSED.fullmatch(gap) or _is_allergy_word(entity)):
            found.add((entity.start, entity.end))
        if not _is_allergy_word(entity):
            substance = None
    return frozenset(found)


def _is_not_tolerated(entity: Entity) -> bool:
    return kind_of(entity) == "AllergyIntolerance"


def _is_allergy_word(entity: Entity) -> bool:
    return entity.text.casefold() in ("allergy", "allergies", "allergic")


def kind_of(entity: Entity) -> Kind | None:
    """Return the resource type that the entity becomes, or None when it is not written."""
    if entity.assertion.negated or entity.assertion.experiencer == "other":
        return None
    if entity.attributes.get("ambiguous"):
        # "MS" may be a disease, a drug or the mental status: nothing is stated that could be written.
        return None
    if _is_allergy(entity) and entity.assertion.experiencer == "patient":
        return "AllergyIntolerance"
    if "recognised" in entity.attributes and not entity.codings:
        # Words that only a model takes for something: for a person to look at, not for a chart, but for an allergy.
        return None
    if entity.assertion.experiencer == "family":
        return "FamilyMemberHistory" if entity.type in PROBLEM_TYPES else None
    if entity.type in PROBLEM_TYPES:
        # "Penicillin (hives)": the hives are the reaction to something, not a problem that the patient has.
        return None if entity.section == "allergies" else "Condition"
    if entity.type in TEST_TYPES:
        return "Observation" if _has_value(entity) else None
    by_type: dict[EntityType, Kind] = {EntityType.MEDICATION: "MedicationStatement", EntityType.DEVICE: "Device"}
    return by_type.get(entity.type)


def status_of(entity: Entity) -> Status:
    """Return the assertion status that decides the resource's status codes."""
    assertion = entity.assertion
    if assertion.certainty == "hypothetical" or assertion.temporality == "future":
        return "hypothetical"
    if assertion.temporality == "historical":
        return "historical"
    return "possible" if assertion.certainty == "possible" else "present"


def _is_allergy(entity: Entity) -> bool:
    return entity.attributes.get("allergy") is True or allergy_status(entity) is not None


class AllergyStatus(NamedTuple):
    """What a code of ICD-10-CM that states an allergy says of the substance."""

    code: str  # the code, or what the codes begin with
    category: str  # of AllergyIntolerance, or ""


def allergy_status(entity: Entity) -> AllergyStatus | None:
    """Return what the entity's code of ICD-10-CM says, where it states an allergy ("penicillin allergy")."""
    chosen = entity.coding(ICD10CM)
    if chosen is None or entity.type not in PROBLEM_TYPES:
        return None
    return next((status for status in _allergy_statuses() if chosen.code.startswith(status.code)), None)


@cache
def _allergy_statuses() -> tuple[AllergyStatus, ...]:
    rows = read_table("allergy_status.csv", ("code", "category", "means"))
    return tuple(AllergyStatus(row["code"], row["category"]) for row in rows)


def _has_value(entity: Entity) -> bool:
    given = entity.attributes
    blood_pressure = given.get("systolic") is not None and given.get("diastolic") is not None
    return blood_pressure or given.get("value") is not None or bool(given.get("value_text"))


def _key(kind: Kind, entity: Entity) -> tuple[str, ...]:
    codes = sorted(f"{each.system}|{each.code}" for each in best_codings(entity))
    concept = tuple(codes) or (words(entity.text).casefold(),)
    match kind:
        case "Condition":
            return (*concept, str(entity.attributes.get("laterality", "")))
        case "FamilyMemberHistory":
            return (*concept, str(entity.attributes.get("relative", "")))
        case "Observation":
            return (*concept, *(str(entity.attributes.get(name, "")) for name in _VALUE_ATTRIBUTES))
        case _:
            return concept


def _merge(kind: Kind, key: tuple[str, ...], by_status: dict[Status, list[Entity]]) -> list[Fact]:
    weaker: list[Entity] = []
    if kind in _ABSORBING and "present" in by_status:
        weaker = [entity for status in _ABSORBED for entity in by_status.pop(status, [])]
    return [
        Fact(
            kind=kind,
            status=status,
            key=key,
            mentions=tuple(mentions),
            absorbed=tuple(weaker) if status == "present" else (),
        )
        for status, mentions in by_status.items()
    ]
