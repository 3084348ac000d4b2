"""A disease that is named for a vaccine or a screening is nobody's."""

from __future__ import annotations

import pytest

from tests.conftest import Read


def _real(read: Read, text: str) -> list[str]:
    """Return the problems that the text says the patient has, or had."""
    return [
        entity.text
        for entity in read.note(text).entities
        if entity.type in ("disease", "symptom")
        and not entity.assertion.negated
        and entity.assertion.certainty != "hypothetical"
    ]


@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("Immunizations: influenza 10/2023, hepatitis B series complete, varicella x2, shingles declined.", []),
        ("Immunizations: up to date. Had chickenpox at age 5.", ["chickenpox"]),
        ("Immunizations:\nTetanus 2019\nCOVID x3\n\nAssessment: influenza", ["influenza"]),
        ("HEALTH MAINTENANCE: Flu - 10/23. Shingles - due. Pneumonia - done.", []),
        ("Health Maintenance: Colon cancer - due 2025. Breast cancer: mammogram 2022.", []),
        ("Health Maintenance\nProstate cancer: PSA 1.2\nDiabetes: A1c 5.4\nOsteoporosis: DEXA 2020", []),
        ("Health Maintenance: Osteoporosis: on alendronate. Breast cancer: history, s/p lumpectomy.",
         ["Osteoporosis", "Breast cancer"]),
        ("Health Maintenance: 1. Obesity: discussed diet.", ["Obesity"]),
        ("Vaccines given: influenza, meningitis.", []),
        ("Up to date on flu, pneumonia and shingles.", []),
        ("UTD with tetanus. Has pneumonia.", ["pneumonia"]),
        ("Received the shingles and RSV vaccines, got influenza anyway.", ["influenza"]),
        ("Not vaccinated, has influenza.", ["influenza"]),
        ("Vaccinated last year. Influenza and pneumonia.", ["Influenza", "pneumonia"]),
        ("Pneumonia, on vancomycin; flu vaccine given.", ["Pneumonia"]),
        ("Colon cancer: FOLFOX cycle 3.", ["Colon cancer"]),
    ],
)  # fmt: skip
def test_what_is_prevented_nobody_has(read: Read, text: str, real: list[str]) -> None:
    assert _real(read, text) == real
