"""`fhir-coder doctor`: table, JSON and exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.doctor import examine
from fhir_coder.doctor.finding import failure, ok, warning
from tests.unit.command import run_command

FINE, DOUBTFUL, BAD = ok("a", "fine"), warning("b", "so so", "look"), failure("c", "[broken]", "mend it")


@pytest.mark.parametrize(("findings", "status"), [((FINE, DOUBTFUL), 0), ((FINE, DOUBTFUL, BAD), 1)])
def test_findings(findings: Any, status: int, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(examine, "examine", lambda _: iter(findings))
    got, out, _ = run_command(monkeypatch, capfd, "doctor")
    assert got == status
    assert all(finding.found in out for finding in findings)
    got, out, _ = run_command(monkeypatch, capfd, "doctor", "--format", "json")
    assert got == status
    assert [json.loads(line)["state"] for line in out.splitlines()] == [finding.state for finding in findings]


def test_settings_that_are_wrong(monkeypatch: pytest.MonkeyPatch, capfd: Any, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("port = 99999")
    got, out, _ = run_command(monkeypatch, capfd, "doctor", "--settings", tmp_path / "s.toml", "--format", "json")
    assert got == 1
    assert json.loads(out)["subject"] == "settings"
