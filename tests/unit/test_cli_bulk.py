"""`fhir-coder code` over folders of mixed files: summary, failures, resuming."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_coder.errors import InputError
from fhir_coder.model import CodedNote, Note
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from tests.unit.command import run_command

Run = Callable[..., tuple[int, str, str]]

MESSAGE = "MSH|^~\\&|A|B|C|D|2025||MDM^T02|{0}|P|2.5\rPID|1||7||||||||||||||||||X\rTXA|1|HP\rOBX|1|TX|||Pt has HTN.\r"
ADMISSION = "MSH|^~\\&|A|B|C|D|2025||ADT^A01|9|P|2.5\rPID|1||7\rPV1|1|I|||||||||||||||||V1\rDG1|1||I10^HTN^I10C\r"
DOCUMENT = {
    "resourceType": "DocumentReference",
    "status": "current",
    "subject": {"reference": "Patient/7"},
    "content": [{"attachment": {"contentType": "text/plain", "data": "UHQgaGFzIEhUTi4="}}],
}


@pytest.fixture
def read_notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the notes that were coded, by a coder that does no more than read; "CRASH" brings it down."""
    texts: list[str] = []

    class Reading:
        def many(self, notes: list[Note], **_: int) -> list[CodedNote]:
            if any("CRASH" in note.text for note in notes):
                raise RuntimeError("a note")
            if any("TOO LONG" in note.text for note in notes):
                raise InputError("the note is too long", place="text", code="too-long")
            texts.extend(note.text for note in notes)
            return [CodedNote(note=note) for note in notes]

    def loaded(settings: Settings) -> Any:
        return Reading()

    monkeypatch.setattr(Coder, "from_settings", loaded)
    return texts


@pytest.fixture
def run(read_notes: list[str], monkeypatch: pytest.MonkeyPatch, capfdbinary: Any, tmp_path: Path) -> Run:
    """Run the command line in this process: run("code", path) -> status, out, err."""
    monkeypatch.setenv("FHIR_CODER_DATABASE", f"sqlite:///{tmp_path}/delivery.sqlite")

    def call(*arguments: object) -> tuple[int, str, str]:
        status, out, err = run_command(monkeypatch, capfdbinary, *arguments)
        return status, out.decode(), err.decode()

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of mixed files: seven notes, an admission, and what is neither."""
    place = tmp_path / "notes"
    (place / "deep").mkdir(parents=True)
    (place / "a.txt").write_text("Pt has HTN.")
    (place / "b.json").write_text(json.dumps(DOCUMENT))
    lines = [json.dumps(DOCUMENT | {"id": f"d{number}"}) for number in (1, 2)]
    (place / "c.ndjson.gz").write_bytes(
        gzip.compress("\n".join((lines[0], '{"resourceType":"Patient"}', lines[1])).encode())
    )
    batch = f"FHS|^~\\&\rBHS|^~\\&\r{MESSAGE.format(1)}{MESSAGE.format(2)}{ADMISSION}BTS|3\rFTS|1\r"
    (place / "deep" / "d.hl7").write_text(batch)
    (place / "deep" / "e.hl7.gz").write_bytes(gzip.compress(MESSAGE.format(3).encode()))
    (place / "deep" / ".hidden.txt").write_text("not a note")
    return place


def test_a_folder_of_mixed_files(run: Run, read_notes: list[str], folder: Path, tmp_path: Path) -> None:
    status, out, err = run("code", folder, "--format", "none", "--out", tmp_path / "out")
    assert (status, out) == (0, "")
    assert read_notes == ["Pt has HTN."] * 7
    assert "5 files (0 done before): 7 notes coded, 3 records written, 2 without a note, 0 failed" in err
    assert "not mapped: PID-21 (3)" in err
    written = (tmp_path / "out" / "Condition.ndjson").read_text().splitlines()
    assert json.loads(written[0])["code"]["coding"][0]["code"] == "I10"


def test_a_pattern(run: Run, read_notes: list[str], folder: Path) -> None:
    assert run("code", f"{folder}/**/*.hl7*", "--format", "none")[0] == 0
    assert len(read_notes) == 3


def test_a_pattern_without_a_match_is_a_failure(run: Run, tmp_path: Path) -> None:
    status, _, err = run("code", f"{tmp_path}/*.hl7")
    assert status == 1
    assert "cannot be read" in err


def test_failures_are_listed_and_the_rest_is_coded(
    run: Run, read_notes: list[str], folder: Path, tmp_path: Path
) -> None:
    (folder / "0.txt").write_text("CRASH")
    (folder / "1.txt").write_text("TOO LONG")
    (folder / "2.docx").write_bytes(b"no")
    (folder / "3.hl7.gz").write_bytes(gzip.compress(MESSAGE.encode())[:40])
    status, _, err = run("code", folder, "--format", "none", "--report", tmp_path / "report.json")
    assert status == 1
    assert len(read_notes) == 7
    report = orjson.loads((tmp_path / "report.json").read_bytes())
    failures = {Path(each["source"]).name: (each["code"], each["reason"]) for each in report["failures"]}
    assert failures["0.txt"] == ("processing", "RuntimeError")  # whose words may be those of a note
    assert failures["1.txt"] == ("too-long", "the note is too long")
    assert failures["2.docx"][0] == "not-supported"
    assert failures["3.hl7.gz"][0] == "structure"
    assert all(name in err for name in failures)
    assert (report["notes"], report["not_mapped"]) == (7, {"PID-21": 3})


def test_an_interrupted_run_goes_on_and_failures_are_tried_again(
    run: Run, read_notes: list[str], folder: Path, tmp_path: Path
) -> None:
    bad = folder / "0.txt"
    bad.write_text("CRASH")
    arguments = ("code", folder, "--format", "none", "--journal", tmp_path / "journal")
    assert run(*arguments)[0] == 1
    bad.write_text("Pt has DM.")
    read_notes.clear()
    status, _, err = run(*arguments)
    assert (status, read_notes) == (0, ["Pt has DM."])
    assert "6 files (5 done before): 1 notes coded" in err


def test_one_message_without_a_note_says_why(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.hl7"
    path.write_text(ADMISSION)
    status, out, err = run("code", path, "--format", "bundle")
    assert status == 0
    kinds = [entry["resource"]["resourceType"] for entry in orjson.loads(out)["entry"]]
    assert kinds == ["Patient", "Encounter", "Condition"]
    assert "holds no text" in err
