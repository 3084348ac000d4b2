"""The command line: exit statuses, what goes to stdout, what to stderr."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from tests.unit.command import run_command

NOTE = "Pt denies chest pain. Started lisinopril 10 mg daily for HTN."
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(coder: Coder, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any, tmp_path: Path) -> Run:
    """Run the command line in this process, with the coder that is loaded: run("code", path) -> status, out, err."""
    monkeypatch.setenv("FHIR_CODER_DATABASE", f"sqlite:///{tmp_path}/delivery.sqlite")

    def loaded(settings: Settings) -> Coder:
        again = copy.copy(coder)
        again.settings = settings
        return again

    monkeypatch.setattr(Coder, "from_settings", loaded)

    def call(*arguments: object) -> tuple[int, str, str]:
        status, out, err = run_command(monkeypatch, capfdbinary, *arguments)
        return status, out.decode(), err.decode()

    return call


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A file with a note."""
    path = tmp_path / "note.txt"
    path.write_text(NOTE, encoding="utf-8")
    return path


def _lines(out: str) -> list[Any]:
    return [orjson.loads(line) for line in out.splitlines()]


def test_json(run: Run, note: Path) -> None:
    status, out, err = run("code", note, note, "--format", "json")
    assert (status, err) == (0, "")
    first, second = _lines(out)
    assert first == second
    assert set(first) >= {"note", "entities", "relations"}
    for entity in first["entities"]:
        assert NOTE[entity["start"] : entity["end"]] == entity["text"]
        assert set(entity) >= set("text start end type section assertion attributes codings candidates".split())
        assert set(entity["assertion"]) == {"negated", "certainty", "temporality", "experiencer"}


def test_bundle(run: Run, note: Path) -> None:
    status, out, _ = run("code", note, "--format", "bundle")
    assert status == 0
    (bundle,) = _lines(out)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")


def test_explain(run: Run, note: Path) -> None:
    status, out, _ = run("code", note, "--explain")
    assert status == 0
    for words in (
        "HTN  at 57-60, disease",
        "assertion: negated, because of",
        "icd10cm I10",
        "because the text is",
        "\n",
    ):
        assert words in out
    assert "\x1b" not in out


@pytest.mark.parametrize("output", ["json", "bundle"])
def test_explain_takes_the_place_of_the_table(run: Run, note: Path, output: str) -> None:
    status, out, err = run("code", note, "--explain", "--format", output)
    assert (status, out) == (2, "")
    assert "JSON always has the reasons" in " ".join(err.replace("│", " ").split())


def test_table(run: Run, note: Path) -> None:
    status, out, _ = run("code", note)
    assert status == 0
    assert "lisinopril" in out
    assert "negated" in out


def test_a_bad_file_among_good_ones(run: Run, note: Path, tmp_path: Path) -> None:
    bad, odd, missing = tmp_path / "bad.json", tmp_path / "odd.pdf", tmp_path / "none.txt"
    bad.write_text("{", encoding="utf-8")
    odd.write_bytes(b"%PDF")
    status, out, err = run("code", note, bad, odd, missing, note, "--format", "json")
    assert status == 1
    assert len(_lines(out)) == 2
    for path in (bad, odd, missing):
        assert str(path) in err
    assert len(err.splitlines()) == 3
    assert "Traceback" not in err


def test_out_is_idempotent(run: Run, note: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = []
    for _ in range(2):
        status, _, _ = run("code", note, "--out", out, "--subject", "Patient/7")
        assert status == 0
        counts.append({path.name: len(path.read_bytes().splitlines()) for path in out.glob("*.ndjson")})
    assert counts[0] == counts[1]
    assert counts[0]["Condition.ndjson"] == 1
    assert counts[0]["MedicationStatement.ndjson"] == 1


def test_min_confidence(run: Run, note: Path) -> None:
    note.write_text("diabetes melitus", encoding="utf-8")
    run("code", note)
    status, out, _ = run("code", note, "--min-confidence", "1", "--format", "json")
    assert status == 0
    assert all(coding["score"] == 1 for entity in _lines(out)[0]["entities"] for coding in entity["codings"])


def test_subject_is_for_notes_that_name_none(run: Run, note: Path) -> None:
    _, out, _ = run("code", note, "--subject", "Patient/7", "--format", "json")
    assert _lines(out)[0]["note"]["subject"] == "Patient/7"


def test_nothing_is_sent_without_a_subject(run: Run, note: Path) -> None:
    status, _, err = run("code", note, "--server", "http://127.0.0.1:9/fhir")
    assert status == 1
    assert "--subject" in err


def test_lookup(run: Run) -> None:
    status, out, _ = run("lookup", "icd10cm", "hypertension", "gout", "--format", "json", "--top", "2")
    assert status == 0
    first, second = _lines(out)
    assert (first["text"], second["text"]) == ("hypertension", "gout")
    assert first["candidates"][0]["code"] == "I10"
    assert len(first["candidates"]) <= 2
    assert {"code", "display", "score"} <= set(first["candidates"][0])
    status, out, _ = run("lookup", "icd10cm", "hypertension")
    assert status == 0
    assert "I10" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("lookup", "icd9", "hypertension"),
        ("lookup", "icd10cm"),
        ("lookup", "icd10cm", "gout", "--top", "0"),
        ("code",),
        ("code", "note.txt", "--format", "xml"),
        ("code", "note.txt", "--min-confidence", "2"),
        ("code", "note.txt", "--settings", "/none.toml"),
        ("code", "note.txt", "--server", "no url"),
        ("nothing",),
    ],
)
def test_misuse(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_misuse_names_the_systems(run: Run) -> None:
    assert "snomed" in run("lookup", "icd9", "x")[2]


def test_terminology_info(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_CODER_ENCODER", "none")
    monkeypatch.setenv("COLUMNS", "160")
    status, out, _ = run("terminology", "info")
    assert status == 0
    assert "98,186" in out


def test_standard_input_in_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fhir_coder", "code", "-", "--format", "json"],
        input=NOTE.encode(),
        capture_output=True,
        check=False,
        env={**os.environ, "FHIR_CODER_ENCODER": "none"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    (coded,) = _lines(done.stdout.decode())
    assert [entity["text"] for entity in coded["entities"]] == ["chest pain", "lisinopril", "HTN"]
    assert [entity["assertion"]["negated"] for entity in coded["entities"]] == [True, False, False]


def test_an_error_that_nobody_foresaw_tells_no_text(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("Zebrafinch")

    monkeypatch.setattr(Settings, "load", broken)
    status, _, err = run_command(monkeypatch, capfd, "lookup", "icd10cm", "HTN")
    assert status == 1
    assert "ValueError" in err
    assert "test_cli.py:" in err
    assert "Zebrafinch" not in err
