"""An ingredient with its strength and form is one clinical drug, where exactly one fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_coder.linking.clinical_drug import clinical_drug
from fhir_coder.linking.linker import Linker, Query
from fhir_coder.model import RXNORM
from fhir_coder.tables import read_table
from fhir_coder.terminology.release import Concept, Drug, MapRow, Name
from fhir_coder.terminology.store import ConceptStore

MEDICATION = "medication"


@pytest.fixture
def store(make: Callable[..., Any]) -> ConceptStore:
    """Lisinopril with HCTZ in the combinations that are sold, and a brand of lisinopril."""
    drugs = [
        Drug("314076", "29046", "10 mg", "oral tablet"),
        Drug("104377", "29046", "10 mg", "oral tablet", "196472"),
        Drug("1806884", "29046", "1 mg/ml", "oral solution"),
        Drug("9001", "29046", "2.5 mg", "oral tablet"),
        Drug("9002", "29046", "2.5 mg", "oral tablet"),
        Drug("9003", "29046", "40 mg", "oral tablet"),
        Drug("197885", "5487/29046", "12.5 mg/20 mg", "oral tablet"),
    ]
    names = {"29046": "lisinopril", "196472": "Zestril", "5487": "hydrochlorothiazide", "214618": "lisinopril / HCTZ"}
    facts = [
        *(Concept(code, name, MEDICATION) for code, name in names.items()),
        *(Name(code, name, "preferred", True) for code, name in names.items()),
        *(Concept(drug.code, f"drug {drug.code}", MEDICATION) for drug in drugs if drug.code != "9003"),
        Concept("9003", "retired drug", MEDICATION, "retired"),
        *drugs,
        MapRow(RXNORM, "196472", RXNORM, "29046", "tradename-of", "rxnorm"),
        MapRow(RXNORM, "214618", RXNORM, "29046", "has-ingredient", "rxnorm"),
        MapRow(RXNORM, "214618", RXNORM, "5487", "has-ingredient", "rxnorm"),
    ]
    return ConceptStore([make(RXNORM, "complete", *facts)])


@pytest.mark.parametrize(
    ("code", "strength", "form", "expected"),
    [
        ("29046", "10 mg", "tablet", "314076"),
        ("29046", "10mg", "tablet", "314076"),
        ("29046", "0.01 g", "tablet", "314076"),
        ("196472", "10 mg", "tablet", "104377"),  # a brand gives its branded drug
        ("29046", "5 mg/5 mL", "solution", "1806884"),
        ("214618", "20-12.5 mg", "tablet", "197885"),  # the note has the ingredients the other way round
        ("29046", "10 mg", "capsule", None),
        ("29046", "15 mg", "tablet", None),
        ("29046", "2.5 mg", "tablet", None),  # two fit
        ("29046", "40 mg", "tablet", None),  # no longer in use
        ("29046", "some", "tablet", None),
        ("29046", "10 mg", "no such form", None),
        ("5487", "25 mg", "tablet", None),
    ],
)
def test_clinical_drug(store: ConceptStore, code: str, strength: str, form: str, expected: str | None) -> None:
    concept = store.concept(RXNORM, code)
    assert concept is not None
    found = clinical_drug(store, concept, strength, form)
    assert (found.code if found else None) == expected


def test_the_drug_goes_before_its_ingredient(store: ConceptStore) -> None:
    linker = Linker(store, lexical=lambda: pytest.fail("not needed"), dense=None, top=5)
    (found,) = linker.link([Query("lisinopril", (RXNORM,), strength="10 mg", form="tablet")])
    assert [(candidate.code, candidate.stage) for candidate in found] == [("314076", "mapped"), ("29046", "exact")]
    assert found[0].matched == "lisinopril"
    assert found[0].score > found[1].score
    (plain,) = linker.link([Query("lisinopril", (RXNORM,), strength="10 mg")])
    assert [candidate.code for candidate in plain] == ["29046"]


def test_every_form_is_one_that_notes_are_read_for() -> None:
    known = {row["form"] for row in read_table("medication_forms.csv", ("form", "names"))}
    assert {row["form"] for row in read_table("terminology/dose_forms.csv", ("form", "rxnorm"))} <= known
