"""The language tables: every row means something to the program."""

from __future__ import annotations

import re

import pytest

from fhir_coder.model import PROBLEM_TYPES, EntityType
from fhir_coder.nlp.assertion import Assertions, _default_rules
from fhir_coder.nlp.sections import _CATEGORIES, _titles
from fhir_coder.nlp.senses import abbreviations
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.common_words import common_words
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

# Senses that are told apart and typed, but that no embedded release has a concept for: recognised, never coded.
# A larger release may know them; one that the embedded releases know must not stay in this list.
WITHOUT_CONCEPT = set(
    """
    AI APC AV CR CRF CT CTX CVP DDD GC HUS IHD LV MAC MDI MR NG NPH NT PCA PCP PCR PE PPD RBC RF RV SA SI UC US VA
    VP
    """.split()
)
# Anatomy and genes are entities without a code system of their own.
UNCODED = {EntityType.ANATOMY, EntityType.GENE}


def test_every_sense_has_a_concept(store: ConceptStore) -> None:
    without = set()
    for abbreviation, senses in abbreviations().items():
        for sense in senses:
            if sense.type is None or sense.type in UNCODED:
                continue
            accepted = PROBLEM_TYPES if sense.type in PROBLEM_TYPES else {sense.type}
            if not any(name.concept.type in accepted for name in store.names(normalise(sense.name))):
                without.add(abbreviation)
    assert without == WITHOUT_CONCEPT


@pytest.mark.parametrize(
    "section", sorted({s for senses in abbreviations().values() for x in senses for s in x.sections})
)
def test_sections_of_senses_exist(section: str) -> None:
    assert section in _CATEGORIES


def test_every_sense_can_be_chosen() -> None:
    """A sense without a cue, a section and the default would never win."""
    for abbreviation, senses in abbreviations().items():
        assert all(sense.cues or sense.sections or sense.is_default for sense in senses), abbreviation
        names = [(sense.name, sense.type) for sense in senses]
        assert len(names) == len(set(names)), abbreviation


def test_section_titles_have_known_categories_and_one_meaning() -> None:
    assert set(_titles().values()) <= _CATEGORIES
    seen: dict[str, str] = {}
    for row in read_table("sections.csv", ("category", "title")):
        key = " ".join(re.findall(r"[a-z0-9]+", row["title"].lower()))
        assert key, row
        assert seen.setdefault(key, row["category"]) == row["category"], row


def test_context_rules_load() -> None:
    assert Assertions()


def test_the_rules_are_those_that_medspacy_reads() -> None:
    """They are read without it; a rule that a later medspaCy no longer has needs no removal."""
    from medspacy.context import ConText, ConTextRule
    from spacy import blank

    context = ConText(blank("en"), rules=None, span_attrs=None)
    rows = read_table("context_rules_removed.csv", ("literal", "category", "reason"))
    removed = {(row["literal"], row["category"]) for row in rows}
    read = ConTextRule.from_json(context.DEFAULT_RULES_FILEPATH)
    assert removed <= {(rule.literal, rule.category) for rule in read}
    assert all(row["reason"] for row in rows)
    assert [(rule.literal, rule.category, rule.direction, rule.pattern) for rule in _default_rules()] == [
        (rule.literal, rule.category, rule.direction, rule.pattern)
        for rule in read
        if (rule.literal, rule.category) not in removed
    ]
    assert all(rule.allowed_types is rule.max_scope is rule.excluded_types is None for rule in read)


@pytest.mark.parametrize(
    "type_", sorted({row["type"] for row in read_table("contextual_names.csv", ("name", "type", "needs"))})
)
def test_contextual_names_have_known_types(type_: str) -> None:
    assert EntityType(type_)


def test_relatives_have_one_code() -> None:
    seen: dict[str, str] = {}
    for row in read_table("family_relationships.csv", ("code", "display", "sex", "names")):
        for name in {row["display"], *split(row["names"])}:
            assert seen.setdefault(name.lower(), row["code"]) == row["code"], name


def test_common_words_are_words() -> None:
    assert "pain" not in common_words()
    assert all(word and " " not in word for word in common_words())
