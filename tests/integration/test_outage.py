"""A FHIR server that fails and goes away: nothing is lost, nothing is tried too early. See benchmarks/outage.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

OUTAGE = Path(__file__).resolve().parents[2] / "benchmarks" / "outage.py"


def test_nothing_is_lost_doubled_or_tried_too_early() -> None:
    command = [sys.executable, str(OUTAGE), "--away", "4", "--rate", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    found = dict(re.findall(r"(\w+)=([\d.]+)", done.stdout))
    assert found, done.stdout + done.stderr
    assert int(found["stored"]) > 20
    assert int(found["probes"]) < 30  # one at a time, and not a storm
    for name in ("lost", "waiting", "duplicates", "early", "inversions", "set_aside"):
        assert found[name] == "0", (name, found)
