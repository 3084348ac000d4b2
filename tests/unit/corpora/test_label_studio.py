"""Exports of Label Studio."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import CorpusError
from fhir_coder.model import Assertion, EntityType

Write = Callable[[str, str], Path]


def _region(start: object, end: object, label: str, id_: str = "r1", **value: object) -> dict[str, Any]:
    value |= {"start": start, "end": end, "labels": [label]}
    return {"id": id_, "from_name": "label", "to_name": "text", "type": "labels", "value": value}


def _task(text: str, *regions: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"id": 12, "data": {"text": text}, "annotations": [{"result": list(regions), **more}]}


def test_regions_and_choices(write: Write) -> None:
    negated = {"id": "r1", "from_name": "negated", "to_name": "text", "type": "choices", "value": {"choices": ["true"]}}
    tasks = [_task("No gout, asthma", negated, _region(3, 7, "Disease"), _region(9, 15, "Disease", "r2"))]
    (note,) = read_corpus(write("export.json", json.dumps(tasks)))
    gout, asthma = note.annotations
    assert (note.id, gout.type) == ("12", EntityType.DISEASE)
    assert (gout.assertion, asthma.assertion) == (Assertion(negated=True), Assertion())


def test_offsets_are_those_of_javascript(write: Write) -> None:
    tasks = [_task("🙂🙂 gout", _region(5, 9, "Disease", text="gout"))]
    (note,) = read_corpus(write("export.json", json.dumps(tasks)))
    (gout,) = note.annotations
    assert (note.text[gout.start : gout.end], gout.assertion) == ("gout", None)


def test_which_annotator_counts(write: Write) -> None:
    task = _task("gout", _region(0, 4, "Symptom"), was_cancelled=True)
    task["annotations"] += [{"result": [_region(0, 4, "Disease")]}, {"result": [], "ground_truth": False}]
    (note,) = read_corpus(write("export.json", json.dumps([task])))
    assert [one.label for one in note.annotations] == ["Disease"]
    task["annotations"][2]["ground_truth"] = True
    (note,) = read_corpus(write("export.json", json.dumps([task])))
    assert note.annotations == ()


@pytest.mark.parametrize(
    "region",
    [
        _region(0, 5, "Disease"),
        _region(-1, 4, "Disease"),
        _region(True, 4, "Disease"),
        _region("0", "4", "Disease"),
        _region(2, 2, "Disease"),
        _region(0, 4, "NoSuchLabel"),
        _region(0, 4, "Disease", text="else"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(write: Write, region: dict[str, Any]) -> None:
    path = write("export.json", json.dumps([_task("gout", region)]))
    with pytest.raises(CorpusError) as raised:
        list(read_corpus(path))
    assert raised.value.place == "export.json task 0 result 0"
    faults: list[str] = []
    (note,) = read_corpus(path, faults=faults)
    assert (note.annotations, len(faults)) == ((), 1)


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '[{"data": {}}]', '[{"data": {"text": 1}}]', "[" * 2000])
def test_what_is_no_export(write: Write, content: str) -> None:
    with pytest.raises(CorpusError, match=r"export\.json"):
        list(read_corpus(write("export.json", content)))
