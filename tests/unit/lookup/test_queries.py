"""Queries are made from names, each has one right answer, and the same seed makes the same ones."""

from __future__ import annotations

from random import Random

import pytest
from rapidfuzz.distance import OSA

from fhir_coder.errors import BenchmarkError, TableError
from fhir_coder.lookup import queries as module
from fhir_coder.lookup.queries import MIX, Kind, Query, make_queries
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore


def codes(store: ConceptStore, system: str, text: str) -> set[str]:
    names = store.names(normalise(text))
    return {name.concept.code for name in names if name.concept.system == CODE_SYSTEMS[system]}


@pytest.fixture(scope="module", params=["icd10cm", "snomed", "hcpcs"])
def made(request: pytest.FixtureRequest, store: ConceptStore) -> list[Query]:
    return make_queries(store, request.param, 200, seed=1)


def test_the_shares_are_those_of_the_mix(made: list[Query]) -> None:
    assert {kind: sum(query.kind is kind for query in made) for kind in Kind} == {
        kind: round(200 * share) for kind, share in MIX.items()
    }


def test_each_has_one_right_answer_and_none_comes_twice(made: list[Query], store: ConceptStore) -> None:
    for query in made:
        concept = store.concept(CODE_SYSTEMS[query.system], query.code)
        assert concept is not None
        assert concept.codable
        expected = {query.code} if query.kind is Kind.EXACT else set()
        assert codes(store, query.system, query.text) == expected
    assert len({normalise(query.text) for query in made}) == len(made)


def test_a_misspelling_is_one_or_two_typos_away_from_a_name(made: list[Query], store: ConceptStore) -> None:
    for query in made:
        concept = store.concept(CODE_SYSTEMS[query.system], query.code)
        assert concept is not None
        away = min(OSA.distance(query.text, name.text) for name in store.names_of(concept))
        if query.kind is Kind.EXACT:
            assert away == 0
        elif query.kind is Kind.MISSPELT:
            assert 1 <= away <= 2


def test_a_seed_makes_the_same_queries_and_another_one_others(store: ConceptStore) -> None:
    first, again, other = (make_queries(store, "hcpcs", 50, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_system_that_is_not_loaded() -> None:
    with pytest.raises(BenchmarkError, match="loinc: no release with names is loaded"):
        make_queries(ConceptStore([]), "loinc", 10, seed=1)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Kind.ABBREVIATED, "Acute myocardial infarction with fracture", "AMI w/ fx"),
        (Kind.PARAPHRASED, "Acute Myocardial Infarction", "heart attack"),
        (Kind.ABBREVIATED, "Infraction without-with fractured", "Infraction without-with fractured"),
        (Kind.PARAPHRASED, "calculus of kidney", "stone of renal"),
    ],
)
def test_words_are_replaced_once_and_whole(kind: Kind, text: str, expected: str) -> None:
    assert module._CHANGES[kind](text, Random(1)) == expected  # noqa: S311 - to be the same each time


@pytest.mark.parametrize("row", ["Fracture,fx,", "fracture,,", ",fx,break"])
def test_a_row_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, row: str) -> None:
    rows = [dict(zip(("words", "abbreviated", "paraphrased"), row.split(","), strict=True))]
    monkeypatch.setattr(module, "read_table", lambda *_: rows)
    module._rewrites.cache_clear()
    try:
        with pytest.raises(TableError, match=r"lookup_queries\.csv"):
            module._rewrites()
    finally:
        module._rewrites.cache_clear()
