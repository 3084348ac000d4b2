"""Whom a sentence speaks of after it has named a relative: the relative, or the patient again."""

from __future__ import annotations

import pytest

from fhir_coder.nlp.relatives import back_at_patient, last_relative
from tests.conftest import Read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mother had breast cancer and he has asthma.", {"breast cancer": "family", "asthma": "patient"}),
        ("His brother has gout; he himself has asthma.", {"gout": "family", "asthma": "patient"}),
        ("Her mother has gout, and she has asthma.", {"gout": "family", "asthma": "family"}),  # who, is not said
        ("His father had gout and he died of asthma.", {"gout": "family", "asthma": "family"}),
        ("Mother has gout, the patient has asthma.", {"gout": "family", "asthma": "patient"}),
        ("Family history of gout; she has asthma.", {"gout": "family", "asthma": "patient"}),
        ("His mother has gout and he has a sister with asthma.", {"gout": "family", "asthma": "family"}),
        ("Mother died when he was 5 of asthma.", {"asthma": "family"}),
        ("FAMILY HISTORY: Mother with gout; pt has asthma.", {"gout": "family", "asthma": "patient"}),
        ("FAMILY HISTORY: Patient has asthma in his family.", {"asthma": "family"}),
        ("FAMILY HISTORY: Patient reports asthma.", {"asthma": "family"}),
        ("Brother has gout, patient denies asthma.", {"gout": "family", "asthma": "patient"}),
        ("Cousin has gout and he has asthma.", {"gout": "family", "asthma": "family"}),
    ],
)
def test_experiencer(read: Read, text: str, expected: dict[str, str]) -> None:
    assert {entity.text: entity.assertion.experiencer for entity in read.note(text).entities} == expected


def test_of_two_relatives_the_last_one_is_meant() -> None:
    found = last_relative("father with stones; his maternal aunt had")
    assert found is not None
    assert (found.display, found.sex) == ("maternal aunt", "female")
    assert last_relative("nobody") is None


def test_a_relative_far_before_is_another_story() -> None:
    assert back_at_patient("Mother had gout, and he has ") > 0
    assert back_at_patient("Mother had gout, " + "and so on " * 40 + ", and he has ") == 0
