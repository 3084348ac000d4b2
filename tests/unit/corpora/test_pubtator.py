"""PubTator files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import CorpusError
from fhir_coder.model import EntityType

TITLE = "7|t|Gout after diuretics"
ABSTRACT = "7|a|Furosemide raised urate."
GOUT = "7\t0\t4\tGout\tDisease\tD006073"


def test_title_and_abstract_are_one_text(write: Callable[[str, str], Path]) -> None:
    lines = [
        TITLE,
        ABSTRACT,
        "7\t21\t31\tFurosemide\tChemical\tD005665",
        GOUT,
        "7\tCID\tD005665\tD006073",
        "7\tAssociation\tD005665\tD006073\tNovel",
    ]
    (note,) = read_corpus(write("set.pubtator", "\n".join(lines) + "\n\n"))
    assert (note.id, note.text) == ("7", "Gout after diuretics\nFurosemide raised urate.")
    gout, furosemide = note.annotations
    assert (gout.start, gout.end, gout.label, gout.type) == (0, 4, "Disease", EntityType.DISEASE)
    assert (furosemide.type, furosemide.codes) == (EntityType.MEDICATION, ("D005665",))
    assert note.text[furosemide.start : furosemide.end] == "Furosemide"
    assert gout.assertion is None


def test_several_notes_and_windows_line_ends(write: Callable[[str, str], Path]) -> None:
    second = "8|t|Asthma\n8|a|\n8\t0\t6\tAsthma\tSpecificDisease\tD001249|OMIM:600807"
    content = f"{TITLE}\n{ABSTRACT}\n\n{second}\n".replace("\n", "\r\n")
    first, last = read_corpus(write("set.txt", content))
    assert (first.id, last.id, last.text) == ("7", "8", "Asthma\n")
    assert last.annotations[0].codes == ("D001249", "OMIM:600807")


def test_a_mention_across_title_and_abstract(write: Callable[[str, str], Path]) -> None:
    lines = ["7|t|acute renal", "7|a|failure is bad", "7\t0\t19\tacute renal failure\tDisease\t-1"]
    (note,) = read_corpus(write("set.pubtator", "\n".join(lines)))
    assert (note.annotations[0].end, note.annotations[0].codes) == (19, ())


def test_text_may_hold_what_ends_lines_elsewhere(write: Callable[[str, str], Path]) -> None:
    title = "7|t|A\u2028B\x0bC\x85 gout"
    (note,) = read_corpus(write("set.pubtator", f"{title}\n7|a|x\n7\t7\t11\tgout\tDisease\tD1"))
    assert note.text[7:11] == "gout"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("7\t1\t5\tGout\tDisease\tD006073", "the words at 1-5"),
        ("7\t0\t400\tGout\tDisease\tD006073", "not inside the text"),
        ("7\t4\t0\tGout\tDisease\tD006073", "not inside the text"),
        ("7\t0\t0\t\tDisease\tD006073", "not inside the text"),
        ("7\t0\t4\tGout\tNoSuchLabel\tD006073", "label"),
        ("8\t0\t4\tGout\tDisease\tD006073", "another note"),
        ("7\tzero\tfour\tGout\tDisease\tD006073", "neither an annotation"),
        ("7\t0\t99999999999999999999\tGout\tDisease\tD1", "neither an annotation"),
        ("nothing like it", "another note"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(write: Callable[[str, str], Path], line: str, why: str) -> None:
    path = write("set.pubtator", f"{TITLE}\n{ABSTRACT}\n{line}\n{GOUT}\n")
    with pytest.raises(CorpusError, match=why) as raised:
        list(read_corpus(path))
    assert raised.value.place == "set.pubtator:3"
    assert "Gout" not in str(raised.value)
    faults: list[str] = []
    (note,) = read_corpus(path, faults=faults)
    assert len(note.annotations) == len(faults) == 1


def test_annotations_before_any_title(write: Callable[[str, str], Path]) -> None:
    with pytest.raises(CorpusError, match=r"set\.pubtator:1: the file does not begin"):
        list(read_corpus(write("set.pubtator", GOUT)))
