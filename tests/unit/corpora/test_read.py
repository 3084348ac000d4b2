"""Formats are recognised, whatever comes is read or refused, and the true corpora fit their texts."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_coder.corpora import source
from fhir_coder.corpora.labels import assertion_values, label_types, read_assertion
from fhir_coder.corpora.read import FORMATS, read_corpus, recognise
from fhir_coder.errors import CorpusError
from fhir_coder.model import Assertion, EntityType

Write = Callable[[str, str], Path]
REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", Path(__file__).resolve().parents[4] / "shared" / "data"))
CORPORA = {
    "bc5cdr/train.pubtator": (500, 9385),
    "ncbi_disease/train.pubtator": (593, 5145),
    "biored/train.pubtator": (400, 13351),
    "maccrobat2020": (140, 17655),
    "negex/context_dev.tsv": (1436, 1431),
    "negex/negation_reports_1_60.tsv": (1194, 1190),
    "codiesp/train_icd10cm.tsv": (500, 0),
}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "1|t|Title\n1|a|Abstract", "pubtator"),
        ("a.PubTator", "", "pubtator"),
        ("a.conll", "a\tO", "conll"),
        ("a.tsv", "a\tO", "conll"),
        ("a", "-DOCSTART- O", "conll"),
        ("a.jsonl", "", "prodigy"),
        ("a.json", "", "label-studio"),
        ("a.tsv", "\ufeffConcept\tSentence\tNegation\n", "negex"),
        ("dev_icd10cm.tsv", "", "codiesp"),
    ],
)
def test_files_are_recognised(write: Write, name: str, content: str, expected: str) -> None:
    assert recognise(write(name, content)) == expected


def test_what_is_not_recognised(write: Write, tmp_path: Path) -> None:
    for path in (write("a.txt", "Just a note."), tmp_path, tmp_path / "absent"):
        with pytest.raises(CorpusError, match=r"recognised|No such file"):
            read_corpus(path)
    with pytest.raises(CorpusError, match="no format 'xml'"):
        read_corpus(tmp_path, "xml")


@pytest.mark.parametrize("format_", FORMATS)
def test_bounds_and_encodings(write: Write, monkeypatch: pytest.MonkeyPatch, format_: str) -> None:
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 100)
    path = write("a.ann", "x" * 101)
    with pytest.raises(CorpusError, match="more than 100 bytes"):
        list(read_corpus(path.parent if format_ == "brat" else path, format_))
    path.write_bytes(b"a\tO\n\xff\xfe")
    with pytest.raises(CorpusError, match=r"a\.ann:2: not UTF-8|not JSON"):
        list(read_corpus(path.parent if format_ == "brat" else path, format_))


def test_a_note_that_is_too_long(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_NOTE_CHARS", 10)
    with pytest.raises(CorpusError, match=r"a\.jsonl:1: a note of 11 characters"):
        list(read_corpus(write("a.jsonl", '{"text": "12345678901"}')))


def test_labels_given_go_first(write: Write) -> None:
    path = write("a.jsonl", '{"text": "gout", "spans": [{"start": 0, "end": 4, "label": "Disease"}]}')
    (note,) = read_corpus(path, labels={"Disease": EntityType.SYMPTOM})
    assert note.annotations[0].type is EntityType.SYMPTOM


def test_the_tables_are_sound() -> None:
    assert label_types()["disease"] == (EntityType.DISEASE,)
    assert label_types()["diagnostic_procedure"][0] is EntityType.PROCEDURE
    assert all(read_assertion([pair]) == Assertion() or meaning for pair, (_, meaning) in assertion_values().items())
    assert read_assertion([("polarity", "neg"), ("temporality", "HISTORICAL"), ("trend", "inc")]) == Assertion(
        negated=True, temporality="historical"
    )


@pytest.mark.parametrize("format_", FORMATS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.text(alphabet=st.sampled_from('T1AEa|t \t\n\r-BIO0123456789{}[]":,;é🙂\x00\u2028'), max_size=200))
def test_whatever_comes_is_read_or_refused(tmp_path: Path, format_: str, content: str) -> None:
    path = tmp_path / "a.ann"
    path.write_bytes(content.encode())
    (tmp_path / "a.txt").write_bytes(content.encode())
    faults: list[str] = []
    with contextlib.suppress(CorpusError):  # and nothing else
        for note in read_corpus(tmp_path if format_ == "brat" else path, format_, {"O": None}, faults=faults):
            assert all(0 <= one.start < one.end <= len(note.text) for one in note.annotations)


_WORDS = st.lists(st.text(alphabet="abcé🙂", min_size=1, max_size=5), min_size=1, max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=_WORDS, data=st.data())
def test_spans_come_back_from_every_format_that_has_them(tmp_path: Path, words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    chosen = sorted(data.draw(st.sets(st.integers(0, len(words) - 1))))
    spans = []
    for index in chosen:
        start = len(" ".join(words[:index])) + (index > 0)
        spans.append((start, start + len(words[index])))
    utf16 = [(len(text[:a].encode("utf-16-le")) // 2, len(text[:b].encode("utf-16-le")) // 2) for a, b in spans]
    files = {
        "a.pubtator": f"1|t|{text}\n1|a|\n" + "".join(f"1\t{a}\t{b}\t{text[a:b]}\tDisease\tD1\n" for a, b in spans),
        "a.jsonl": json.dumps({"text": text, "spans": [{"start": a, "end": b, "label": "Disease"} for a, b in spans]}),
        "a.json": json.dumps(
            [
                {
                    "data": {"text": text},
                    "annotations": [
                        {"result": [{"value": {"start": a, "end": b, "labels": ["Disease"]}} for a, b in utf16]}
                    ],
                }
            ]
        ),
        "a.conll": "".join(f"{word}\t{'B-Disease' if at in chosen else 'O'}\n" for at, word in enumerate(words)),
        "a.ann": "".join(f"T{at}\tDisease {a} {b}\t{text[a:b]}\n" for at, (a, b) in enumerate(spans)),
    }
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        (note,) = read_corpus(tmp_path if name == "a.ann" else tmp_path / name)
        assert note.text.rstrip("\n") == text, name
        assert [(one.start, one.end) for one in note.annotations] == spans, name


@pytest.mark.parametrize(("name", "expected"), CORPORA.items())
def test_the_true_corpora_fit_their_texts(name: str, expected: tuple[int, int]) -> None:
    path = REFERENCES / "corpora" / name
    if not path.exists():
        pytest.skip("the corpus is not in the references")
    notes = list(read_corpus(path))
    assert (len(notes), sum(len(note.annotations) for note in notes)) == expected
    assert all(note.text and (note.annotations or note.codes or "negex" in name) for note in notes)
