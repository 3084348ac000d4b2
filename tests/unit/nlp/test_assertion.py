"""What is said of an entity, by sentences: N negated, P possible, H hypothetical, O over (historical), F family."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder.model import Entity


def _said(entity: Entity) -> str:
    assertion = entity.assertion
    marks = (
        ("N", assertion.negated),
        ("P", assertion.certainty == "possible"),
        ("H", assertion.certainty == "hypothetical"),
        ("O", assertion.temporality == "historical"),
        ("F", assertion.experiencer == "family"),
    )
    return "".join(mark for mark, is_so in marks if is_so)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Negated.
        ("Patient denies fever.", "fever N"),
        ("No chest pain.", "chest pain N"),
        ("No fever, cough or rash.", "fever N; cough N; rash N"),
        ("Negative for pneumonia.", "pneumonia N"),
        ("Pneumonia was ruled out.", "Pneumonia N"),
        ("No evidence of pneumonia on imaging.", "pneumonia N"),
        ("Without headache.", "headache N"),
        ("Free of nausea.", "nausea N"),
        ("Cough is absent.", "Cough N"),
        ("She has never had seizures.", "seizures N"),
        ("Patient is not having chest pain.", "chest pain N"),
        ("There is no longer any edema.", "edema N"),
        # Where a negation ends.
        ("No cough. Fever present.", "cough N; Fever"),
        ("Denies cough but has fever.", "cough N; fever"),
        ("Denies chest pain, however reports dyspnea.", "chest pain N; dyspnea"),
        ("No nausea; has vomiting.", "nausea N; vomiting"),
        # What only looks like a negation.
        ("Not only asthma but also COPD.", "asthma; COPD"),
        ("No increase in edema.", "edema"),
        ("No change in dyspnea.", "dyspnea"),
        ("Gram negative sepsis.", "Gram negative sepsis"),
        ("Diabetes well controlled.", "Diabetes"),
        # Possible.
        ("Possible pneumonia.", "pneumonia P"),
        ("Probable gastritis.", "gastritis P"),
        ("Suspected appendicitis.", "appendicitis P"),
        ("Cannot exclude pulmonary embolism.", "pulmonary embolism P"),
        ("Concern for cellulitis.", "cellulitis P"),
        ("Pneumonia vs bronchitis.", "Pneumonia P; bronchitis P"),
        ("Differential includes gout.", "gout P"),
        ("Question of asthma.", "asthma P"),
        ("?pneumonia", "pneumonia P"),
        ("Likely viral gastroenteritis.", "viral gastroenteritis P"),
        ("Rule out pulmonary embolism.", "pulmonary embolism P"),
        # Hypothetical.
        ("Return if fever develops.", "fever H"),
        ("Call if you have dizziness.", "dizziness H"),
        ("If cough worsens, return.", "cough H"),
        ("Monitor for bleeding.", "bleeding H"),
        ("Screening for depression.", "depression H"),
        ("Risk of stroke.", "stroke H"),
        ("Take ibuprofen as needed for pain.", "ibuprofen; pain H"),
        ("Instructions: return for fever", "fever H"),
        # Over.
        ("History of stroke.", "stroke O"),
        ("s/p appendectomy", "appendectomy O"),
        ("s/p appendectomy 2018, diabetes", "appendectomy O; diabetes"),
        ("Status post hip fracture.", "hip fracture O"),
        ("Hx of gout.", "gout O"),
        ("Remote history of seizures.", "seizures O"),
        ("Past Medical History: hypertension, pneumonia", "hypertension; pneumonia O"),  # a chronic disease stays
        ("PMH:\n- stroke\n- diabetes", "stroke O; diabetes"),
        # Family.
        ("Mother has diabetes.", "diabetes F"),
        ("Father died of stroke.", "stroke F"),
        ("Family history of breast cancer.", "breast cancer F"),
        ("Family History: asthma", "asthma F"),
        ("FH: colon cancer in grandfather", "colon cancer F"),
        ("Sister with lupus.", "lupus F"),
        ("His mother brought him in with cough.", "cough"),
        # Lists and sections.
        ("Review of Systems: no fever, no chills, + cough", "fever N; chills N; cough"),
        ("ROS: Positive for cough. Negative for fever.", "cough; fever N"),
        ("Plan: start metformin for diabetes.", "metformin; diabetes"),
        ("Physical Exam:\nNo edema.\nRash on the arm.", "edema N; Rash"),
        # Where the program falls short.
        ("Mother denies that he has fever.", "fever N"),
        ("Unlikely pulmonary embolism.", "pulmonary embolism N"),
        ("Fever: no\nCough: yes", "Fever N; Cough"),
        ("Denies:\n- fever\n- cough\n\nHas a rash.", "fever N; cough N; rash"),
        ("Negative for:\n* fever\nCough for a week.", "fever N; Cough"),
        ("Return if:\n1. fever\n2. vomiting", "fever H; vomiting H"),
        ("He had pneumonia last year.", "pneumonia O"),
    ],
)
def test_said(read: Any, text: str, expected: str) -> None:
    found = "; ".join(f"{entity.text} {_said(entity)}".strip() for entity in read.note(text).entities)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "words", "relative"),
    [
        ("Mother has diabetes.", "diabetes", "mother"),
        ("Dad had gout.", "gout", "father"),
        ("FH: colon cancer in grandfather", "colon cancer", "grandfather"),
    ],
)
def test_relative(read: Any, text: str, words: str, relative: str) -> None:
    assert read.one(text, words).attributes["relative"] == relative


def test_allergies(read: Any) -> None:
    text = "Allergies: penicillin (rash)"
    assert read.one(text, "penicillin").attributes["allergy"] is True
    assert read.one(text, "rash").attributes["reaction"] is True


@pytest.mark.parametrize(
    "text", ["Allergies: NKDA", "NKA.", "No known drug allergies.", "Allergies:\nNo known food or drug allergies"]
)
def test_no_known_allergies_is_no_finding(read: Any, text: str) -> None:
    assert not read.note(text).entities
