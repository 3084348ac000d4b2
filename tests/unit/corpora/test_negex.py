"""The tables of NegEx and ConText."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import CorpusError
from fhir_coder.model import Assertion

HEADER = "concept\tsentence\tnegation\ttemporality\texperiencer\n"


def test_what_a_sentence_asserts(write: Callable[[str, str], Path]) -> None:
    rows = [
        "gout\tFather had gout and GOUT.\tAffirmed\tHistorical\tFamily member",
        'chest   pain\t"No ""bad"" CHEST\nPAIN."\tNegated\tRecent\tPatient',
        "rash\tCall if RASH.\tAffirmed\tNot particular\tPatient",
    ]
    gout, pain, rash = read_corpus(write("a.tsv", HEADER + "\n".join(rows)))
    (one,) = gout.annotations
    assert (gout.text[one.start : one.end], one.type) == ("GOUT", None)
    assert one.assertion == Assertion(temporality="historical", experiencer="family")
    assert (pain.id, pain.annotations[0].assertion) == ("a.tsv:3", Assertion(negated=True))
    assert (rash.id, rash.annotations[0].assertion) == ("a.tsv:5", Assertion(certainty="hypothetical"))


def test_negation_alone(write: Callable[[str, str], Path]) -> None:
    table = "Report No.\tConcept\tSentence\tNegation\n1\tGout\tgout\tAffirmed\n"
    (note,) = read_corpus(write("a.tsv", table))
    assert note.annotations[0].assertion == Assertion()


def test_a_concept_that_was_cut_off(write: Callable[[str, str], Path]) -> None:
    (note,) = read_corpus(write("a.tsv", HEADER + "gout is bad\tHe has gout.\tAffirmed\tRecent\tPatient\n"))
    assert note.annotations == ()


@pytest.mark.parametrize(
    "row", ["gout\tGOUT\tNegated", "gout\tGOUT\tPerhaps\tRecent\tPatient", "gout\tGOUT\tNegated\tRecent\tPatient\tmore"]
)
def test_what_is_wrong_is_named_with_its_line(write: Callable[[str, str], Path], row: str) -> None:
    good = "gout\tGOUT\tNegated\tRecent\tPatient\n"
    with pytest.raises(CorpusError) as raised:
        list(read_corpus(write("a.tsv", HEADER + good + row)))
    assert raised.value.place == "a.tsv:3"


def test_another_table(write: Callable[[str, str], Path]) -> None:
    with pytest.raises(CorpusError, match=r"a\.tsv:1: the columns"):
        list(read_corpus(write("a.tsv", "a\tb\n"), "negex"))
