"""Linking: the certain stages, and what must never be emitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fhir_coder.coding.thresholds import thresholds
from fhir_coder.errors import InputError
from fhir_coder.linking.linker import SYSTEMS, Linker, Query
from fhir_coder.model import CODE_SYSTEMS, HCPCS, ICD10CM, RXNORM, SNOMED, EntityType
from fhir_coder.pipeline import Coder
from fhir_coder.terminology.release import Concept, MapRow, Name
from fhir_coder.terminology.store import ConceptStore


@pytest.mark.parametrize(
    ("system", "text", "code", "stage"),
    [
        ("icd10cm", "Type 2 diabetes mellitus", "E11.9", "exact"),
        ("icd10cm", "diabetes", "E11.9", "exact"),  # a header is taken to its unspecified leaf
        ("icd10cm", "high blood pressure", "I10", "exact"),
        ("icd10cm", "COPD", "J44.9", "mapped"),
        ("icd10cm", "kidney failure", "N19", "exact"),
        ("snomed", "HTN", "38341003", "exact"),
        ("snomed", "Diabetes Mellitus, Type II", "44054006", "normalised"),
        ("rxnorm", "lisinopril", "29046", "exact"),
        ("hcpcs", "wheelchair", "K0001", "exact"),
        ("loinc", "potassium", "2823-3", "exact"),
    ],
)
def test_certain_stages(coder: Coder, system: str, text: str, code: str, stage: str) -> None:
    best = coder.lookup(system, text, 3)[0]
    assert (best.code, best.stage) == (code, stage)
    assert best.version
    assert 0 < best.score <= 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Crohn's disease", "K50.90"),
        ("ulcerative colitis", "K51.90"),
        ("asthma", "J45.909"),
        ("gout", "M10.9"),
        ("depression", "F32.A"),
        ("pneumonia", "J18.9"),
    ],
)
def test_a_header_never_becomes_a_complication(coder: Coder, text: str, code: str) -> None:
    assert coder.lookup("icd10cm", text, 1)[0].code == code


@pytest.mark.parametrize("system", sorted(CODE_SYSTEMS))
@pytest.mark.parametrize(
    "text", ["diabetes", "Crohn's disease", "amoxicillin / clavulanate", "walker", "fracture of femur"]
)
def test_candidates_are_ranked_codable_and_of_the_system(
    coder: Coder, store: ConceptStore, system: str, text: str
) -> None:
    found = coder.lookup(system, text, 10)
    assert len(found) <= 10
    assert [candidate.score for candidate in found] == sorted((c.score for c in found), reverse=True)
    assert len({candidate.code for candidate in found}) == len(found)
    for candidate in found:
        concept = store.concept(CODE_SYSTEMS[system], candidate.code)
        assert concept is not None
        assert concept.codable
        assert (candidate.system, candidate.display) == (CODE_SYSTEMS[system], concept.display)


def test_a_combination_without_a_code_of_its_own_is_left_uncoded(read: Any) -> None:
    entity = read.one("Started budesonide / formoterol 2 puffs BID.", "budesonide / formoterol")
    assert entity.type == "medication"
    assert entity.codings == ()
    assert entity.abstained


def test_what_a_type_is_never_linked_to() -> None:
    assert set(SYSTEMS) == set(EntityType)
    for type_, systems in SYSTEMS.items():
        assert (RXNORM in systems) == (type_ is EntityType.MEDICATION)
        assert (HCPCS in systems) == (type_ is EntityType.DEVICE)
        assert (ICD10CM in systems) == (type_ in (EntityType.DISEASE, EntityType.SYMPTOM))


def test_a_device_of_a_note(read: Any) -> None:
    entity = read.one("Uses a wheelchair.", "wheelchair")
    assert {coding.system for coding in entity.codings} == {HCPCS, SNOMED}


def test_unknown_system(coder: Coder) -> None:
    with pytest.raises(InputError, match="icd9"):
        coder.lookup("icd9", "gout")


@pytest.mark.parametrize("text", ["", " ", "\x00", "糖尿病", "(((", "x" * 5000])
def test_nasty_lookups(coder: Coder, text: str) -> None:
    for system in CODE_SYSTEMS:
        assert isinstance(coder.lookup(system, text), tuple)


def test_an_everyday_name_decides_between_the_concepts_of_a_full_release(make: Any) -> None:
    """ "Depression" is a name of three concepts of a full release; the starter table says which one notes mean."""
    concepts = [Concept(code, f"display {code}", "disease") for code in "123"]
    names = [Name("1", "depression", "preferred", True), *(Name(c, "depression", "synonym", True) for c in "23")]
    full = make(SNOMED, "complete", *concepts, *names)
    starter = make(SNOMED, "complete", concepts[1], Name("2", "depression", "synonym", True))
    linker = Linker(ConceptStore([full, starter]), lexical=lambda: pytest.fail("not needed"), dense=None, top=5)
    (found,) = linker.link([Query("depression", (SNOMED,))])
    assert [candidate.code for candidate in found] == ["2", "1", "3"]
    assert found[1].score == found[2].score < thresholds()[SNOMED] <= found[0].score


def test_what_is_only_similar_and_says_more_is_not_sure(coder: Coder) -> None:
    """A scan of which the site is not said is no scan of the head."""
    (found,) = coder.linker.link([Query("computed tomography", (SNOMED,))])
    assert found
    assert all(candidate.score < thresholds()[SNOMED] for candidate in found)


def test_a_retired_concept_gives_way_to_its_replacement(make: Any) -> None:
    facts = [
        Concept("1", "Old flu", "disease", "retired"),
        Concept("2", "Flu", "disease"),
        Concept("3", "Gone flu", "disease", "retired"),
        Name("1", "old flu", "preferred", True),
        Name("3", "gone flu", "preferred", True),
        MapRow(SNOMED, "1", SNOMED, "2", "replaced-by", "us"),
    ]
    linker = Linker(ConceptStore([make(SNOMED, "complete", *facts)]), lexical=lambda: _NoHits(), dense=None, top=5)  # type: ignore[arg-type]
    old, gone = linker.link([Query("old flu", (SNOMED,)), Query("gone flu", (SNOMED,))])
    assert [(candidate.code, candidate.barred) for candidate in old] == [("2", "")]
    assert [(candidate.code, bool(candidate.barred)) for candidate in gone] == [("3", True)]
    assert "retired" in gone[0].barred
    assert linker.lookup("gone flu", SNOMED, 5) == ()


def test_what_was_linked_is_remembered(linker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    over = linker({SNOMED: {"1": ["gout"]}})
    queries = [Query("gout", (SNOMED,)), Query("gowt", (SNOMED,)), Query("gout", (SNOMED,))]
    first = over.link(queries)
    assert [[candidate.code for candidate in found] for found in first] == [["1"]] * 3
    monkeypatch.setattr(over._named, "find", lambda *_, **__: pytest.fail("looked up again"))
    assert over.link(queries) == first


class _NoHits:
    """An index in which nothing is similar."""

    def search(self, keys: Sequence[str], *_: Any) -> list[list[Any]]:
        return [[] for _ in keys]
