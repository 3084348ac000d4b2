"""The service is killed under load: what it acknowledged is delivered, once, and in order. See benchmarks/crash.py.

A few rounds here; FHIR_CODER_CRASH_ROUNDS sets another number of kills (25 in CI; the 250 by hand: the benchmark).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.test_serve import ENVIRONMENT, data

__all__ = ["data"]  # the fixture: a data folder with a concept store

CRASH = Path(__file__).resolve().parents[2] / "benchmarks" / "crash.py"
FEW = "3"
ROUNDS = os.environ.get("FHIR_CODER_CRASH_ROUNDS", FEW)


def crash(data: Path, *options: str) -> dict[str, str]:
    command = [sys.executable, str(CRASH), "--data", str(data), *options]
    env = {name: value for name, value in ENVIRONMENT.items() if name != "FHIR_CODER_CRASH_ROUNDS"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=3600)
    found = dict(re.findall(r"(\w+)=(\w+)", done.stdout))
    assert found, done.stdout + done.stderr
    found["status"] = str(done.returncode)
    return found


def test_nothing_that_was_acknowledged_is_lost_or_doubled(data: Path) -> None:
    found = crash(data, "--rounds", ROUNDS)
    assert int(found["acknowledged"]) > 0
    expected = {"lost": "0", "duplicates": "0", "inversions": "0", "set_aside": "0", "drained": "True", "status": "0"}
    assert {name: found[name] for name in expected} == expected


def test_a_service_that_acknowledges_first_is_found_out(data: Path) -> None:
    found = crash(data, "--rounds", FEW, "--mutant")
    assert int(found["lost"]) > 0
    assert found["status"] == "1"
