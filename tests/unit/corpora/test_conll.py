"""CoNLL files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import CorpusError


def _spans(note: AnnotatedNote) -> list[tuple[str, str]]:
    return [(note.text[one.start : one.end], one.label) for one in note.annotations]


def test_sentences_of_a_note_and_notes(write: Callable[[str, str], Path]) -> None:
    first = "-DOCSTART-\tO\n\nNo\tO\nchest\tB-Symptom\npain\tI-Symptom\n\nGout\tB-Disease\n"
    content = first + "-DOCSTART- -X- O\nWell\tO\n.\tO\n"
    note, second = read_corpus(write("a.conll", content))
    assert note.text == "No chest pain\nGout"
    assert _spans(note) == [("chest pain", "Symptom"), ("Gout", "Disease")]
    assert (second.text, second.annotations) == ("Well .", ())


def test_without_docstart_a_sentence_is_a_note(write: Callable[[str, str], Path]) -> None:
    notes = list(read_corpus(write("a.bio", "\n\nGout\tO\n\n\nAsthma\tB-Disease\n\n")))
    assert [(note.id, note.text) for note in notes] == [("a.bio:3", "Gout"), ("a.bio:6", "Asthma")]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-Disease I-Disease B-Disease O", [("a b", "Disease"), ("c", "Disease")]),
        ("I-Disease I-Disease O I-Disease", [("a b", "Disease"), ("d", "Disease")]),
        ("S-Disease B-Disease E-Disease S-Symptom", [("a", "Disease"), ("b c", "Disease"), ("d", "Symptom")]),
        ("U-Disease B-Disease I-Disease L-Disease", [("a", "Disease"), ("b c d", "Disease")]),
        ("B-Disease I-Symptom I-Symptom O", [("a", "Disease"), ("b c", "Symptom")]),
        ("B-Disease E-Disease I-Disease E-Disease", [("a b", "Disease"), ("c d", "Disease")]),
    ],
)
def test_schemes(write: Callable[[str, str], Path], tags: str, expected: list[tuple[str, str]]) -> None:
    lines = [f"{token}\tx\t{tag}" for token, tag in zip("abcd", tags.split(), strict=True)]
    (note,) = read_corpus(write("a.tsv", "\n".join(lines)))
    assert _spans(note) == expected


@pytest.mark.parametrize("line", ["token", "token\tX-Disease", "token\tB-", "\tO", "token\tB Disease"])
def test_what_is_no_token_and_tag(write: Callable[[str, str], Path], line: str) -> None:
    with pytest.raises(CorpusError, match=r"a\.conll:2: not a token") as raised:
        list(read_corpus(write("a.conll", f"Gout\tO\n{line}\n")))
    assert "token\t" not in str(raised.value)


def test_an_unknown_label(write: Callable[[str, str], Path]) -> None:
    path = write("a.conll", "Gout\tB-Own thing\n".replace(" ", "-"))
    with pytest.raises(CorpusError, match=r"a\.conll:1: the label"):
        list(read_corpus(path))
    (note,) = read_corpus(path, labels={"Own-thing": None})
    assert note.annotations[0].type is None
