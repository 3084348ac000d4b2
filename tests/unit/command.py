"""Run the command line in the process of the test."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from fhir_coder import cli


def run_command(monkeypatch: pytest.MonkeyPatch, capture: Any, *arguments: object) -> tuple[int, Any, Any]:
    """Return the exit status and what `capture` (`capfd`, `capfdbinary`) has of stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["fhir-coder", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    sys.stdout.flush()
    captured = capture.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err
