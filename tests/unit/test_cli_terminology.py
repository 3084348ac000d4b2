"""`fhir-coder terminology`: what people see, and the exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_coder import prepare
from tests.unit.command import run_command
from tests.unit.embedded import small_releases

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, with releases of its own: run("list") -> status, out, err."""
    code = tmp_path / "loader.py"
    code.write_text("as it is")
    monkeypatch.setattr(prepare, "EMBEDDED", small_releases(code))
    monkeypatch.setenv("FHIR_CODER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FHIR_CODER_ENCODER", "none")

    def call(*arguments: object) -> tuple[int, str, str]:
        return run_command(monkeypatch, capfd, "terminology", *arguments)

    return call


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of ICD-10-CM."""
    resource = {
        "resourceType": "CodeSystem",
        "url": "http://hl7.org/fhir/sid/icd-10-cm",
        "version": "2027",
        "title": "Our ICD-10-CM",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "A00", "display": "Cholera"}, {"code": "A01", "display": "Typhoid"}],
    }
    path = tmp_path / "icd.json"
    path.write_text(json.dumps(resource))
    return path


def test_from_import_to_remove(run: Run, release: Path) -> None:
    status, out, _ = run("import", release)
    assert status == 0
    for told in ("icd10cm-2027", "Our ICD-10-CM", "Concepts", "nothing"):
        assert told in out
    status, out, err = run("import", release)
    assert (status, "imported before; nothing was changed" in err) == (0, True)
    status, out, _ = run("list")
    assert status == 0
    assert [line.split("│")[4].strip() for line in out.splitlines() if "icd10cm-2027" in line] == ["active"]
    status, out, _ = run("info")
    assert status == 0
    assert "icd.json  SHA-256 " in out
    status, _, err = run("remove", "icd10cm-2027")
    assert (status, "icd10cm-2027 is removed" in err) == (0, True)
    assert "icd10cm-2027" not in run("list")[1]


def test_activate(run: Run, release: Path) -> None:
    assert run("import", release, "--no-activate")[0] == 0
    assert "not active" in run("list")[1]
    status, _, err = run("activate", "icd10cm-2027")
    assert (status, "restart a running service" in err) == (0, True)
    assert "not active" not in run("list")[1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("import", "nothing.zip"), 1, "there is no such file or folder"),
        (("import", __file__), 1, "of no known format; known are"),
        (("import", __file__, "--format", "icd11"), 1, "use one of icd10cm, snomed"),
        (("remove", "icd10cm-1999"), 1, "no release 'icd10cm-1999' was imported"),
        (("import",), 2, "Missing argument"),
    ],
)
def test_what_goes_wrong(run: Run, arguments: tuple[str, ...], status: int, said: str) -> None:
    got, _, err = run(*arguments)
    assert got == status
    assert said in err


def test_prepare_and_vectors(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("prepare")
    assert (status, Path(out.strip().replace("\n", ""))) == (0, tmp_path / "data" / "terminology")
    assert run("vectors")[0] == 0


@pytest.mark.parametrize("command", ["import", "list", "info", "activate", "remove", "vectors", "prepare"])
def test_help_teaches(run: Run, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert "Usage:" in out
