"""The language stages with the embedded recogniser: it adds what has no name, and takes nothing away that is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from tests.conftest import Read


@pytest.fixture(scope="module")
def both() -> Iterator[Read]:
    """Code short texts with dictionary and recogniser."""
    loaded = Coder.from_settings(Settings.load(encoder="none"))
    yield Read(loaded)
    loaded.store.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Absence of edema.", "edema"),
        ("No prior DVT or recent travel.", "DVT"),
        ("No known dehiscence.", "dehiscence"),
        ("Denies any history of seizures.", "seizures"),
        ("Denies family history of diabetes.", "diabetes"),
        ("Negative for:\n* fever\nCough for a week.", "fever"),
        ("Doctor: Do you smoke?\nGuest_family: No.", "smoke"),
    ],
)
def test_what_is_denied_stays_denied(both: Read, text: str, words: str) -> None:
    assert both.one(text, words).assertion.negated


@pytest.mark.parametrize(
    ("text", "words", "type_"),
    [
        ("pt w diabetis on metformen 500 bid", "diabetis", "disease"),
        ("pt w diabetis on metformen 500 bid", "metformen", "medication"),
        ("Calcium and magnesium were normal.", "magnesium", "lab-test"),
        ("He takes interferon.", "interferon", "medication"),
    ],
)
def test_what_is_recognised_without_a_name_or_by_what_is_around(both: Read, text: str, words: str, type_: str) -> None:
    assert both.one(text, words).type == type_


def test_one_item_of_a_list_is_one_entity(both: Read) -> None:
    assert both.texts("PMH:\tHTN\tDM\tstroke") == ["HTN", "DM", "stroke"]
    assert "penicillin" in both.texts("Allergies: penicillin - hives")


def test_no_entity_begins_or_ends_with_what_leads_to_it(both: Read) -> None:
    texts = both.texts("Numbness of both feet, and new onset of tremulousness of the hands.")
    assert texts
    assert all(text.split()[0].lower() not in ("of", "new") and text.split()[-1] != "of" for text in texts)


def test_no_known_allergies_is_no_finding(both: Read) -> None:
    for text in ("Allergies: No known drug allergies", "Allergies:\nNo known food or drug allergies"):
        assert both.texts(text) == []


def test_what_is_given_below_the_allergies_is_no_allergy(both: Read) -> None:
    note = "Allergies: PCN (rash)\nStarted furosemide 40 mg IV bid"
    assert both.one(note, "PCN").attributes["allergy"]
    assert "allergy" not in both.one(note, "furosemide").attributes


def test_caffeine_that_is_drunk_is_not_coded(both: Read) -> None:
    entity = both.one("She drinks a lot of caffeine.", "caffeine")
    assert not entity.codings
    assert "dose" in str(entity.abstained)


def test_ordinary_words_are_nothing(both: Read) -> None:
    assert both.texts("Up to date with her visits. No recent travel, and questions were answered.") == []


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("Meds: clobetasol 0.05% oint BID", "clobetasol", {"form": "ointment", "frequency": "twice daily"}),
        ("Meds: tretinoin 0.025% cream qhs", "tretinoin", {"form": "cream", "frequency": "at bedtime"}),
        ("Meds: vit D 400 IU daily.", "vit D", {"dose": 400, "frequency": "daily"}),
        ("Meds: fentanyl 25 mcg/hr patch q72h", "fentanyl", {"frequency": "every 72 hours"}),
        ("Topiramate dc'd d/t kidney stones", "Topiramate", {"action": "stop"}),
    ],
)
def test_words_of_a_sig_are_no_medication(both: Read, text: str, words: str, expected: dict[str, object]) -> None:
    attributes = both.one(text, words).attributes
    assert {name: attributes.get(name) for name in expected} == expected
    assert [entity.text for entity in both.note(text).entities if entity.type == "medication"] == [words]


@pytest.mark.parametrize(
    "text", ["Fall precautions in place.", "Counselled on SIDS prevention.", "Alcohol use disorder, in remission."]
)
def test_a_name_that_means_something_else_there_is_not_taken_up_again(both: Read, text: str) -> None:
    assert not [coding for entity in both.note(text).entities for coding in entity.codings]


@pytest.mark.parametrize("text", ["Weight up 5 lbs.", "weight down 10 lb since last visit", "Wt increased 4 kg"])
def test_how_much_a_weight_changed_is_no_weight(both: Read, text: str) -> None:
    assert not [entity for entity in both.note(text).entities if "value" in entity.attributes]


def test_doses_without_units_are_no_part_of_the_names(both: Read) -> None:
    found = both.note("Meds: ASA 81, atorvastatin 80, metop succ 50 qd, metformin").entities
    assert [entity.text for entity in found if entity.codings] == ["ASA", "atorvastatin", "metop", "metformin"]
    assert both.one("UTI tx with macrobid x7d.", "macrobid").codings


def test_what_is_said_of_a_problem_is_none(both: Read) -> None:
    problems = both.note("24F w/ MDD, recurrent, severe, BPD, PTSD. r/o bipolar II.").entities
    assert "recurrent" not in " ".join(entity.text for entity in problems)


def test_a_cancer_of_some_site_is_none_of_an_unknown_one(both: Read) -> None:
    entities = both.note("Assessment: cancer of upper outer quadrant of right breast.").entities
    assert "C80.1" not in [coding.code for entity in entities for coding in entity.codings]
