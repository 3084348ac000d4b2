"""Misspelt and shortened words: the right code where there is only one, and no code where another drug may be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_coder import tables
from fhir_coder.coding.thresholds import thresholds
from fhir_coder.errors import TableError
from fhir_coder.linking.linker import Query
from fhir_coder.model import ICD10CM, RXNORM, SNOMED
from fhir_coder.pipeline import Coder
from fhir_coder.terminology.shortened_words import shortened_words

LEAST = thresholds()
PROBLEMS = {
    SNOMED: {
        "1": ["Diabetes mellitus", "diabetes"],
        "2": ["Chronic obstructive pulmonary disease"],
        "3": ["Acute respiratory failure"],
        "4": ["Heart failure"],
        "5": ["anemia"],
        "6": ["anenia"],
        "7": ["Hypertension"],
        "8": ["Hypotension"],
        "9": ["fracture of left femur"],
        "10": ["vomiting"],
    }
}
# Look-alike names of the lists of the ISMP and the FDA, as far as their letters are near.
DRUG_NAMES = (
    "hydralazine hydroxyzine celebrex cerebyx prednisone prednisolone vinblastine vincristine quinine "
    "quinidine clobazam clonazepam sulfadiazine sulfasalazine fluoxetine duloxetine paroxetine pentobarbital "
    "phenobarbital toradol tramadol cozaar hyzaar dopamine dobutamine lamictal lamisil metformin metronidazole "
    "zantac xanax losec lasix fosamax flomax chlorpromazine chlorpropamide nicardipine nifedipine oxycodone "
    "oxycontin daunorubicin doxorubicin cefazolin"
).split()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("diabetis", "1"),
        ("diabetis melitus", "1"),
        ("DIABETIS MELITUS", "1"),
        ("cronic obstructive pulmonary diseese", "2"),
        ("chr obstr pulm dis", "2"),
        ("acute resp failure", "3"),
        ("heartfailure", "4"),
        ("fx of lt femur", "9"),
        ("lt femur fracture", "9"),
        ("acute respirat failure", "3"),  # cut off
        ("hypertnsion", "7"),
    ],
)
def test_a_repaired_name_is_found(linker: Any, text: str, code: str) -> None:
    best = linker(PROBLEMS).lookup(text, SNOMED, 3)[0]
    assert (best.code, best.stage) == (code, "repaired")
    assert best.score >= LEAST[best.system]


@pytest.mark.parametrize(
    "text",
    [
        "diabetes",  # a name
        "heart",  # a word of the names
        "voiding",  # an inflection of one, two edits from "vomiting"
        "mention",  # a word of English, not far from "hypertension"
        "hypertensor",  # a learned one
        "enemia",  # the first letter of a short word is not mistaken
        "mypertemsion",  # nor that of a long one beside another letter
        "hypophension",  # who misspells a word has heard its consonants
        "ANEMA",  # an abbreviation, as far as its capitals tell
        "gout",
        "hypertensionhypotension",
        "x" * 5000,
        "diabetis " * 40,
        "",
    ],
)
def test_what_is_no_misspelling_is_not_repaired(linker: Any, text: str) -> None:
    assert all(candidate.stage != "repaired" for candidate in linker(PROBLEMS).lookup(text, SNOMED, 3))


@pytest.mark.parametrize(
    "text",
    "hemostasis hydration hydrated tenotomy hysterotomy craniectomy tendinosis anicteric snare aeration lipectomy "
    "bronchoscope osteotome fundoscopy hypophonia dysnomia narcosis upstroke ablated Ioban".split(),
)
def test_a_word_of_medicine_is_not_its_neighbour(coder: Coder, text: str) -> None:
    """Each was once read as another: hemoptysis, dehydration, sternotomy, jaundice, snoring, stroke, a neuroleptic."""
    found = coder.linker.lookup_many([(text, system) for system in (SNOMED, ICD10CM, RXNORM)], 1)
    assert all(each.stage != "repaired" for candidates in found for each in candidates)


def test_an_adjective_is_its_noun(coder: Coder) -> None:
    best = coder.linker.lookup("anosmic", SNOMED, 1)[0]
    assert (best.display, best.stage) == ("Loss of sense of smell", "repaired")


def test_an_everyday_word_is_a_misspelling_only_where_the_others_speak_for_it(coder: Coder) -> None:
    """Brest is a town, and "canser" looks like a form of "cans"; "brest cancer" is no town."""
    found = coder.linker.lookup_many([(text, SNOMED) for text in ("lung canser", "brest cancer", "brest")], 1)
    assert [candidates[0].matched.lower() for candidates in found[:2]] == ["lung cancer", "breast cancer"]
    assert all(candidate.stage != "repaired" for candidate in found[2])


def test_two_edits_of_a_word_that_is_not_long_are_doubted_more(linker: Any) -> None:
    best = linker(PROBLEMS).lookup("vommeting", SNOMED, 1)[0]
    assert best.code == "10"
    assert best.score < linker(PROBLEMS).lookup("hipertensian", SNOMED, 1)[0].score


def test_two_names_that_are_as_near_are_both_doubted(linker: Any) -> None:
    found = linker(PROBLEMS).lookup("aneia", SNOMED, 3)
    assert {candidate.code for candidate in found} == {"5", "6"}
    assert found[0].score > found[1].score
    assert all(candidate.score < LEAST[candidate.system] for candidate in found)


def test_the_opposite_is_farther_than_the_name(linker: Any) -> None:
    best, *others = linker(PROBLEMS).lookup("hypetension", SNOMED, 3)
    assert best.code == "7" or best.score < LEAST[best.system]
    assert all(other.score < LEAST[other.system] for other in others)


@pytest.mark.parametrize("name", DRUG_NAMES)
def test_a_drug_that_is_not_loaded_does_not_become_another(linker: Any, name: str) -> None:
    """However near the other name is: the text is no misspelling, but a drug that the release does not have."""
    others = linker({RXNORM: {str(place): [other] for place, other in enumerate(DRUG_NAMES) if other != name}})
    assert all(candidate.score < LEAST[RXNORM] for candidate in others.lookup(name, RXNORM, 5))


@pytest.mark.parametrize("name", DRUG_NAMES)
def test_no_typo_of_a_drug_is_coded_as_another(linker: Any, name: str) -> None:
    """Each letter in turn is lost, doubled, changed, or swapped with the next one."""
    all_drugs = linker({RXNORM: {other: [other] for other in DRUG_NAMES}})
    typos = {
        typo
        for place in range(len(name))
        for typo in (
            name[:place] + name[place + 1 :],
            name[:place] + name[place] + name[place:],
            name[:place] + "e" + name[place + 1 :],
            name[:place] + name[place : place + 2][::-1] + name[place + 2 :],
        )
    }
    found = all_drugs.lookup_many([(typo, RXNORM) for typo in sorted(typos)], 1)
    wrong = [
        (typo, candidates[0].code)
        for typo, candidates in zip(sorted(typos), found, strict=True)
        if candidates and candidates[0].score >= LEAST[candidates[0].system] and candidates[0].code != name
    ]
    assert wrong == []


@pytest.mark.parametrize(("text", "rival"), [("hydralyzine", "hydroxyzine"), ("celebyx", "celebrex")])
def test_a_typo_between_two_drugs_is_not_sure(linker: Any, text: str, rival: str) -> None:
    found = linker({RXNORM: {name: [name] for name in DRUG_NAMES}}).lookup(text, RXNORM, 3)
    assert rival in {candidate.code for candidate in found}
    assert all(candidate.score < LEAST[candidate.system] for candidate in found)


def test_a_clear_typo_of_a_drug_is_sure(linker: Any) -> None:
    best = linker({RXNORM: {name: [name] for name in DRUG_NAMES}}).lookup("metformen", RXNORM, 1)[0]
    assert (best.code, best.stage) == ("metformin", "repaired")
    assert best.score >= LEAST[best.system]


@pytest.mark.parametrize(
    ("text", "code"), [("amlo", "amlodipine"), ("carved", None), ("losart", "losartan"), ("lasx", "lasix")]
)
def test_the_beginning_of_one_drug_alone_is_that_drug(linker: Any, text: str, code: str | None) -> None:
    """And no misspelling of another: "amlo" is one letter from "amio"."""
    names = ("amlodipine", "amio", "carvedilol", "carvedexin", "carve", "losartan", "lasix")
    found = linker({RXNORM: {name: [name] for name in names}}).lookup(text, RXNORM, 1)
    assert [each.code for each in found if each.score >= LEAST[RXNORM]] == ([code] if code else [])


def test_spans_of_notes_are_repaired(linker: Any) -> None:
    """What the trained recogniser found is linked without a name of the store."""
    (found,) = linker(PROBLEMS).link([Query("diabetis", (SNOMED, ICD10CM), names=())])
    assert [(candidate.code, candidate.stage) for candidate in found] == [("1", "repaired")]


def test_a_lookup_of_many_is_a_lookup_of_each(linker: Any) -> None:
    some = [("diabetis", SNOMED), ("diabetes", SNOMED), ("diabetis", ICD10CM), ("diabetis", SNOMED), ("", SNOMED)]
    one_by_one = linker(PROBLEMS)
    expected = [one_by_one.lookup(text, system, 2) for text, system in some]
    at_once = linker(PROBLEMS)
    assert at_once.lookup_many(some, 2) == expected
    assert at_once.lookup_many(some, 2) == expected  # remembered
    assert at_once.lookup_many([], 2) == []


def test_the_best_does_not_depend_on_how_many_are_wanted(linker: Any) -> None:
    over = linker(PROBLEMS)
    for text in ("diabetis", "aneia", "Heart failure"):
        assert over.lookup(text, SNOMED, 1) == over.lookup(text, SNOMED, 20)[:1]


@pytest.mark.parametrize("rows", ["fx,,no\n", "fx,fracture,no\nfx,effects,no\n", "Fx,fracture,no\n", "fx,fracture,\n"])
def test_a_faulty_table_of_shortened_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str) -> None:
    (tmp_path / "shortened_words.csv").write_text("shortened,words,leads\n" + rows)
    monkeypatch.setattr(tables, "folder", lambda _: tmp_path)
    with pytest.raises(TableError, match="shortened_words"):
        shortened_words.__wrapped__()
