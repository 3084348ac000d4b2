"""The words that a misspelt word may be meant to be."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from fhir_coder.linking import spelling
from fhir_coder.linking.spelling import Spelling, fold, is_respelt
from fhir_coder.model import ICD10CM, RXNORM, SNOMED
from fhir_coder.terminology.normalise import normalise_word
from fhir_coder.terminology.release import Concept, Name
from fhir_coder.terminology.store import ConceptStore

NAMES = {
    SNOMED: {"1": ["Diabetes mellitus", "diabetic coma"], "2": ["Gout"], "3": ["Crohn's disease", "NSTEMI"]},
    RXNORM: {"4": ["metformin"]},
}


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("diabetis", [("diabetes", 1), ("diabetic", 1)]),
        ("diabtees", [("diabetes", 1)]),  # swapped with the next one
        ("dibetees", [("diabetes", 2)]),
        ("mellitis", [("mellitus", 1)]),
        ("gowt", [("gout", 1)]),
        ("guot", [("gout", 1)]),
        ("gowtt", []),  # two edits of a short word
        ("got", []),  # too short
        ("diabetes2", []),
        ("nstemy", []),  # one letter is all the difference between abbreviations
        ("metformen", []),  # of another code system
        ("", []),
    ],
)
def test_near(named: Any, word: str, near: list[tuple[str, int]]) -> None:
    found = Spelling(named(NAMES)).near(word, (SNOMED,))
    assert [(each.word, each.edits) for each in found] == near


def test_the_more_usual_word_goes_first(named: Any) -> None:
    store = named({SNOMED: {"1": ["anemia"], "2": ["enemia", "enemia of chronic disease"]}})
    assert [near.word for near in Spelling(store).near("inemia", (SNOMED,))] == ["enemia", "anemia"]


def test_words_of_several_releases_are_counted_together(named: Any) -> None:
    store = named({SNOMED: {"1": ["gout"]}, ICD10CM: {"2": ["gout", "gout of knee"]}})
    assert [near.names for near in Spelling(store).near("goutt", (SNOMED, ICD10CM))] == [3]


def test_known_words_are_those_of_all_releases(named: Any) -> None:
    words = Spelling(named(NAMES))
    for word in ("metformin", "Diabetes", "Crohn's", "NSTEMI"):
        assert words.is_known(normalise_word(word))
    assert not words.is_known("diabetis")


def test_beginnings(named: Any) -> None:
    words = Spelling(named(NAMES))
    assert [near.word for near in words.beginning_with("diab", (SNOMED,))] == ["diabetes", "diabetic"]
    assert words.beginning_with("metf", (SNOMED,)) == ()
    assert words.beginning_with("1", (SNOMED,)) == ()


def test_a_release_without_the_index_has_no_words(make: Any) -> None:
    release = make(SNOMED, "complete", Concept("1", "gout", "disease"), Name("1", "gout", "preferred", True))
    assert Spelling(ConceptStore([release])).near("goutt", (SNOMED,)) == ()


_WORD = st.text(string.ascii_lowercase[:5], min_size=4, max_size=12)


@settings(deadline=None)
@given(st.sets(_WORD, min_size=1), _WORD)
def test_what_is_left_of_near_words_is_the_same(words: set[str], word: str) -> None:
    """No word within two edits is missed (Garbe's symmetric deletes, of the first letters)."""
    ordered = sorted(words)
    numbers, owners = spelling._index(ordered)
    assert np.array_equal(numbers, np.sort(numbers))
    prefix = np.frombuffer(word[: spelling._PREFIX].encode(), dtype=np.uint8).reshape(1, -1)
    found = set(owners[np.isin(numbers, spelling._left(prefix, 2)[0])].tolist())
    assert {place for place, other in enumerate(ordered) if OSA.distance(word, other) <= 2} <= found


@given(st.text())
def test_folded_words_are_ascii(word: str) -> None:
    assert fold(word).isascii()
    assert is_respelt(fold(word)) or not fold(word).isalpha() or not 4 <= len(fold(word)) <= 40
