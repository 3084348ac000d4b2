"""JSON Lines of Prodigy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import CorpusError
from fhir_coder.model import EntityType


def test_accepted_lines(write: Callable[[str, str], Path]) -> None:
    spans = [{"start": 3, "end": 7, "label": "DISEASE", "token_start": 1}]
    records = [
        {"text": "no gout", "spans": spans, "answer": "accept"},
        {"text": "bad", "spans": spans, "answer": "reject"},
        {"text": "nothing"},
    ]
    notes = list(read_corpus(write("a.jsonl", "\n\n".join(map(json.dumps, records)))))
    assert [note.text for note in notes] == ["no gout", "nothing"]
    assert notes[0].annotations[0].type is EntityType.DISEASE
    assert notes[1].id == "a.jsonl:5"


@pytest.mark.parametrize(
    "span",
    [
        {"start": 3, "end": 8, "label": "Disease"},
        {"start": 3.0, "end": 7, "label": "Disease"},
        {"start": -4, "end": -1, "label": "Disease"},
        {"start": 3, "end": 7},
        {"start": 3, "end": 7, "label": "NoSuchLabel"},
        "3-7",
    ],
)
def test_what_is_wrong_is_named_with_its_line(write: Callable[[str, str], Path], span: object) -> None:
    path = write("a.jsonl", "\n" + json.dumps({"text": "no gout", "spans": [span]}))
    with pytest.raises(CorpusError) as raised:
        list(read_corpus(path))
    assert raised.value.place == "a.jsonl:2 span 0"
    faults: list[str] = []
    (note,) = read_corpus(path, faults=faults)
    assert (note.annotations, len(faults)) == ((), 1)


@pytest.mark.parametrize("line", ["{", "[]", '{"text": 3}', '{"text": "a", "spans": {"a": 1}}', '{"text": "\\ud800"}'])
def test_what_is_no_record(write: Callable[[str, str], Path], line: str) -> None:
    with pytest.raises(CorpusError, match=r"a\.jsonl:1"):
        list(read_corpus(write("a.jsonl", line)))
