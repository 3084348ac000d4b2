"""The dictionary: which spans are names, whatever their spelling, and which only look so."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.nlp.dictionary import Dictionary
from fhir_coder.nlp.senses import abbreviations
from fhir_coder.terminology.store import ConceptStore


@pytest.fixture(scope="module")
def dictionary(store: ConceptStore) -> Dictionary:
    """The dictionary of the whole store."""
    return Dictionary(store, abbreviations())


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("type 2 diabetes mellitus", ["type 2 diabetes mellitus"]),  # the longest
        ("chest pain", ["chest pain"]),
        ("xchest painy", []),  # word boundaries
        ("chest pains", ["chest pains"]),
        ("migraines, fractures", ["migraines", "fractures"]),
        ("Anaemia and oesophageal reflux", ["Anaemia", "oesophageal reflux"]),
        ("Crohn's disease", ["Crohn's disease"]),
        ("Parkinson’s disease", ["Parkinson’s disease"]),
        ("chest\npain", ["chest\npain"]),  # a wrapped line
        ("chest\n\npain", ["pain"]),  # a new paragraph
        ("shortness of breath. Pain", ["shortness of breath", "Pain"]),
        ("Hand, foot and mouth disease", ["Hand, foot and mouth disease"]),  # commas of the name
        ("chest, pain", ["pain"]),  # and of a list
        ("AS", ["AS"]),
        ("as well as", []),
        ("He is as well as ever. CT head", ["CT head"]),
        ("K 4.2", ["K"]),
        ("He says that k is for kilo", []),
        ("k 4.2", ["k"]),  # the value tells what the case does not
        ("THE PATIENT IS WELL AND AS STRONG AS EVER BEFORE", []),  # capitals mean nothing here
        ("THE PATIENT REPORTS CHEST PAIN TODAY AGAIN", ["CHEST PAIN"]),
        ("", []),
    ],
)
def test_mentions(dictionary: Dictionary, text: str, mentions: list[str]) -> None:
    assert [text[mention.start : mention.end] for mention in dictionary.find(text)] == mentions


def test_a_note_without_capitals_has_abbreviations_without(dictionary: Dictionary) -> None:
    assert [mention.key for mention in dictionary.find("74m w/ chf here with cp since this morning")] == ["chf", "cp"]


@given(st.text(max_size=200))
def test_mentions_do_not_overlap(dictionary: Dictionary, text: str) -> None:
    mentions = dictionary.find(text)
    assert all(mention.start < mention.end <= len(text) for mention in mentions)
    assert all(one.end <= other.start for one, other in pairwise(mentions))
