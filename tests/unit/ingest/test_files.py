"""Files and standard input; one bad input never stops the rest."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fhir_coder.ingest.files import Intake, intakes_from_bytes, intakes_from_json, read_path
from fhir_coder.settings import Settings

SETTINGS = Settings()
GOOD = {
    "resourceType": "DocumentReference",
    "status": "current",
    "content": [{"attachment": {"contentType": "text/plain", "data": "SFRO"}}],
}
MESSAGE = "MSH|^~\\&|A|B|C|D|2025||MDM^T02|1|P|2.5\rPID|1||7\rTXA|1|HP\rOBX|1|TX|||HTN\r"


def intakes(path: Path, content: bytes, settings: Settings = SETTINGS) -> list[Intake]:
    path.write_bytes(content)
    return list(read_path(path, settings))


def test_a_text_file(tmp_path: Path) -> None:
    (intake,) = intakes(tmp_path / "a.txt", "\ufeffPt has\x01HTN".encode())
    assert intake.note is not None
    assert (intake.note.text, intake.note.id) == ("Pt has HTN", "a.txt")


def test_a_bundle_is_read_entry_by_entry(tmp_path: Path) -> None:
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"resource": {"resourceType": "Patient"}},
            {"resource": GOOD},
            {"resource": {"resourceType": "DocumentReference"}},
            7,
            {"resource": GOOD | {"id": "z"}},
        ],
    }
    found = intakes(tmp_path / "b.json", json.dumps(bundle).encode())
    assert [intake.source.split()[-1] for intake in found] == ["Bundle.entry[1]", "Bundle.entry[2]", "Bundle.entry[4]"]
    assert [intake.note is not None for intake in found] == [True, False, True]
    assert found[1].error is not None
    assert found[1].error.place == "Bundle.entry[2].resource.content"


def test_messages_of_a_file_are_read_one_by_one(tmp_path: Path) -> None:
    found = intakes(tmp_path / "c.hl7", f"{MESSAGE}{MESSAGE.replace('MDM^T02', 'ADT^A01')}{MESSAGE}".encode())
    assert [intake.error.place if intake.error else None for intake in found] == [None, "MSH-9", None]


@pytest.mark.parametrize(
    ("name", "content", "place", "remedy"),
    [
        ("a.json", b"{", "line 1 column 2", "send a FHIR resource as JSON"),
        ("a.json", b"", "line 1 column 1", "send a FHIR resource as JSON"),
        ("a.json", b'{"a": "\xff"}', "line 1 column", "UTF-8"),
        ("a.json", b"[" * 100_000, "line 1 column", "JSON"),
        ("a.json", b'{"a":' * 100_000, "line 1 column", "JSON"),
        ("a.json", b"[1]", "", "send a FHIR resource"),
        ("a.json", b'{"resourceType": "Patient"}', "DocumentReference.resourceType", "send a DocumentReference"),
        ("a.json", b'{"resourceType": "Bundle"}', "Bundle.entry", "add the notes"),
        ("a.json", b'{"resourceType": "Bundle", "entry": 1}', "Bundle.entry", "list"),
        ("a.hl7", b"", "MSH", "send HL7 v2"),
        ("a.hl7", b"PID|1", "MSH", "MSH"),
        ("a.txt", b" ", "text", "send a note with text"),
        ("a.txt", b"\xff\xfe", "text", "UTF-8"),
        ("a.pdf", b"%PDF", ".pdf", "give .txt"),
    ],
)
def test_a_bad_file_is_an_intake_with_its_error(
    tmp_path: Path, name: str, content: bytes, place: str, remedy: str
) -> None:
    (intake,) = intakes(tmp_path / name, content)
    assert intake.note is None
    assert intake.error is not None
    assert intake.error.place.startswith(place)
    assert remedy in str(intake.error)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (intake,) = read_path(tmp_path / "none.txt", SETTINGS)
    assert intake.error is not None
    assert intake.error.code == "not-found"


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (intake,) = intakes(tmp_path / "a.txt", b"x" * 11, Settings(max_body_bytes=10))
    assert intake.error is not None
    assert intake.error.code == "too-long"


@pytest.mark.parametrize(
    "content", [json.dumps(GOOD), MESSAGE, "HTN", "  \n" + json.dumps(GOOD), f"\x0b{MESSAGE}\x1c\r"]
)
def test_the_kind_of_standard_input_is_told_by_its_beginning(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    (intake,) = read_path(Path("-"), SETTINGS)
    assert intake.note is not None
    assert intake.note.text == "HTN"


def test_prose_that_looks_like_a_header_is_text() -> None:
    (intake,) = intakes_from_bytes(b"MSHA is an agency", "x", SETTINGS)
    assert intake.note is not None


def test_a_body_that_is_too_large_is_not_parsed() -> None:
    (intake,) = intakes_from_json(b"[" * 11, "x", Settings(max_body_bytes=10))
    assert intake.error is not None
    assert intake.error.code == "too-long"
