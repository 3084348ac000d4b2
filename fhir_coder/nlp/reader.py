"""Read a note: sections, sentences, mentions, their senses, attributes and assertions."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from fhir_coder.model import PROBLEM_TYPES, TEST_TYPES, Entity, EntityType, Section
from fhir_coder.nlp.allergens import with_allergens
from fhir_coder.nlp.assertion import Asserted, Assertions, Target
from fhir_coder.nlp.dated import read_dates
from fhir_coder.nlp.dates import Calendar
from fhir_coder.nlp.definitions import with_definitions
from fhir_coder.nlp.dictionary import Dictionary, Mention
from fhir_coder.nlp.findings import Target as Described
from fhir_coder.nlp.findings import read_findings
from fhir_coder.nlp.medication_lists import with_common_actions
from fhir_coder.nlp.merge import Named, merge
from fhir_coder.nlp.prevention import is_prevented
from fhir_coder.nlp.recogniser import Recogniser
from fhir_coder.nlp.sections import SectionFinder, find_sections
from fhir_coder.nlp.senses import Place, Sense, abbreviations, choose, is_never_coded
from fhir_coder.nlp.sentences import split_sentences
from fhir_coder.nlp.shortened import with_shortened
from fhir_coder.terminology.store import ConceptStore, StoredName

_DESCRIBED = PROBLEM_TYPES | {EntityType.DEVICE}
_NO_ALLERGIES = re.compile(r"NK(?:[DFEM]|DF)?As?$|no known .*allerg", re.IGNORECASE)
_ALLERGIES = re.compile(
    r"(?:(?:drug|medication|medicine|food|environmental|seasonal)s? )*allerg(?:y|ies)"
    r"(?: to (?:drug|medication|medicine|food)s?)?$",
    re.IGNORECASE,
)
_NO_KNOWN = re.compile(
    r"\b(?:no|denies|without|w/o)\s+(?:any\s+)?(?:(?:known|documented|reported|significant|drug|medication|medical|medicine"
    r"|food|or|and|environmental)[\s/]+)*$",
    re.IGNORECASE,
)
_NO_KNOWN_LENGTH = 60  # characters
# "No known food or drug allergies", of which "food" is recognised.
_KNOWN = re.compile(r"\bknown\s+$", re.IGNORECASE)
_ALLERGY_FOLLOWS = re.compile(r"[^.;\n]{0,40}allerg", re.IGNORECASE)
_TAKES = re.compile(r"\b(?:takes?|taking|on|uses?|using|started|continues?)\s+(?:(?:her|his|the)\s+)?$", re.IGNORECASE)
_LEAD = 30  # characters before a medication
_GIVEN = frozenset({"start", "continue", "increase", "decrease"})
_NO_CALENDAR = Calendar()
_BOUNDARIES = TEST_TYPES | {EntityType.MEDICATION}


@dataclass(frozen=True, slots=True)
class Reading:
    """An entity that is not linked yet, with the names of the store that were found for it.

    `meaning` is its text, or what an abbreviation stands for; `ambiguous` the reason why it must not be linked.
    """

    entity: Entity
    meaning: str
    names: tuple[StoredName, ...]
    ambiguous: str | None


class Reader:
    """The language stages over one concept store, loaded once. Not to be shared between threads."""

    def __init__(self, store: ConceptStore, recogniser: Recogniser | None = None) -> None:
        self._store = store
        self._recogniser = recogniser
        self._dictionary = Dictionary(store, abbreviations())
        self._assertions = Assertions()

    def read(self, text: str, calendar: Calendar = _NO_CALENDAR) -> tuple[tuple[Section, ...], list[Reading]]:
        """Return the sections of a note's text and what was read in it, in order.

        Dates that the text states are reckoned by the calendar.
        """
        sections = find_sections(text)
        sentences = split_sentences(text, sections)
        finder = SectionFinder(sections)
        mentions = with_definitions(text, self._dictionary.find(text), self._store)
        if self._recogniser is not None:
            chosen = self._senses(text, mentions, sentences, finder)
            named = [Named(mention, sense) for mention, _, sense in chosen]
            mentions = merge(text, named, self._recogniser.read(text), self._store)
            mentions = with_definitions(text, mentions, self._store)
        mentions = with_shortened(text, with_allergens(text, mentions, sections), self._store)
        chosen = self._senses(text, mentions, sentences, finder)
        chosen = with_common_actions(text, _described(text, chosen))
        readings: list[Reading] = []
        for sentence, group in groupby(chosen, key=lambda item: item[1].sentence):
            readings.extend(self._assert(text, sentence, list(group)))
        return sections, _with_dates(text, _with_side_effects(text, readings), calendar)

    def _senses(
        self, text: str, mentions: Sequence[Mention], sentences: Sequence[tuple[int, int]], finder: SectionFinder
    ) -> list[tuple[Mention, Place, Sense]]:
        """Return the mentions that mean something where they stand, with their surroundings and what they mean."""
        chosen: list[tuple[Mention, Place, Sense]] = []
        measured_to = 0  # the words of a value ("positive") are no entities of their own
        for mention, place in _places(text, mentions, sentences, finder):
            if mention.start < measured_to or _denies_allergies(text, mention):
                continue
            sense = choose(mention, place, self._store)
            if sense:
                chosen.append((mention, place, sense))
                measured_to = int(sense.attributes.get("value_end", 0))
        return chosen

    def _assert(
        self, text: str, sentence: tuple[int, int], chosen: Sequence[tuple[Mention, Place, Sense]]
    ) -> list[Reading]:
        targets = [
            Target(
                mention.start, mention.end, sense.type, place.section, any(name.concept.chronic for name in sense.names)
            )
            for mention, place, sense in chosen
        ]
        asserted = self._assertions.read(text, sentence, targets)
        readings = []
        for (mention, place, sense), told in zip(chosen, asserted, strict=True):
            is_only_named = sense.type in PROBLEM_TYPES and is_prevented(text, mention, place)
            said = replace(told, assertion=replace(told.assertion, certainty="hypothetical")) if is_only_named else told
            entity = _entity(text, mention, place, sense, said)
            meaning = sense.expansion or mention.head or entity.text
            readings.append(Reading(entity, meaning, sense.names, sense.ambiguous))
        return readings


def _places(
    text: str, mentions: Sequence[Mention], sentences: Sequence[tuple[int, int]], finder: SectionFinder
) -> list[tuple[Mention, Place]]:
    """Return the mentions that stand within one sentence, with their surroundings."""
    starts = [start for start, _ in sentences]
    within = []
    for mention in mentions:
        position = bisect_right(starts, mention.start) - 1
        if is_never_coded(text[mention.start : mention.end]):  # nor does it part others: "d/c lisinopril"
            continue
        if position >= 0 and mention.end <= sentences[position][1]:
            within.append((mention, sentences[position]))
    placed = []
    boundary = len(text)  # where the next test or medication begins
    for position in range(len(within) - 1, -1, -1):
        mention, sentence = within[position]
        section = finder.at(mention.start)
        place = Place(
            text=text,
            sentence=sentence,
            section=section.category if section else None,
            next_start=min(sentence[1], boundary),
            previous_end=max(sentence[0], within[position - 1][0].end if position else 0),
        )
        placed.append((mention, place))
        if _is_boundary(mention):
            boundary = mention.start
    return placed[::-1]


def _described(text: str, chosen: list[tuple[Mention, Place, Sense]]) -> list[tuple[Mention, Place, Sense]]:
    """Add what the text says of problems and devices beside their names."""
    # A part of the body is what others are described by: its words may be those of a problem.
    targets = [
        Described(mention.start, mention.end, place.sentence, sense.type in _DESCRIBED, sense.type is EntityType.DEVICE)
        for mention, place, sense in chosen
    ]
    read_findings(
        text,
        [target for target, (_, _, sense) in zip(targets, chosen, strict=True) if sense.type is not EntityType.ANATOMY],
    )
    return [
        (mention, place, replace(sense, attributes={**sense.attributes, **target.found}) if target.found else sense)
        for target, (mention, place, sense) in zip(targets, chosen, strict=True)
    ]


def _denies_allergies(text: str, mention: Mention) -> bool:
    """Tell whether a mention is, or belongs to, the statement that there are no known allergies: no finding."""
    before = text[max(0, mention.start - _NO_KNOWN_LENGTH) : mention.start]
    if _NO_ALLERGIES.match(text, mention.start, mention.end):
        return True
    if mention.type and _KNOWN.search(before) and _ALLERGY_FOLLOWS.match(text, mention.start):
        return True
    return _NO_KNOWN.search(before) is not None and _ALLERGIES.match(text, mention.start, mention.end) is not None


def _with_side_effects(text: str, readings: list[Reading]) -> list[Reading]:
    """Put into the past what a medication did, in brackets, that is no longer taken: "failed lisinopril (cough)"."""
    told = list(readings)
    for at, (before, after) in enumerate(pairwise(readings), start=1):
        drug, symptom = before.entity, after.entity
        is_over = drug.assertion.temporality == "historical" or drug.attributes.get("action") == "stop"
        is_in_brackets = text[drug.end : symptom.start].strip() == "("
        if drug.type is EntityType.MEDICATION and symptom.type is EntityType.SYMPTOM and is_over and is_in_brackets:
            past = replace(symptom.assertion, temporality="historical")
            told[at] = replace(after, entity=replace(symptom, assertion=past))
    return told


def _with_dates(text: str, readings: list[Reading], calendar: Calendar) -> list[Reading]:
    """Add the dates that the text states of the entities."""
    dated = read_dates(text, [reading.entity for reading in readings], calendar)
    return [
        replace(reading, entity=replace(reading.entity, attributes=attributes))
        if attributes != reading.entity.attributes
        else reading
        for reading, attributes in zip(readings, dated, strict=True)
    ]


def _is_boundary(mention: Mention) -> bool:
    """Tell whether the words behind a mention are about it, and no longer about a medication before it."""
    return mention.type in _BOUNDARIES or any(name.concept.type in _BOUNDARIES for name in mention.names)


def _is_given(text: str, mention: Mention, place: Place, sense: Sense) -> bool:
    """Tell whether a medication is taken, whatever heading stands above: "started furosemide 40 mg bid".

    In a list of allergies only how often tells so, or the word before it: "PCN, but has tolerated cephalexin".
    """
    before = text[max(place.previous_end, mention.start - _LEAD) : mention.start]
    is_done = sense.attributes.get("action") in _GIVEN and (place.section != "allergies" or bool(_TAKES.search(before)))
    return "frequency" in sense.attributes or is_done


def _entity(text: str, mention: Mention, place: Place, sense: Sense, said: Asserted) -> Entity:
    attributes = {name: value for name, value in sense.attributes.items() if name != "value_end"}
    if mention.score is not None and not sense.names:
        attributes["recognised"] = round(mention.score, 2)
    if said.relative:
        attributes["relative"] = said.relative
    if said.allergy and sense.type is EntityType.MEDICATION and not _is_given(text, mention, place, sense):
        attributes["allergy"] = True
    if said.allergy and sense.type in PROBLEM_TYPES and place.section == "allergies" and not said.assertion.negated:
        attributes["reaction"] = True
    assertion = said.assertion
    if sense.type in TEST_TYPES and "value_text" in attributes:
        # "negative" is the result here, not a negation of the test.
        assertion = type(assertion)(
            certainty=assertion.certainty, temporality=assertion.temporality, experiencer=assertion.experiencer
        )
    return Entity(
        text=text[mention.start : mention.end],
        start=mention.start,
        end=mention.end,
        type=sense.type,
        section=place.section,
        sentence=place.sentence,
        assertion=assertion,
        cues=said.cues,
        attributes=attributes,
    )
