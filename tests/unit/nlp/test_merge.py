"""One set of mentions from the dictionary and the recogniser."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fhir_coder.model import HPO, SNOMED, EntityType
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.nlp.merge import Named, merge
from fhir_coder.nlp.recogniser import Recognised, Span
from fhir_coder.nlp.senses import Sense
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.release import Concept, Name
from fhir_coder.terminology.store import ConceptStore, StoredConcept, StoredName
from tests.unit.conftest import Make

DISEASE, SYMPTOM, MEDICATION, LAB = (
    EntityType.DISEASE,
    EntityType.SYMPTOM,
    EntityType.MEDICATION,
    EntityType.LAB_TEST,
)


@pytest.fixture
def store(make: Make) -> ConceptStore:
    return ConceptStore(
        [
            make(
                SNOMED,
                "complete",
                Concept("1", "Endocarditis", DISEASE),
                Name("1", "endocarditis", "preferred", True),
            )
        ]
    )


def _name(text: str, type_: EntityType, system: str = SNOMED) -> StoredName:
    return StoredName(text, "preferred", StoredConcept(system, "1", "1", text, type_, "active", False))


def _named(text: str, words: str, type_: EntityType = DISEASE, system: str = SNOMED, /, **attributes: Any) -> Named:
    start = text.index(words)
    names = (_name(words, type_, system),)
    mention = Mention(start, start + len(words), normalise(words), names)
    return Named(mention, Sense(type_, names, attributes))


def _span(text: str, words: str, type_: EntityType = DISEASE) -> Span:
    start = text.index(words)
    return Span(start, start + len(words), type_, 0.9)


def _recognised(text: str, spans: list[Span]) -> Recognised:
    words = list(re.finditer(r"\w+", text))
    return Recognised(spans, [word.start() for word in words], [word.end() for word in words], [0.5] * len(words))


def _merged(
    text: str, named: list[Named], spans: list[Span], store: ConceptStore
) -> list[tuple[str, EntityType | None]]:
    return [(text[one.start : one.end], one.type) for one in merge(text, named, _recognised(text, spans), store)]


def test_where_both_agree_the_name_is_kept_with_what_it_is_taken_for(store: ConceptStore) -> None:
    text = "glucose was given"
    (one,) = merge(text, [_named(text, "glucose", LAB)], _recognised(text, [_span(text, "glucose", MEDICATION)]), store)
    assert (one.type, one.names[0].text) == (MEDICATION, "glucose")


def test_what_only_one_of_them_finds_is_kept(store: ConceptStore) -> None:
    text = "asthma, and a new wheezy thing"
    assert _merged(text, [_named(text, "asthma")], [_span(text, "wheezy thing", SYMPTOM)], store) == [
        ("asthma", None),
        ("wheezy thing", SYMPTOM),
    ]


def test_a_longer_name_that_has_a_code_says_more(store: ConceptStore) -> None:
    text = "complete heart block"
    spans = [_span(text, "heart block")]
    assert _merged(text, [_named(text, text)], spans, store) == [(text, None)]
    assert _merged(text, [_named(text, text, DISEASE, HPO)], spans, store) == [("heart block", DISEASE)]


@pytest.mark.parametrize(
    ("text", "wins"),
    [
        ("metformin 3/2024", True),
        ("metformin 2019", True),
        ("metformin (1/5/24)", True),
        ("metformin 70/30 mix", False),
        ("metformin dc'd", True),
        ("metformin gtt", True),
        ("metformin allergy", True),
        ("metformin/glipizide", True),
        ("tac/metformin/pred", True),
        ("metformin/glucose ratio", False),
    ],
)
def test_what_is_no_part_of_a_name(store: ConceptStore, text: str, wins: bool) -> None:
    found = _merged(text, [_named(text, "metformin", MEDICATION)], [_span(text, text, MEDICATION)], store)
    assert (found[0][0] == "metformin") is wins


def test_an_amount_is_no_part_of_a_medication_without_a_name(store: ConceptStore) -> None:
    assert _merged("omep 20", [], [_span("omep 20", "omep 20", MEDICATION)], store) == [("omep", MEDICATION)]
    assert _merged("B 12", [], [_span("B 12", "B 12", MEDICATION)], store) == [("B 12", MEDICATION)]


def test_a_name_that_covers_several_spans_is_one_thing(store: ConceptStore) -> None:
    text = "back pain"
    spans = [_span(text, "back", EntityType.ANATOMY), _span(text, "pain", SYMPTOM)]
    assert _merged(text, [_named(text, text, SYMPTOM, HPO)], spans, store) == [(text, None)]


def test_a_name_with_a_value_or_a_dose_is_certain(store: ConceptStore) -> None:
    text = "serum sodium level 140"
    named = [_named(text, "sodium", LAB, value=140)]
    assert _merged(text, named, [_span(text, "serum sodium level", MEDICATION)], store) == [("sodium", None)]


@pytest.mark.parametrize(
    ("words", "coded"),
    [
        ("acute bacterial endocarditis", True),
        ("endocarditis of the mitral valve", True),
        ("endocarditis-like syndrome", False),
    ],
)
def test_more_words_around_a_name_keep_its_concept_where_it_is_what_they_say(
    store: ConceptStore, words: str, coded: bool
) -> None:
    text = f"She has {words}."
    (one,) = merge(text, [_named(text, "endocarditis")], _recognised(text, [_span(text, words)]), store)
    assert text[one.start : one.end] == words
    assert one.head == ("endocarditis" if coded else None)
    assert bool(one.names) is coded


def test_the_names_of_a_recognised_span_are_of_its_kind(store: ConceptStore) -> None:
    text = "endocarditis"
    assert merge(text, [], _recognised(text, [_span(text, text, SYMPTOM)]), store)[0].names
    assert not merge(text, [], _recognised(text, [_span(text, text, MEDICATION)]), store)[0].names


def test_a_name_is_not_lost_with_the_span_that_beat_it(store: ConceptStore) -> None:
    text = "asthma fits endocarditis"
    named = [_named(text, "asthma"), _named(text, "endocarditis")]
    assert _merged(text, named, [_span(text, text)], store) == [("asthma", None), ("endocarditis", None)]


def test_a_list_is_no_single_medication(store: ConceptStore) -> None:
    text = "lisinopril and hydrochlorothiazide, or CaCl2"
    named = [_named(text, "lisinopril", MEDICATION)]
    assert _merged(text, named, [_span(text, text, MEDICATION)], store) == [
        ("lisinopril", MEDICATION),
        ("hydrochlorothiazide", MEDICATION),
        ("CaCl2", MEDICATION),
    ]


def test_a_list_of_separators_is_nothing(store: ConceptStore) -> None:
    text = " , and , "
    assert merge(text, [], _recognised(text, [Span(0, len(text), MEDICATION, 0.5)]), store) == []
