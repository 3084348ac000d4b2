"""Similar letters: misspellings find their names."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.linking import lexical
from fhir_coder.linking.lexical import LexicalIndex
from fhir_coder.model import CODE_SYSTEMS, SNOMED
from fhir_coder.pipeline import Coder
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("diabetis mellitus", "73211009"),
        ("hypertention", "38341003"),
        ("pnuemonia", "233604007"),
        ("migrane", "37796009"),
    ],
)
def test_a_misspelling_finds_its_name(coder: Coder, text: str, code: str) -> None:
    found = {candidate.code: candidate.stage for candidate in coder.lookup("snomed", text, 5)}
    assert found.get(code) == "repaired"


@pytest.fixture(scope="module")
def index(store: ConceptStore) -> LexicalIndex:
    """The index beside the releases."""
    return LexicalIndex(store)


def test_search(index: LexicalIndex, store: ConceptStore) -> None:
    known, nothing = index.search([normalise("hypertension"), ""], SNOMED, 3)
    assert len(known) == 3
    assert known[0].similarity == pytest.approx(1, abs=1e-3)  # weights in half precision
    name = store.name(known[0].release, known[0].row)
    assert name is not None
    assert name.text.lower() == "hypertension"
    assert [hit.similarity for hit in known] == sorted((hit.similarity for hit in known), reverse=True)
    assert nothing == []


@pytest.mark.parametrize("system", CODE_SYSTEMS.values())
def test_every_code_system_has_an_index(index: LexicalIndex, system: str) -> None:
    assert index.search(["pain walker lisinopril potassium"], system, 1)[0]


@pytest.mark.parametrize("key", ["diabete mellitus", "qqqq zzzz", "pnuemonia", "hypertension of pregnancy, chronic"])
def test_common_trigrams_are_not_read_whole(index: LexicalIndex, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """They put in order what the rarer ones found; so the best names, and how similar they are, stay the same."""
    everything = index.search([key], SNOMED, 2)
    monkeypatch.setattr(lexical, "_MOST_READ", 2_000)
    assert index.search([key], SNOMED, 2) == everything


@given(st.lists(st.text().map(normalise), min_size=1))
def test_trigrams_are_counted(keys: list[str]) -> None:
    found = lexical._counts(keys)
    counted: list[Counter[int]] = [Counter() for _ in keys]
    for trigram, name, count in zip(found.trigrams.tolist(), found.names.tolist(), found.counts.tolist(), strict=True):
        counted[name][trigram] += int(count)
    for key, of_key in zip(keys, counted, strict=True):
        words = [f" {word} " for word in key.split()]
        wanted = Counter(word[place : place + 3] for word in words for place in range(len(word) - 2))
        assert sorted(of_key.values()) == sorted(wanted.values())
    assert found.trigrams.tolist() == sorted(found.trigrams.tolist())
