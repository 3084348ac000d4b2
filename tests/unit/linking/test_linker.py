"""Linking: the certain stages, and what must never be emitted."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder.errors import InputError
from fhir_coder.linking.linker import SYSTEMS
from fhir_coder.model import CODE_SYSTEMS, HCPCS, ICD10CM, RXNORM, SNOMED, EntityType
from fhir_coder.pipeline import Coder
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
    entity = read.one("Started amoxicillin / clavulanate 875 mg BID.", "amoxicillin / clavulanate")
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
