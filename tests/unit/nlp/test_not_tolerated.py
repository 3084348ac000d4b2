"""What is not tolerated, told in running text: an allergy to a drug is no drug that is taken."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder import Note, to_bundle
from fhir_coder.pipeline import Coder


def _told(coder: Coder, text: str) -> dict[str, dict[str, list[str]]]:
    """Return the resources of a note by type, their texts, and the texts of the reactions of each."""
    told: dict[str, dict[str, list[str]]] = {}
    for entry in to_bundle(coder(Note(text=text, subject="Patient/1")))["entry"]:
        resource: Any = entry["resource"]
        named = resource.get("medicationCodeableConcept") or resource.get("code")
        if resource["resourceType"] in ("AllergyIntolerance", "Condition", "MedicationStatement"):
            reactions = [each["manifestation"][0]["text"] for each in resource.get("reaction", ())]
            told.setdefault(resource["resourceType"], {})[named["text"].lower()] = reactions
    return told


@pytest.mark.parametrize(
    ("text", "allergies", "taken"),
    [
        ("He is allergic to Bactrim.", {"bactrim": []}, ()),
        ("Pt called. Allergic to Bactrim (rash). Rx Macrobid.", {"bactrim": ["rash"]}, ("macrobid",)),
        ("Patient has an allergy to codeine.", {"codeine": []}, ()),
        (
            "Allergic to codeine (itching) and lisinopril (cough).",
            {"codeine": ["itching"], "lisinopril": ["cough"]},
            (),
        ),
        ("PCN allergic, vancomycin given.", {"pcn": []}, ("vancomycin",)),
        ("Lisinopril allergy, which causes cough.", {"lisinopril": ["cough"]}, ()),
        ("Bactrim allergy noted; started on Macrobid 100 mg bid.", {"bactrim": []}, ("macrobid",)),
        ("Had anaphylaxis to ceftriaxone.", {"ceftriaxone": ["anaphylaxis"]}, ()),
        ("Developed a rash to amoxicillin as a child.", {"amoxicillin": ["rash"]}, ()),
        ("Intolerant of metformin.", {"metformin": []}, ()),
        ("Has severe cat allergy.", {"cat": []}, ()),
        ("Allergic to codeine but tolerates morphine.", {"codeine": []}, ("morphine",)),
        (
            "Allergies - codeine, shellfish. Meds - lisinopril 10 mg daily.",
            {"codeine": [], "shellfish": []},
            ("lisinopril",),
        ),
        ("ASA allergy: hives. On Plavix instead.", {"asa": ["hives"]}, ("plavix",)),
        ("Reports allergy to codeine, causing rash, and tolerates morphine.", {"codeine": ["rash"]}, ("morphine",)),
        ("Drug allergies: none. Seasonal allergies. Takes Zyrtec.", {}, ("zyrtec",)),
        ("Meds: hydrocodone, Allergies: PCN, codeine", {"pcn": [], "codeine": []}, ("hydrocodone",)),
        ("Not allergic to codeine.", {}, ()),
        ("Denies allergies to codeine, on metformin.", {}, ("metformin",)),
        ("Denies allergies to food.", {}, ()),
        ("No shellfish allergy.", {}, ()),
        ("Mother is allergic to codeine.", {}, ()),
        ("Takes Zyrtec for allergies and Flonase.", {}, ("zyrtec", "flonase")),
        ("Patient is on Claritin, allergies controlled.", {}, ("claritin",)),
        ("Allergic rhinitis treated with Flonase.", {}, ("flonase",)),
    ],
)
def test_an_allergy_in_running_text(
    coder: Coder, text: str, allergies: dict[str, list[str]], taken: tuple[str]
) -> None:
    told = _told(coder, text)
    assert told.get("AllergyIntolerance", {}) == allergies
    assert tuple(told.get("MedicationStatement", ())) == taken
    reactions = {each for of_one in allergies.values() for each in of_one}
    assert reactions.isdisjoint(told.get("Condition", ()))


@pytest.mark.parametrize("text", ["Denies chest pain.", "The patient denies any chest pain.", "Has no chest pain."])
def test_the_words_that_end_an_allergy_still_deny(coder: Coder, text: str) -> None:
    assert _told(coder, text) == {}
