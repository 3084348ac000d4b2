"""Sentences: what is read as one statement."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.nlp.sections import find_sections
from fhir_coder.nlp.sentences import LONGEST, split_sentences


def _split(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, find_sections(text))]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n ", []),
        ("No cough. Fever present.", ["No cough.", "Fever present."]),
        ("Seen by Dr. Smith today. Well.", ["Seen by Dr. Smith today.", "Well."]),
        ("E. coli sepsis. Stable.", ["E. coli sepsis.", "Stable."]),
        ("He has hepatitis C. he is well.", ["He has hepatitis C.", "he is well."]),
        ("K 4.2 and Na 140. Fine.", ["K 4.2 and Na 140.", "Fine."]),
        ("Really? Yes! Good.", ["Really? Yes!", "Good."]),
        ("no cough\nhas fever", ["no cough", "has fever"]),
        ("- cough\n- fever\n", ["- cough", "- fever"]),
        ("1. Cough\n2. Fever", ["1. Cough", "2. Fever"]),
        ("no cough\r\nhas fever", ["no cough", "has fever"]),
        ("PMH: asthma. Gout.", ["asthma.", "Gout."]),
        ("Fever? No. Cough", ["Fever? No.", "Cough"]),
        (
            "[doctor] any fever ?\n[patient] um , no .\n[doctor] okay .",
            ["[doctor] any fever ?\n[patient] um , no .", "[doctor] okay ."],
        ),
        ("Any fever? Since when?", ["Any fever?", "Since when?"]),
        ("Fever - no. See no. 5 there.", ["Fever - no.", "See no. 5 there."]),
        ("Well.,The patient", ["Well.", ",The patient"]),
        ("Denies fever,\nchills", ["Denies fever,\nchills"]),
        ("no fever comma no cough period well", ["no fever comma no cough period", "well"]),
        ("The period was long. No comma.", ["The period was long.", "No comma."]),
        ("She denies:\n- fever\n- cough\n\nWell", ["She denies:\n- fever\n- cough", "Well"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert _split(text) == sentences


def test_a_wrapped_line_goes_on() -> None:
    text = (
        "The patient is a pleasant woman who comes in today and denies any recent\n"
        "chest pain or shortness of breath at rest or when she climbs the stairs.\n"
        "She has a cough."
    )
    assert len(_split(text)) == 2


def test_text_without_any_break_is_cut() -> None:
    for text in ("a" * 5000, "ab " * 3000):
        sentences = _split(text)
        assert max(map(len, sentences)) <= LONGEST
        assert "".join(sentences).replace(" ", "") == text.replace(" ", "")


@given(st.lists(st.sampled_from(["cough", " ", ". ", "\n", "\n\n", "Dr.", "PMH:", "- ", "\t", "é"]), max_size=60))
def test_sentences_are_in_order_and_lose_no_word(parts: list[str]) -> None:
    text = "".join(parts)
    sections = find_sections(text)
    spans = split_sentences(text, sections)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    bodies = "".join(text[section.body_start : section.end] for section in sections)
    assert "".join("".join(text[start:end] for start, end in spans).split()) == "".join(bodies.split())
