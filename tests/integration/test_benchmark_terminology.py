"""Each publisher's format, written by the benchmark's generators, goes through the real command and comes out whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "terminology.py"


def test_what_is_written_is_what_is_stored(tmp_path: Path) -> None:
    """The benchmark compares by itself: counts of everything, and names of each release."""
    away = {"FHIR_CODER_DATA_DIR": str(tmp_path / "not to be used")}
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--scale", "0.001", "--imports-only", "--keep", str(tmp_path / "kept")],
        env=os.environ | away,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = {
        path.name.partition("-")[0] for path in (tmp_path / "kept" / "data" / "terminology" / "imported").iterdir()
    }
    assert imported == {"icd10cm", "snomed", "rxnorm", "loinc", "hcpcs"}
    assert not (tmp_path / "not to be used").exists()
