"""Abbreviations that a note defines itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.model import SNOMED, EntityType
from fhir_coder.nlp.definitions import definitions
from fhir_coder.nlp.reader import Reader
from fhir_coder.terminology.release import Concept, Name
from fhir_coder.terminology.store import ConceptStore
from tests.unit.conftest import Make


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("She has neuroleptic malignant syndrome (NMS).", "NMS", "neuroleptic malignant syndrome"),
        ("treated with all-trans retinoic acid (ATRA)", "ATRA", "all-trans retinoic acid"),
        ("NMS (neuroleptic malignant syndrome)", "NMS", "neuroleptic malignant syndrome"),
        ("Known Guillain-Barre syndrome (GBS) since May", "GBS", "Guillain-Barre syndrome"),
        ("hepatitis B virus (HBV)", "HBV", "hepatitis B virus"),
    ],
)
def test_what_is_defined(text: str, short: str, long: str) -> None:
    assert [(one.short, text[one.start : one.end]) for one in definitions(text)] == [(short, long)]


@pytest.mark.parametrize(
    "text",
    [
        "The left knee (L) hurts.",
        "lisinopril (10 mg)",
        "potassium (see above)",
        "chest pain (MI)",
        "(NMS)",
        "syndrome\n(NMS)",
        "Seen by cardiology (Dr. Smith)",
    ],
)
def test_what_is_none(text: str) -> None:
    assert list(definitions(text)) == []


@given(st.text(alphabet="ab AB()\n-/1", max_size=300))
def test_any_text(text: str) -> None:
    for one in definitions(text):
        assert text[one.start : one.end].strip()
        assert text[one.start].lower() == one.short[0].lower()


@pytest.fixture
def reader(make: Make) -> Reader:
    disease = EntityType.DISEASE
    return Reader(
        ConceptStore(
            [
                make(
                    SNOMED,
                    "complete",
                    Concept("1", "Mitral stenosis", disease),
                    Name("1", "mitral stenosis", "preferred", True),
                    Concept("2", "Multiple sclerosis", disease),
                    Name("2", "multiple sclerosis", "preferred", True),
                    Concept("3", "Malignant syndrome", disease),
                    Name("3", "malignant syndrome", "preferred", True),
                )
            ]
        )
    )


def test_what_a_note_defines_goes_before_what_the_words_around_suggest(reader: Reader) -> None:
    text = "Multiple sclerosis (MS) since 2010. A murmur, but MS is what troubles her. MSX."
    found = [
        (reading.entity.text, reading.meaning.lower(), [name.concept.code for name in reading.names])
        for reading in reader.read(text)[1]
    ]
    assert found == [
        ("Multiple sclerosis", "multiple sclerosis", ["2"]),
        ("MS", "multiple sclerosis", ["2"]),
        ("MS", "multiple sclerosis", ["2"]),
    ]


def test_a_long_form_that_says_more_than_the_name_at_its_end_is_not_that(reader: Reader) -> None:
    (first, second) = reader.read("Neuroleptic malignant syndrome (NMS) was feared.")[1]
    assert (first.entity.text, [name.concept.code for name in first.names]) == ("malignant syndrome", ["3"])
    assert (second.entity.text, second.meaning, second.names) == ("NMS", "Neuroleptic malignant syndrome", ())
    assert second.entity.type is EntityType.DISEASE
