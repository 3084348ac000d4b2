"""The normal form: the same for all ways to write a name, and offsets that hold."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_coder.terminology.normalise import WORD, bag, is_abbreviation, normalise, normalise_word, project

ANY_TEXT = st.text(max_size=80)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Diabetes  Mellitus", "diabetes mellitus"),
        ("anaemia", "Anemia"),
        ("oedema", "edema"),
        ("tumour", "tumor"),
        ("haemorrhage", "hemorrhage"),
        ("diarrhoea", "diarrhea"),
        ("Crohn's disease", "crohn disease"),
        ("Crohn’s disease", "Crohns disease"),
        ("fractures", "fracture"),
        ("allergies", "allergy"),
        ("follow-up", "follow up"),
        ("Sjögren syndrome", "Sjogren's syndrome"),
        ("type\n2 diabetes", "type 2 diabetes"),
        ("tumours", "tumor"),
        ("pain w/ swallowing", "pain with swallowing"),
        ("migraine W/O aura", "migraine without aura"),
        ("neuropathy w/diabetes", "neuropathy with diabetes"),
    ],
)
def test_ways_to_write_one_name(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("K 4.2", "K 42 mg"),
        ("type 1 diabetes", "type 2 diabetes"),
        ("hypertension", "hypotension"),
        ("糖尿病", "diabetes"),
        ("pus", "pu"),
        ("sepsis", "sepsi"),
    ],
)
def test_names_that_stay_apart(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("diabetes mellitus, type 2", "type II diabetes mellitus"),
        ("cancer of the breast", "breast cancer"),
        ("chronic kidney disease stage III", "stage 3 chronic kidney disease"),
        ("pain in knee", "knee pain"),
    ],
)
def test_word_order_does_not_matter_in_the_bag(one: str, other: str) -> None:
    assert bag(normalise(one)) == bag(normalise(other))


@pytest.mark.parametrize("name", ["MS", "K", "Na", "HbA1c", "COPD", "T2DM", "eGFR"])
def test_abbreviation(name: str) -> None:
    assert is_abbreviation(name)


@pytest.mark.parametrize("name", ["", "7", "pain", "Pain", "as", "MITRAL STENOSIS", "INSULIN GLARGINE", "PENICILLIN"])
def test_no_abbreviation(name: str) -> None:
    assert not is_abbreviation(name)


@given(ANY_TEXT)
@example("İstanbul ǅ ﬁ ß ²")
@example("kidneiess boaes")
def test_normal_form_is_made_word_by_word_in_ascii(text: str) -> None:
    """It need not be idempotent: a stem need not be a word, and may look like a plural once more ("kidneiess")."""
    key = normalise(text)
    assert key == normalise(text)
    assert key == " ".join(normalise_word(match.group()) for match in WORD.finditer(text))
    assert all(character.isascii() for character in key)


@given(ANY_TEXT)
@example("a'b.c's 2.5 _x_ Ⅷ İ \x00 \u202e")
def test_offsets_slice_to_the_words(text: str) -> None:
    words, starts, ends = project(text)
    assert len(words) == len(starts) == len(ends)
    for word, start, end in zip(words, starts, ends, strict=True):
        assert WORD.fullmatch(text[start:end])
        assert normalise_word(text[start:end]) == word
    assert " ".join(words) == normalise(text)
    assert [*starts, len(text)] == sorted({*starts, len(text)})
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
