"""Words cut short before the name of a problem, and the side in one letter."""

from __future__ import annotations

import pytest

from fhir_coder.model import ICD10CM
from fhir_coder.pipeline import Coder
from tests.conftest import Read


def icd10cm(read: Read, text: str) -> list[str]:
    """Return the ICD-10-CM codes of a text."""
    there = [entity for entity in read.note(text).entities if not entity.assertion.negated]
    return [each.code for entity in there for each in entity.codings if each.system == ICD10CM]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pulm edema", "J81.1"),
        ("pulm. edema", "J81.1"),
        ("pulm htn", "I27.20"),
        ("chr bronchitis", "J42"),
        ("vent tachycardia", "I47.20"),
        ("cerv radiculopathy", "M54.12"),
        ("diab neuropathy", "E11.40"),
        ("abd pain", "R10.9"),
        ("bipolar d/o", "F31.9"),
        ("Bipolar d/o", "F31.9"),
        ("vag bleeding", "N93.9"),
        ("celiac dz", "K90.0"),
        ("celiac dz, gluten free", "K90.0"),
        ("vit D def", "E55.9"),
        ("ischemic CM", "I25.5"),
        ("chronic systolic HF, NYHA II", "I50.22"),
        ("parox AF", "I48.0"),
        ("hepatic enceph", "K76.82"),
        ("EtOH withdrawal", "F10.939"),
        ("sz d/o", "G40.909"),
        ("HF", "I50.9"),
        ("acute on chronic hypoxic resp failure", "J96.21"),
        ("mass 5 cm", None),
        ("HIV neg", None),
        ("motor LE: HF and HE 4+/5", None),
        ("PPD #2 s/p SVD", None),
        ("edema", "R60.9"),
        ("the art of pain", "R52"),  # no word of it goes with pain
    ],
)
def test_problem(read: Read, text: str, code: str | None) -> None:
    assert icd10cm(read, f"Assessment: {text}.") == ([code] if code else [])


def test_what_is_cut_short_behind_another_problem_is_one_of_its_own(read: Read) -> None:
    assert read.texts("Anemia due to CKD.") == ["Anemia", "CKD"]


def test_the_dictionary_alone_finds_them_too(dictionary_coder: Coder) -> None:
    assert icd10cm(Read(dictionary_coder), "Assessment: pulm edema.") == ["J81.1"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("L frozen shoulder", "M75.02"),
        ("R frozen shoulder", "M75.01"),
        ("L sciatica", "M54.32"),
        ("frozen shoulder", "M75.00"),
    ],
)
def test_side_in_a_letter(read: Read, text: str, code: str) -> None:
    assert icd10cm(read, f"Assessment: {text}.") == [code]


@pytest.mark.parametrize("text", ["On 2 L hypoxia resolved.", "Vitamin L deficiency.", "Grade 3/L injury."])
def test_no_side(read: Read, text: str) -> None:
    assert all("laterality" not in entity.attributes for entity in read.note(text).entities if entity.text != "L")


def test_post_is_no_posterior(read: Read) -> None:
    assert [entity.text for entity in read.note("Status post MI.").entities] == ["MI"]
