"""Prodigy: JSON Lines of {"text", "spans": [{"start", "end", "label"}], "answer"} (https://prodi.gy/docs/api-interfaces).

Only accepted answers are read. spaCy's own training JSON Lines are of the same form, without an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.corpora.source import Marked, Rules, note, numbered_lines
from fhir_coder.errors import CorpusError


def read(path: Path, rules: Rules) -> Iterator[AnnotatedNote]:
    """Yield the notes of a JSON Lines file. Raises `CorpusError`."""
    for number, line in numbered_lines(path):
        place = f"{path.name}:{number}"
        if not line.strip():
            continue
        try:
            record: Any = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise CorpusError("not JSON", place=place) from error
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise CorpusError('not an object with a "text"', place=place)
        if record.get("answer", "accept") != "accept":
            continue
        spans = record.get("spans") or []
        if not isinstance(spans, list):
            raise CorpusError('"spans" is not a list', place=place)
        found = [_annotation(record["text"], span, f"{place} span {index}", rules) for index, span in enumerate(spans)]
        yield note(place, record["text"], found, place)


def _annotation(text: str, span: object, place: str, rules: Rules) -> Annotation | None:
    if isinstance(span, dict):
        start, end, label = span.get("start"), span.get("end"), span.get("label")
        if type(start) is int and type(end) is int and isinstance(label, str):
            return rules.annotation(text, Marked(start=start, end=end, label=label), place)
    rules.refuse('not a span with whole "start" and "end" and a "label"', place)
    return None
