"""Folders of brat standoff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import CorpusError
from fhir_coder.model import Assertion, EntityType

TEXT = "No fever. Perhaps gout of left and right knee.\n"
ANN = """T1\tSign_symptom 3 8\tfever
E1\tSign_symptom:T1 
A1\tPOLARITY E1 NEG
T2\tDisease_disorder 18 22\tgout
E2\tDisease_disorder:T2 
A2\tPOLARITY E2 UNCERTAIN
A3\tTREND E2 INC
T3\tBiological_structure 26 30;41 45\tleft knee
T4\tBiological_structure 35 45\tright knee
R1\tMODIFY Arg1:T3 Arg2:E2\t
*\tOVERLAP E1 E2
#1\tAnnotatorNotes E1\ta remark
N1\tReference T2 SNOMEDCT:90560007\tGout
"""  # noqa: W291


def test_spans_attributes_and_codes(write: Callable[[str, str], Path]) -> None:
    write("a.txt", TEXT)
    folder = write("a.ann", ANN).parent
    (note,) = read_corpus(folder)
    assert (note.id, note.text) == ("a", TEXT)
    fever, gout, left, right = note.annotations
    assert (fever.type, fever.assertion) == (EntityType.SYMPTOM, Assertion(negated=True))
    assert (gout.type, gout.assertion) == (EntityType.DISEASE, Assertion(certainty="possible"))
    assert gout.codes == ("SNOMEDCT:90560007",)
    assert (TEXT[left.start : left.end], left.type) == ("left and right knee", EntityType.ANATOMY)
    assert (TEXT[right.start : right.end], right.assertion) == ("right knee", None)


def test_labels_that_bear_assertions_anywhere_are_present_without(write: Callable[[str, str], Path]) -> None:
    write("a.txt", TEXT)
    write("a.ann", ANN)
    write("b.txt", "Cough\r\nand fever")
    folder = write("b.ann", "T1\tSign_symptom 0 5\tCough\nT2\tSign_symptom 11 16\tfever\n").parent
    *_, last = read_corpus(folder)
    assert [one.assertion for one in last.annotations] == [Assertion(), Assertion()]
    assert last.text[11:16] == "fever"


def test_no_assertions_where_the_corpus_has_none(write: Callable[[str, str], Path]) -> None:
    write("a.txt", TEXT)
    folder = write("a.ann", "T1\tSign_symptom 3 8\tfever\n").parent
    (note,) = read_corpus(folder, "brat")
    assert note.annotations[0].assertion is None


@pytest.mark.parametrize(
    ("ann", "place"),
    [
        ("T1\tSign_symptom 4 9\tfever\n", "a.ann:1"),
        ("\nT1\tSign_symptom 3-8\tfever\n", "a.ann:2"),
        ("T1\tSign_symptom 3 800\tfever\n", "a.ann:1"),
        ("T1\tSign_symptom 18 22;3 1\tgout\n", "a.ann:1"),
        ("T1\tNoSuchLabel 3 8\tfever\n", "a.ann:1"),
        ("what\n", "a.ann:1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(write: Callable[[str, str], Path], ann: str, place: str) -> None:
    write("a.txt", TEXT)
    folder = write("a.ann", ann).parent
    with pytest.raises(CorpusError) as raised:
        list(read_corpus(folder))
    assert raised.value.place == place
    faults: list[str] = []
    (note,) = read_corpus(folder, faults=faults)
    assert (note.annotations, len(faults)) == ((), 1)


def test_annotations_without_their_text(write: Callable[[str, str], Path]) -> None:
    with pytest.raises(CorpusError, match=r"a\.txt"):
        list(read_corpus(write("a.ann", ANN).parent))
