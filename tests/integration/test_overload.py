"""Ten times what the service carries: it pushes back, keeps answering, loses nothing. See benchmarks/overload.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.integration.test_serve import ENVIRONMENT, data

__all__ = ["data"]  # the fixture: a data folder with a concept store

OVERLOAD = Path(__file__).resolve().parents[2] / "benchmarks" / "overload.py"


def test_the_service_pushes_back_and_loses_nothing(data: Path) -> None:
    # No word of speed here, nor of growth: in so short a time it still loads what it needs.
    command = [sys.executable, str(OVERLOAD), "--data", str(data), "--seconds", "20", "--most", "300"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=1800)
    found = dict(re.findall(r"(\w+)=([\w.]+)", done.stdout))
    assert found, done.stdout + done.stderr
    assert int(found["acknowledged"]) > 0
    assert int(found["turned_away"]) > 0
    assert int(found["held_back"]) > 0
    assert int(found["peak_mb"]) <= int(found["bound_mb"])
    expected = dict.fromkeys(("lost", "duplicates", "set_aside", "wrong", "unanswered", "ended"), "0")
    expected["drained"] = "True"
    assert {name: found[name] for name in expected} == expected
