"""Sections: titles at the start of a line, and the text they cover."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.nlp.sections import SectionFinder, find_sections


def _categories(text: str) -> list[str | None]:
    return [section.category for section in find_sections(text)]


@pytest.mark.parametrize(
    ("text", "categories"),
    [
        ("", []),
        ("fever", [None]),
        ("PMH: asthma", ["past_medical_history"]),
        ("Hello\nPMH: asthma\nMeds: aspirin", [None, "past_medical_history", "medications"]),
        # A title with its text beside it holds until a sentence ends and a line tells of the patient anew.
        ("PMH: asthma.\nPt reports pain.\nMeds: aspirin", ["past_medical_history", None, "medications"]),
        ("PMH: asthma,\nPt reports gout", ["past_medical_history"]),
        ("PMH:\nThe patient has asthma.\nPatient had gout.", ["past_medical_history"]),
        ("FAMILY HISTORY\nasthma", ["family_history"]),
        ("1. Allergies: none", [None, "allergies"]),
        ("**Assessment and Plan:** rest", [None, "assessment_plan"]),
        ("Labs (today): K 4.2", ["labs"]),
        ("He has a plan: rest", [None]),
        # Within a line, and without a colon.
        ("Well.,ALLERGIES:, None.,FAMILY HISTORY: , Gout.", [None, "allergies", "family_history"]),
        ("Assessment: gout. Plan: rest", ["assessment_plan", "assessment_plan"]),
        ("Labs: K 4.2. CXR: clear.", ["labs"]),
        ("PMH HTN, DM", ["past_medical_history"]),
        ("ALLERGIES\tpenicillin", ["allergies"]),
        ("ALLERGIES to dust", [None]),
        ("PE unlikely", [None]),
        ("DDx: gout", ["differential_diagnosis"]),
        (
            "Medications on Admission:\naspirin\nDischarge Medications:\naspirin",
            ["medications", "discharge_medications"],
        ),
        ("Stopped Medications: aspirin", ["stopped_medications"]),
        ("The labs were fine.", [None]),
        ("Fever: no", [None]),
        ("Past Medical History:\r\nasthma\r\n\r\nVitals:\r\nBP 120/80", ["past_medical_history", "vital_signs"]),
    ],
)
def test_titles(text: str, categories: list[str | None]) -> None:
    assert _categories(text) == categories


def test_offsets() -> None:
    text = "Hi\nPMH: asthma\n"
    first, second = find_sections(text)
    assert (first.start, first.end) == (0, 3)
    assert (text[second.start : second.start + 3], second.title) == ("PMH", "PMH")
    assert text[second.body_start : second.end] == " asthma\n"


@given(st.lists(st.sampled_from(["PMH:", "asthma", "\n", " ", "Meds", "Plan -", "1.", "é"]), max_size=30).map("".join))
def test_sections_cover_the_text(text: str) -> None:
    sections = find_sections(text)
    starts = [section.start for section in sections]
    assert starts == sorted(starts)
    assert [section.end for section in sections] == ([*starts[1:], len(text)] if sections else [])
    assert all(section.start <= section.body_start <= section.end for section in sections)


def test_finder() -> None:
    finder = SectionFinder(find_sections("Hi\nPMH: asthma"))
    assert [finder.at(offset).category for offset in (0, 3, 13)] == [  # type: ignore[union-attr]
        None,
        "past_medical_history",
        "past_medical_history",
    ]
    assert SectionFinder(()).at(0) is None
