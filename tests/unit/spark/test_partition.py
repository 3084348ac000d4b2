"""The coding of a partition, in this process: rows of resources, and rows that say what failed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_coder.model import CodedNote, Note
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings

pyarrow = pytest.importorskip("pyarrow", reason="the extra [spark] is not installed")
partition = pytest.importorskip("fhir_coder.spark.partition")

CANARY = "Zebrafinch"


def line(text: str, **more: Any) -> bytes:
    attachment = {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}
    document = {"resourceType": "DocumentReference", "subject": {"reference": "Patient/7"}}
    return json.dumps(document | {"content": [{"attachment": attachment}]} | more).encode()


class Crashing:
    """Codes nothing, and fails where the text says so."""

    def many(self, notes: list[Note], **_: int) -> Iterator[CodedNote]:
        for note in notes:
            if "CRASH" in note.text:
                raise RuntimeError(note.text)
            yield CodedNote(note=note)


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Code contents: code(content, ...) -> rows."""
    monkeypatch.setattr(Coder, "from_settings", lambda _: Crashing())
    partition._desk.cache_clear()

    def call(*contents: bytes, format_: str = "ndjson", **given: Any) -> list[dict[str, str]]:
        batch = pyarrow.RecordBatch.from_pydict(
            {"source": ["file:/in/a%20b.txt"] * len(contents), "content": list(contents)}
        )
        coded = partition.coding(Settings.load(**given), format_)
        return [row for found in coded(iter([batch])) for row in found.to_pylist()]

    yield call
    partition._desk.cache_clear()


def test_a_note_that_fails_does_not_take_the_others_with_it(code: Any) -> None:
    rows = code(line("fine"), line(f"CRASH {CANARY}"), line("fine, too"))
    assert [row["type"] for row in rows].count("DocumentReference") == 2
    (failure,) = [json.loads(row["line"]) for row in rows if row["type"] == "failures"]
    assert failure["reason"] == "RuntimeError"
    assert "SHA-256" in failure["source"]


def test_rows_have_the_ids_of_their_resources(code: Any) -> None:
    rows = code(line("fine"), line("fine"))
    assert {json.loads(row["line"])["id"] for row in rows} == {row["id"] for row in rows}
    assert len({row["id"] for row in rows}) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (CANARY.encode(), "not JSON"),
        (b"\xff" + CANARY.encode(), "not JSON"),
        (line("x", date=CANARY), "not an instant"),
        (line("x", subject={"reference": f"Group/{CANARY}"}), "Patient"),
    ],
)
def test_what_cannot_be_read_is_told_without_its_text(code: Any, content: bytes, reason: str) -> None:
    (row,) = code(content)
    assert row["type"] == "failures"
    assert reason in row["line"]
    assert CANARY not in row["line"]


def test_lines_of_other_resources_are_no_fault(code: Any) -> None:
    assert code(b'{"resourceType":"Patient"}', b"", b"  ") == []


def test_files_of_any_kind(code: Any) -> None:
    (row,) = code(b"Pt has HTN.", format_="files")
    assert row["type"] == "DocumentReference"


def test_a_note_without_a_patient_is_not_sent(code: Any) -> None:
    (row,) = code(line("fine", subject=None), server="http://127.0.0.1:9/fhir")
    assert "no patient is named" in row["line"]
