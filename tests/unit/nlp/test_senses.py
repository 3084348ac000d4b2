"""What a mention means where its name can mean several things."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder.model import ICD10CM, LOINC, SNOMED
from tests.conftest import Read

Case = tuple[str, str, str, str]


@pytest.mark.parametrize(
    ("text", "words", "type_", "code"),
    [
        ("He has MS with optic neuritis and takes interferon.", "MS", "disease", "24700007"),
        ("Echo showed MS with a diastolic murmur.", "MS", "disease", "79619009"),
        ("AS with a severe valve gradient on echo.", "AS", "disease", "60573004"),
        ("RA on methotrexate with joint pain.", "RA", "disease", "69896004"),
        ("PT 13.2 sec, INR 1.1", "PT", "lab-test", "5902-2"),
        ("Potassium 4.2 mmol/L today.", "Potassium", "lab-test", "2823-3"),
        ("Na 140, K 5.1, Cl 101", "K", "lab-test", "2823-3"),
        ("potassium chloride 20 mEq daily", "potassium chloride", "medication", "8591"),
        ("digoxin 0.25 mg daily", "digoxin", "medication", "3407"),
        ("BP 120/80, hr 110", "hr", "vital-sign", "8867-4"),
        ("Breast cancer with METS in bone.", "METS", "disease", "94222008"),
    ],
)
def test_meaning(read: Any, text: str, words: str, type_: str, code: str) -> None:
    entity = read.one(text, words)
    assert entity.type == type_
    assert code in {coding.code for coding in entity.codings}


@pytest.mark.parametrize(
    "text",
    [
        "SpO2 98% on RA.",
        "Able to perform 4 METS.",
        "PT consult for gait and rehab.",
        "PT denies it and has reported so.",
        "Fall precautions. Influenza vaccine given.",
        "THE PATIENT WITH MS AND ALL OTHER PROBLEMS THAT ARE LISTED BELOW",
        "Cold weather. Fell in love.",
    ],
)
def test_no_entity(read: Any, text: str) -> None:
    found = set(read.texts(text)) & {"RA", "PT", "METS", "Influenza", "Fall", "ALL", "MS", "Cold", "Fell"}
    assert found == set()


def test_what_stays_open_is_said_to_be_open(read: Any) -> None:
    entity = read.one("He has MS.", "MS")
    assert entity.codings == ()
    assert "multiple sclerosis" in entity.abstained
    assert "mitral stenosis" in entity.abstained


def test_potassium_with_a_dose_is_a_medication(read: Any) -> None:
    assert read.one("Potassium 20 mEq PO daily.", "Potassium").type == "medication"


def test_k_with_a_value_needs_no_other_cue(read: Any) -> None:
    assert read.one("K 4.2", "K").coding(LOINC)


def test_a_unit_is_no_test(read: Any) -> None:
    assert "mg" not in read.texts("hydrocodone/acetaminophen 5/325 mg 1-2 tabs q6h prn pain")


def test_insulin_alone_is_a_medication_that_is_not_coded(read: Any) -> None:
    entity = read.one("insulin 10 units SC", "insulin")
    assert entity.type == "medication"
    assert not entity.codings
    assert "insulin glargine" in entity.abstained


def test_gene_names_and_problems_keep_apart(read: Any) -> None:
    entity = read.one("He has diabetes.", "diabetes")
    assert (entity.coding(SNOMED).code, entity.coding(ICD10CM).code) == ("73211009", "E11.9")


def test_another_medications_dose_makes_no_morphine_of_ms(read: Any) -> None:
    entity = read.one("Meds: lisinopril 20 mg PO daily, albuterol prn\nPlan: MS stable.", "MS")
    assert not entity.codings
    assert "multiple sclerosis" in entity.abstained


def test_a_cue_may_be_a_stem(read: Any) -> None:
    assert read.one("Sees rheumatology for RA.", "RA").coding(ICD10CM).code == "M06.9"


def test_an_expansion_without_a_concept_is_not_linked_by_its_letters(read: Any) -> None:
    entity = read.one("Right CVA tenderness on exam.", "CVA")
    assert entity.type == "anatomy"
    assert not entity.codings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Dobutamine stress echo today.", False),
        ("Lasix renogram ordered.", False),
        ("Aspirin challenge planned.", False),
        ("Started dobutamine. Stress test tomorrow.", True),
        ("She takes aspirin; tolerance is good.", True),
    ],
)
def test_a_drug_that_is_part_of_a_test_is_not_taken(read: Read, text: str, found: bool) -> None:
    assert any(entity.type == "medication" for entity in read.note(text).entities) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("Pneumonia vaccine.", False), ("Pneumonia. Vaccine given.", True), ("Pneumonia\nvaccine.", False)],
)
def test_what_follows_behind_a_stop_is_another_matter(read: Read, text: str, found: bool) -> None:
    assert ("Pneumonia" in read.texts(text)) == found


@pytest.mark.parametrize(
    ("text", "historical"),
    [
        ("He is s/p vancomycin.", ["vancomycin"]),
        ("s/p IV ceftriaxone, then cephalexin.", ["ceftriaxone"]),
        ("s/p CABG on aspirin.", ["CABG"]),
        ("s/p CABG, ASA and Plavix.", ["CABG"]),
    ],
)
def test_a_drug_right_behind_status_post_is_over(read: Read, text: str, historical: list[str]) -> None:
    assert [e.text for e in read.note(text).entities if e.assertion.temporality == "historical"] == historical
