"""Run every fuzzer for some seconds, one after the other: `make fuzz`. Exit status 1 when one found something.

Run: .venv/bin/python tests/fuzz/run.py [seconds each]. Where atheris is not installed it says so and does nothing.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 20
TARGETS = (
    *(("fuzz_intake.py", what) for what in ("hl7v2", "batch", "mllp", "json")),
    *(("fuzz_attachments.py", form) for form in ("html", "rtf", "cda", "pdf", "gzip")),
)


def main() -> int:
    """Run them all; return the exit status."""
    if importlib.util.find_spec("atheris") is None:
        print("fuzzing is left out: atheris is not installed (pip install -e '.[fuzz]'; it needs Linux or macOS)")
        return 0
    seconds = sys.argv[1] if len(sys.argv) > 1 else str(SECONDS)
    found = 0
    for script, what in TARGETS:
        # Inputs that break something are left where they are told, outside of the checkout.
        folder = tempfile.mkdtemp(prefix="fhir-coder-fuzz-")
        command = [sys.executable, str(HERE / script), what, seconds]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        lines = done.stderr.splitlines()
        runs = next((line for line in reversed(lines) if line.startswith("Done ")), "")
        print(f"{what}: {runs or f'ended with status {done.returncode}'}", flush=True)
        if done.returncode:
            found += 1
            print("\n".join(lines[-40:]), f"\nthe input is in {folder}", flush=True)
        else:
            Path(folder).rmdir()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
