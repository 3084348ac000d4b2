"""Files and standard input; one bad input never stops the rest."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fhir_coder.ingest.files import Intake, files_of, intakes_from_bytes, intakes_from_json, read_path
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.html", b"<p>Pt has <b>HTN</b></p>"),
        ("a.rtf", rb"{\rtf1\ansi Pt has {\b HTN}}"),
        ("a.html.gz", b"<p>Pt has HTN"),
    ],
)
def test_a_note_in_another_form(tmp_path: Path, name: str, content: bytes) -> None:
    (intake,) = intakes(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    assert intake.note is not None
    assert (intake.note.text.strip(), intake.note.id) == ("Pt has HTN", name)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.json.gz", "a.hl7.gz", "a.hl7"])
def test_a_compressed_file_is_told_by_its_bytes(tmp_path: Path, name: str) -> None:
    content = {"a.txt.gz": "HTN", "a.json.gz": json.dumps(GOOD)}.get(name, MESSAGE)
    (intake,) = intakes(tmp_path / name, gzip.compress(content.encode()))
    assert intake.note is not None
    assert intake.note.text == "HTN"


def test_each_line_of_a_bulk_export_is_read_on_its_own(tmp_path: Path) -> None:
    lines = [json.dumps(GOOD), '{"resourceType": "Patient"}', "", "{", "[1]", json.dumps(GOOD | {"content": []})]
    found = intakes(tmp_path / "a.ndjson", "\n".join(lines).encode())
    told = [(intake.source.split()[-1], bool(intake.note), bool(intake.error)) for intake in found[:-1]]
    assert told == [("1", True, False), ("4", False, True), ("5", False, True), ("6", False, True)]
    assert found[-1].remark == "1 lines hold no DocumentReference"


def test_a_line_that_is_too_long_ends_the_reading(tmp_path: Path) -> None:
    (intake,) = intakes(tmp_path / "a.ndjson", b"x" * 2000, Settings(max_body_bytes=1000))
    assert intake.error is not None
    assert intake.error.code == "too-long"


def test_folders_and_patterns(tmp_path: Path) -> None:
    (tmp_path / "b" / ".git").mkdir(parents=True)
    for name in ("c.txt", "a.hl7", "b/d.txt", "b/.git/e.txt"):
        (tmp_path / name).write_text("x")

    def names(path: str) -> list[str]:
        return [str(each.relative_to(tmp_path)) for each in files_of([tmp_path / path])]

    assert names(".") == ["a.hl7", "b/d.txt", "c.txt"]
    assert names("*.txt") == ["c.txt"]
    assert names("**/*.txt") == ["b/d.txt", "c.txt"]
    assert names("none*") == ["none*"]
    (tmp_path / "x[1].txt").write_text("x")
    assert names("x[1].txt") == ["x[1].txt"]


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
    found = intakes(tmp_path / "c.hl7", f"{MESSAGE}{MESSAGE.replace('MDM^T02', 'SIU^S12')}{MESSAGE}".encode())
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
        ("a.docx", b"PK", ".docx", "give .txt"),
        ("a.pdf", b"%PDF", ".pdf", ""),
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
    "content",
    [
        json.dumps(GOOD),
        MESSAGE,
        "HTN",
        "  \n" + json.dumps(GOOD),
        f"\x0b{MESSAGE}\x1c\r",
        "<html><p>HTN",
        r"{\rtf1 HTN}",
        "<?xml version='1.0'?><section><text>HTN</text></section>",
    ],
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
