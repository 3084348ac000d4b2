"""Label Studio's JSON export (https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks).

A task has its text under `data`, and per annotator a `result`: regions with `value.start`, `value.end` and
`value.labels`. Choices of a region (same `id`) become its assertion if `mappings/corpus_assertions.csv` knows them:
`from_name` is its attribute, the choice its value. Of several annotators the ground truth, else the first, is read;
cancelled annotations are not. Offsets count UTF-16 units, as JavaScript does: they are converted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.labels import is_assertion, read_assertion
from fhir_coder.corpora.source import Marked, Rules, note, read_bytes
from fhir_coder.errors import CorpusError

_Json = dict[str, Any]


def read(path: Path, rules: Rules) -> Iterator[AnnotatedNote]:
    """Yield the notes of an export. Raises `CorpusError`."""
    try:
        tasks: Any = orjson.loads(read_bytes(path))
    except orjson.JSONDecodeError as error:
        raise CorpusError("not JSON", place=f"{path.name}:{error.lineno}") from error
    if not isinstance(tasks, list):
        raise CorpusError("not a list of tasks", place=path.name)
    asserts = any(is_assertion(str(region.get("from_name"))) for task in tasks for region in _result(task))
    for position, task in enumerate(tasks):
        place = f"{path.name} task {position}"
        text = _text(task)
        if text is None:
            raise CorpusError("the task has no text under data", place=place)
        offsets = _offsets(text)
        attributes: dict[object, list[tuple[str, str]]] = {}
        regions = []
        for number, region in enumerate(_result(task)):
            value = region.get("value")
            if isinstance(value, dict) and isinstance(value.get("choices"), list):
                pairs = [(str(region.get("from_name")), str(choice)) for choice in value["choices"]]
                attributes.setdefault(str(region.get("id")), []).extend(pairs)
            elif isinstance(value, dict) and "labels" in value:
                regions.append((f"{place} result {number}", str(region.get("id")), value))
        found = []
        for where, id_, value in regions:
            for marked in _marked(value, offsets, where, rules):
                said = read_assertion(attributes.get(id_, ())) if asserts else None
                with_said = Marked(
                    start=marked.start, end=marked.end, label=marked.label, written=marked.written, assertion=said
                )
                found.append(rules.annotation(text, with_said, where))
        yield note(str(task.get("id", position)), text, found, place)


def _text(task: object) -> str | None:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("text"), str):
        return str(data["text"])
    texts = [value for value in data.values() if isinstance(value, str)]
    return texts[0] if len(texts) == 1 else None


def _result(task: object) -> list[_Json]:
    """Return the regions of the annotation that counts."""
    annotations = task.get("annotations") if isinstance(task, dict) else None
    done = [
        one
        for one in (annotations if isinstance(annotations, list) else [])
        if isinstance(one, dict) and not one.get("was_cancelled")
    ]
    chosen = next((one for one in done if one.get("ground_truth")), done[0] if done else {})
    result = chosen.get("result")
    return [region for region in result if isinstance(region, dict)] if isinstance(result, list) else []


def _offsets(text: str) -> list[int]:
    """Return the offset of a character by that of its UTF-16 unit."""
    offsets = []
    for position, character in enumerate(text):
        offsets += [position] * (2 if ord(character) > 0xFFFF else 1)
    return [*offsets, len(text)]


def _marked(value: _Json, offsets: list[int], place: str, rules: Rules) -> list[Marked]:
    start, end, labels, written = value.get("start"), value.get("end"), value.get("labels"), value.get("text")
    if type(start) is not int or type(end) is not int or not isinstance(labels, list):
        rules.refuse("not a region with whole start and end, and labels", place)
        return []
    if not 0 <= start < end < len(offsets):
        rules.refuse(f"span {start}-{end} is not inside the text", place)
        return []
    words = written if isinstance(written, str) else None
    return [Marked(start=offsets[start], end=offsets[end], label=str(label), written=words) for label in labels]
