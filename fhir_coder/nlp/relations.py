"""Relations: TREATS, CAUSES, LOCATED_IN, DOSAGE_OF, TEST_FOR, CONTRAINDICATES, INTERACTS_WITH.

Told by the words between entities of one sentence (`mappings/relation_cues.csv`), by the item of a plan that a problem
heads ("# HTN - continue lisinopril"), and by what is known to treat what (`mappings/indications.csv`). Entities that
are listed ("metformin and glipizide for diabetes") share their cue. The ends of LOCATED_IN and DOSAGE_OF that are no
entities - a site, a dosage - are `Words` of the note.

A score estimates how often such a relation is right. It is the cue's: where a medication causes a problem, the share of
the cue's pairs that the training parts of BC5CDR and BioRED hold (drawn towards 0.7, or 0.55 for cues that only tell an
order in time), else an estimate. Four fifths of it are left for each list of entities that is skipped; where the pair
is a known indication, the doubt is halved. A possible or hypothetical end lowers it (`_DOUBT`). A negated one leaves
nothing but tests, contraindications and places, which hold all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise

import re2

from fhir_coder.errors import TableError
from fhir_coder.model import ICD10CM, PROBLEM_TYPES, RXNORM, Entity, EntityType, Relation, Words
from fhir_coder.nlp.phrases import Phrases
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

_PREDICATES = frozenset("TREATS CAUSES LOCATED_IN DOSAGE_OF TEST_FOR CONTRAINDICATES INTERACTS_WITH".split())
_ORDERS = frozenset({"forward", "backward", "avoided"})  # avoided: behind a medication that is said to be avoided
_KNOWLEDGE = frozenset({"", "indicated", "not indicated"})

_FARTHEST = 120  # characters between two neighbours that are related
_MOST_BESIDE = 3  # words beside a cue that is weak
_MOST_SKIPPED = 1  # lists of entities between two ends
_SKIPPED = 0.8
_AVOIDED_REACH = 60

# What is known without a cue, as estimated on notes.
_SITE, _DOSAGE, _HEADED, _HEADED_UNKNOWN, _KNOWN, _REACTION = 0.9, 0.95, 0.9, 0.6, 0.55, 0.85
_DOUBT = {"possible": 0.8, "hypothetical": 0.7}
# What a test is for, and what forbids a medication, is often denied or only feared: the relation holds all the same.
_REGARDLESS = frozenset({"TEST_FOR", "CONTRAINDICATES", "DOSAGE_OF"})
_NEGATED_HALF = frozenset({"LOCATED_IN"})

_AS_NEEDED = ("prn", "p.r.n", "as needed", "as required", "if needed", "when needed")
_PLAN_SECTIONS = frozenset({"assessment_plan", "problem_list", "diagnoses", "hospital_course"})
_HEAD = re2.compile(r"^[ \t#*•>-]{0,8}(?:(?:\d{1,2}|[A-Za-z])[.):][ \t]*)?[#*• \t-]{0,4}(?:[A-Za-z/-]+[ \t]+){0,3}$")
_LONGEST_ITEM = 800
_JOIN = re2.compile(r"(?i)^[\s,/&+]*(?:(?:and/or|and|or|plus|with or without)\b)?[\s,]*$")
_REACTION_GAP = re2.compile(r"^[^,;\n.]{0,60}$")
_AVOID = re2.compile(
    r"(?i)\b(?:avoid(?:ing)?|contraindicat\w+|should not (?:take|receive|use|be given)|can(?:not|'t)"
    r" (?:take|have|use|receive)|not a candidate for|hold(?:ing)? off on|do not (?:give|use)|no further"
    r"|unable to (?:take|tolerate))\s+"
    r"(?:the use of |using |further |all |any |starting |oral |systemic )*$"
)
_INTERACTION = re2.compile(r"(?i)\binteractions?\s+(?:between|of|among)\s+$")

# Of problems that differ only in what ICD-10-CM says further, the category (three characters) counts.
_CATEGORY = 3


@dataclass(frozen=True, slots=True)
class _Cue:
    words: str
    subject: str
    predicate: str
    object: str
    order: str
    score: float
    knowledge: str


class Indications:
    """What is known to treat what, by the codes and names of a concept store."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store
        self._loaded: tuple[Mapping[str, frozenset[int]], Mapping[str, frozenset[int]]] | None = None

    def numbers(self, problems: Iterable[Entity]) -> set[int]:
        """Return the numbers of the known problems that the given ones are."""
        return {number for problem in problems for number in self._numbers(problem)}

    def treats_any(self, medication: Entity, numbers: set[int]) -> bool:
        """Tell whether a medication is known to treat one of the problems with these numbers."""
        return not numbers.isdisjoint(self._treated_by(medication))

    def indicated(self, medication: Entity, problem: Entity) -> bool:
        """Tell whether a medication is known to treat a problem."""
        treated = self._treated_by(medication)
        return bool(treated) and not treated.isdisjoint(self._numbers(problem))

    def _treated_by(self, medication: Entity) -> set[int]:
        known = self._tables()[0]
        keys = [normalise(medication.text)]
        for coding in medication.codings:
            name = normalise(coding.display)
            keys += [coding.code, name, *name.split()]
        return {number for key in keys for number in known.get(key, ())}

    def _numbers(self, problem: Entity) -> set[int]:
        known = self._tables()[1]
        keys = [normalise(problem.text), *map(_code_key, ((each.system, each.code) for each in problem.codings))]
        return {number for key in keys for number in known.get(key, ())}

    def _tables(self) -> tuple[Mapping[str, frozenset[int]], Mapping[str, frozenset[int]]]:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> tuple[Mapping[str, frozenset[int]], Mapping[str, frozenset[int]]]:
        medications: dict[str, set[int]] = defaultdict(set)
        problems: dict[str, set[int]] = defaultdict(set)
        numbers: dict[str, int] = {}
        for row in read_table("indications.csv", ("group", "medications", "problem")):
            number = numbers.setdefault(row["problem"], len(numbers))
            for name in split(row["medications"]):
                key = normalise(name)
                medications[key].add(number)
                for each in self._store.names(key):
                    if each.concept.system == RXNORM:
                        medications[each.concept.code].add(number)
        for name, number in numbers.items():
            key = normalise(name)
            problems[key].add(number)
            for each in self._store.names(key):
                if each.concept.type in PROBLEM_TYPES:
                    problems[_code_key((each.concept.system, each.concept.code))].add(number)
        return (
            {key: frozenset(values) for key, values in medications.items()},
            {key: frozenset(values) for key, values in problems.items()},
        )


def _code_key(code: tuple[str, str]) -> str:
    system, value = code
    return f"{system}|{value[:_CATEGORY] if system == ICD10CM else value}"


class Relations:
    """Reads relations; knows what treats what from a concept store."""

    def __init__(self, store: ConceptStore) -> None:
        self._indications = Indications(store)

    def read(self, text: str, entities: Sequence[Entity]) -> tuple[Relation, ...]:
        """Return the relations between the entities of a note, which stand in order, each pair and predicate once."""
        found = list(_attributed(text, entities))
        for _, group in groupby(entities, key=lambda entity: entity.sentence):
            sentence = list(group)
            if len(sentence) > 1:
                found.extend(self._told(text, sentence))
        found.extend(self._headed(text, entities, found))
        best: dict[tuple[int, str, int], Relation] = {}
        for relation in found:
            key = (relation.subject.start, relation.predicate, relation.object.start)
            if key not in best or relation.score > best[key].score:
                best[key] = relation
        return tuple(sorted(best.values(), key=lambda each: (each.subject.start, each.object.start, each.predicate)))

    def _told(self, text: str, sentence: Sequence[Entity]) -> Iterator[Relation]:
        """Yield the relations of one sentence that the words between its entities tell."""
        lists = _lists(text, sentence)
        yield from _interactions(text, lists)
        related: set[tuple[int, int]] = set()
        for position, (left, right) in enumerate(pairwise(lists)):
            gap = text[left[-1].end : right[0].start]
            if len(gap) > _FARTHEST:
                continue
            for cue in _cues_in(gap):
                pair = self._ends(text, cue, lists, position)
                if pair is None:
                    continue
                told = list(self._related(cue, *pair))
                related |= {(each.subject.start, each.object.start) for each in told}
                related |= {(each.object.start, each.subject.start) for each in told}
                yield from told
                if told:
                    break
        for medication, problem in self._neighbours(lists):
            if (medication.start, problem.start) not in related and (
                relation := _relation(medication, "TREATS", problem, _KNOWN)
            ):
                yield relation

    def _ends(
        self, text: str, cue: _Cue, lists: Sequence[Sequence[Entity]], position: int
    ) -> tuple[Sequence[Entity], Sequence[Entity], float] | None:
        """Return subjects and objects of a cue that stands behind the list at `position`, and what skipping leaves."""
        first, second = (cue.subject, cue.object) if cue.order == "forward" else (cue.object, cue.subject)
        for skipped in range(_MOST_SKIPPED + 1):
            for before in range(skipped + 1):
                left, right = position - before, position + 1 + skipped - before
                if left < 0 or right >= len(lists) or not (_is(lists[left][0], first) and _is(lists[right][0], second)):
                    continue
                if cue.order == "avoided" and not _is_avoided(text, lists[left][0]):
                    continue
                ends = (lists[left], lists[right]) if cue.order == "forward" else (lists[right], lists[left])
                return (*ends, _SKIPPED**skipped)
        return None

    def _related(
        self, cue: _Cue, subjects: Sequence[Entity], objects: Sequence[Entity], factor: float
    ) -> Iterator[Relation]:
        # What is taken as needed is the last of a list, not all of it.
        for subject in subjects[-1:] if cue.words.startswith(_AS_NEEDED) else subjects:
            for target in objects:
                score = cue.score * factor
                if cue.subject == "medication" and cue.object == "problem":
                    indicated = self._indications.indicated(subject, target)
                    if cue.knowledge == "indicated" and not indicated:
                        continue
                    if cue.knowledge == "not indicated" and indicated:
                        continue
                    if cue.predicate == "TREATS" and indicated:
                        score = 1 - (1 - score) / 2
                if relation := _relation(subject, cue.predicate, target, score):
                    yield relation

    def _neighbours(self, lists: Sequence[Sequence[Entity]]) -> Iterator[tuple[Entity, Entity]]:
        """Yield medications and problems that stand side by side and of which the one is known to treat the other."""
        for left, right in pairwise(lists):
            for one in left:
                for other in right:
                    medication, problem = (one, other) if _is(one, "medication") else (other, one)
                    if (
                        _is(medication, "medication")
                        and _is(problem, "problem")
                        and self._indications.indicated(medication, problem)
                    ):
                        yield medication, problem

    def _headed(self, text: str, entities: Sequence[Entity], found: Sequence[Relation]) -> Iterator[Relation]:
        """Yield what the items of a plan tell: the medications under a problem are for it."""
        treated = {relation.subject.start for relation in found if relation.predicate in ("TREATS", "CAUSES")}
        heads = [entity for entity in entities if entity.section in _PLAN_SECTIONS and _is_head(text, entity)]
        if not heads:
            return
        headed = self._indications.numbers(heads)  # a medication that treats another head is for that one
        head: Entity | None = None
        remaining = iter([*heads, None])
        following = next(remaining)
        for entity in entities:
            if following is not None and entity.start == following.start:
                head, following = entity, next(remaining)
            elif (
                head is not None
                and entity.type is EntityType.MEDICATION
                and entity.section == head.section
                and entity.start not in treated
                and entity.start - head.end <= _LONGEST_ITEM
            ):
                if self._indications.indicated(entity, head):
                    score = _HEADED
                elif entity.attributes.get("action") in ("stop", "hold") or self._indications.treats_any(
                    entity, headed
                ):
                    continue
                else:
                    score = _HEADED_UNKNOWN
                if relation := _relation(entity, "TREATS", head, score):
                    yield relation


def _attributed(text: str, entities: Sequence[Entity]) -> Iterator[Relation]:
    """Yield what the attributes of entities tell: dosages, sites, reactions to what is not tolerated."""
    sites = {entity.start: entity for entity in entities if entity.type is EntityType.ANATOMY}
    allergen: Entity | None = None
    reach = 0  # behind the allergen and the reactions that were taken
    for entity in entities:
        spans = entity.attributes.get("spans", {})
        if entity.type is EntityType.MEDICATION:
            for name in ("dose", "sig"):
                if name in spans and (dosage := _relation(_words(text, spans[name]), "DOSAGE_OF", entity, _DOSAGE)):
                    yield dosage
        elif "body_site" in spans:
            start, end = spans["body_site"]
            site = next((sites[place] for place in range(start, end) if place in sites), None)
            if located := _relation(entity, "LOCATED_IN", site or _words(text, (start, end)), _SITE):
                yield located
        if entity.attributes.get("reaction") and allergen:
            gap = text[reach : entity.start]
            if (reach == allergen.end and _REACTION_GAP.match(gap)) or _JOIN.match(gap):
                reach = entity.end
                if relation := _relation(allergen, "CAUSES", entity, _REACTION):
                    yield relation
        elif entity.type is EntityType.MEDICATION:
            allergen, reach = entity, entity.end


def _words(text: str, span: tuple[int, int]) -> Words:
    return Words(text=text[span[0] : span[1]], start=span[0], end=span[1])


def _relation(subject: Entity | Words, predicate: str, target: Entity | Words, score: float) -> Relation | None:
    """Return a relation with what the assertions of its ends leave of its score, or None when that is nothing."""
    ends = [end for end in (subject, target) if isinstance(end, Entity)]
    if len({end.assertion.experiencer for end in ends}) > 1:
        return None
    if predicate not in _REGARDLESS:
        for end in ends:
            if end.assertion.negated and not end.attributes.get("reaction"):
                if predicate not in _NEGATED_HALF:
                    return None
                score /= 2
            if not (predicate == "TREATS" and end is target):  # what is treated as needed is hypothetical
                score *= _DOUBT.get(end.assertion.certainty, 1)
    return Relation(subject=subject, predicate=predicate, object=target, score=round(score, 3))


def _lists(text: str, sentence: Sequence[Entity]) -> list[list[Entity]]:
    """Return the entities of a sentence, those of one kind that are listed together."""
    lists = [[sentence[0]]]
    for before, entity in pairwise(sentence):
        end = max(before.end, before.attributes.get("spans", {}).get("sig", (0, 0))[1])
        if _kind(before) == _kind(entity) and (end > entity.start or _JOIN.match(text[end : entity.start])):
            lists[-1].append(entity)
        else:
            lists.append([entity])
    return lists


def _interactions(text: str, lists: Sequence[Sequence[Entity]]) -> Iterator[Relation]:
    """Yield what is said to interact in a list: "interaction between warfarin and amiodarone"."""
    for each in lists:
        if len(each) > 1 and each[0].type is EntityType.MEDICATION:
            lead = text[max(each[0].sentence[0], each[0].start - _AVOIDED_REACH) : each[0].start]
            if _INTERACTION.search(lead) and (relation := _relation(each[0], "INTERACTS_WITH", each[1], 0.9)):
                yield relation


def _is_avoided(text: str, entity: Entity) -> bool:
    return bool(_AVOID.search(text[max(entity.sentence[0], entity.start - _AVOIDED_REACH) : entity.start]))


def _is_head(text: str, entity: Entity) -> bool:
    if entity.type not in PROBLEM_TYPES:
        return False
    line = text.rfind("\n", max(0, entity.start - _AVOIDED_REACH), entity.start) + 1
    if not line and entity.start > _AVOIDED_REACH:
        return False
    return bool(_HEAD.search(text[line : entity.start]))


def _kind(entity: Entity) -> str:
    return "problem" if entity.type in PROBLEM_TYPES else entity.type


def _is(entity: Entity, kind: str) -> bool:
    return _kind(entity) == kind


def _cues_in(gap: str) -> list[_Cue]:
    """Return the cues in the words between two lists, the surest first."""
    words = len(gap.split())
    found = [
        cue
        for phrase in _cues().find_all(gap)
        for cue in phrase.meaning
        # What only tells an order in time tells nothing from afar: "cancer, who was seen with a rash after".
        if cue.knowledge != "not indicated" or words - len(cue.words.split()) <= _MOST_BESIDE
    ]
    return sorted(found, key=lambda cue: -cue.score)


@cache
def _cues() -> Phrases[tuple[_Cue, ...]]:
    """Return the cues by their words.

    Raises `TableError` when a row has an unknown type, predicate, order, score or knowledge.
    """
    columns = ("subject", "predicate", "object", "cue", "order", "score", "knowledge")
    kinds = {"problem", *EntityType}
    cues: dict[str, tuple[_Cue, ...]] = {}
    for row in read_table("relation_cues.csv", columns):
        place = f"mappings/relation_cues.csv: {row['cue']}"
        if row["subject"] not in kinds or row["object"] not in kinds or row["predicate"] not in _PREDICATES:
            raise TableError(f"{place}: unknown type or predicate")
        if row["order"] not in _ORDERS or row["knowledge"] not in _KNOWLEDGE:
            raise TableError(f"{place}: unknown order or knowledge")
        try:
            score = float(row["score"])
        except ValueError as error:
            raise TableError(f"{place}: {error}") from error
        if not 0 < score <= 1:
            raise TableError(f"{place}: a score must lie in 0..1")
        cue = _Cue(row["cue"], row["subject"], row["predicate"], row["object"], row["order"], score, row["knowledge"])
        cues[row["cue"]] = (*cues.get(row["cue"], ()), cue)
    return Phrases(cues)
