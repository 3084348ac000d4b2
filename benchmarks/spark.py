"""Bulk history on Spark, killed while it works: every note is coded once, whatever happens.

    .venv/bin/python benchmarks/spark.py --notes 2000 --kills 3     # minutes
    .venv/bin/python benchmarks/spark.py --notes 100000 --kills 3   # by hand

Short made-up notes, each a DocumentReference. `fhir-coder spark` is killed (SIGKILL, with all its processes) at moments
spread over the run, and begun again. Every note has one Provenance: as many rows as notes, all of them distinct, mean
that none is lost and none is there twice. The encoder and the recogniser are switched off.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

PROBLEMS = ("HTN", "T2DM with CKD stage 3", "asthma", "COPD", "hypothyroidism", "atrial fibrillation", "gout", "anemia")
DRUGS = ("lisinopril 10 mg daily", "metformin 500 mg BID", "albuterol 2 puffs q4h prn", "levothyroxine 50 mcg daily")
FILES = 40


def make_history(folder: Path, notes: int) -> None:
    """Write `notes` DocumentReferences into NDJSON files."""
    pick = random.Random(8)  # noqa: S311 - nothing is to be kept secret
    folder.mkdir()
    files = [(folder / f"DocumentReference.{number:03}.ndjson").open("w") for number in range(FILES)]
    for number in range(notes):
        text = (
            f"HPI: {pick.randint(20, 90)} yo with {pick.choice(PROBLEMS)} and {pick.choice(PROBLEMS)}. Denies fever.\n"
            f"Meds: {pick.choice(DRUGS)}\nVitals: BP {pick.randint(90, 180)}/{pick.randint(50, 100)}\n"
        )
        attachment = {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}
        document = {
            "resourceType": "DocumentReference",
            "id": f"note-{number}",
            "status": "current",
            "subject": {"reference": f"Patient/{number % 997}"},
            "content": [{"attachment": attachment}],
        }
        files[number % FILES].write(json.dumps(document) + "\n")
    for file in files:
        file.close()


def commits(checkpoint: Path) -> int:
    """Return how many batches are done."""
    folder = checkpoint / "commits"
    return sum(path.name.isdigit() for path in folder.iterdir()) if folder.is_dir() else 0


def run(command: list[str], checkpoint: Path, kill_after: int | None) -> bool:
    """Run until the end, or kill it in the batch after the `kill_after`-th. Return whether it ended by itself."""
    environment = os.environ | {"FHIR_CODER_ENCODER": "none", "FHIR_CODER_RECOGNISER": "none"}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if kill_after is not None and commits(checkpoint) >= kill_after:
            time.sleep(random.uniform(0, 3))  # noqa: S311 - somewhere in the next batch
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return False
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"fhir-coder spark ended with status {process.returncode}")
    return True


def main() -> None:
    """Print how many rows and distinct rows there are, and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notes", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--batch-files", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_history(folder / "in", given.notes)
        out, checkpoint = folder / "out", folder / "checkpoint"
        command = [sys.executable, "-m", "fhir_coder", "spark", "--in", str(folder / "in"), "--out", str(out)]
        command += ["--checkpoint", str(checkpoint), "--master", given.master, "--partitions", str(given.partitions)]
        command += ["--batch-files", str(given.batch_files)]
        batches = -(-FILES // given.batch_files)
        start, kills = time.monotonic(), 0
        for number in range(given.kills):
            kills += not run(command, checkpoint, batches * (number + 1) // (given.kills + 2))
        run(command, checkpoint, None)
        seconds = time.monotonic() - start
        rows: Counter[tuple[str, str]] = Counter()
        for path in out.rglob("*.ndjson"):
            for line in path.read_text().splitlines():
                resource = json.loads(line)
                rows[resource.get("resourceType", "failure"), resource.get("id", line)] += 1
    kinds = Counter(kind for kind, _ in rows.elements())
    distinct = Counter(kind for kind, _ in rows)
    print(f"{given.notes} notes, {kills} kills, {seconds:.0f} s, {given.notes / seconds:.0f} notes/s")
    print(f"Provenance (one for each note): {kinds['Provenance']} rows, {distinct['Provenance']} distinct")
    print(f"all resources: {rows.total()} rows, {len(rows)} distinct; failures: {kinds['failure']}")
    whole = kinds["Provenance"] == distinct["Provenance"] == given.notes
    sys.exit(0 if whole and rows.total() == len(rows) and not kinds["failure"] and kills == given.kills else 1)


if __name__ == "__main__":
    main()
