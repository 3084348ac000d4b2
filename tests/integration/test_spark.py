"""Bulk history on a real Spark: killed in the middle and begun again, nothing is lost and nothing is there twice."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FhirServer

TEXTS = ("Pt has HTN.", "T2DM with CKD stage 3.", "Denies chest pain. Lisinopril 10 mg daily.", "BP 148/92. A1c 8.2%.")
FILES, LINES = 3, 8
START_SECONDS = 300

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="the extra [spark] is not installed"),
    pytest.mark.skipif(shutil.which("java") is None, reason="java, which Spark runs on, is not installed"),
]


def document(number: int, text: str) -> str:
    attachment = {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}
    return json.dumps(
        {
            "resourceType": "DocumentReference",
            "id": f"note-{number}",
            "status": "current",
            "subject": {"reference": f"Patient/{number % 5}"},
            "content": [{"attachment": attachment}],
        }
    )


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Files of notes; one note is in all of them, and one line of the last is no JSON."""
    folder = tmp_path / "history"
    folder.mkdir()
    for file in range(FILES):
        numbers = [file * LINES + line for line in range(LINES)] + [0]
        lines = [document(number, f"{TEXTS[number % len(TEXTS)]} Visit {number}.") for number in numbers]
        lines += ["not JSON"] if file == FILES - 1 else []
        path = folder / f"DocumentReference.{file}.ndjson"
        path.write_text("\n".join(lines) + "\n")
        os.utime(path, (file, file))  # Spark takes the oldest file first
    return folder


def start(*arguments: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"FHIR_CODER_ENCODER": "none", "FHIR_CODER_RECOGNISER": "none"}
    command = [sys.executable, "-m", "fhir_coder", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, complaints = process.communicate(timeout=START_SECONDS)
    return process.returncode, complaints.decode()


def rows(folder: Path) -> Counter[tuple[str, str]]:
    """Return how often each resource (type, id) is in the NDJSON files of a folder."""
    found: Counter[tuple[str, str]] = Counter()
    for path in folder.rglob("*.ndjson"):
        for line in path.read_text().splitlines():
            resource: dict[str, Any] = json.loads(line)
            found[resource.get("resourceType", "failure"), resource.get("id", line)] += 1
    return found


def test_killed_and_begun_again(history: Path, tmp_path: Path) -> None:
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint"
    command = ("spark", "--in", history, "--out", out, "--checkpoint", checkpoint, "--master", "local[2]")
    process = start(*command, "--batch-files", 1)
    deadline = time.monotonic() + START_SECONDS
    while not (checkpoint / "commits" / "0").exists():  # one batch is done, the next one is under way
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (checkpoint / "commits" / str(FILES - 1)).exists()
    # What the killed run left lying about, shuffled rows among it, is nothing that could be read.
    assert (checkpoint / "local").stat().st_mode & 0o777 == 0o700
    left = b"".join(path.read_bytes() for path in checkpoint.rglob("*") if path.is_file())
    assert b"DocumentReference/" not in left
    assert b"contentType" not in left

    status, complaints = finished(start(*command, "--batch-files", 1))
    assert status == 1, complaints  # the line that is no JSON
    assert "not JSON" not in complaints
    found = rows(out)
    assert set(found.values()) == {1}
    assert sum(kind == "failure" for kind, _ in found) == 1

    # The same resources, with the same ids, as the command that knows nothing of Spark.
    assert finished(start("code", history, "--format", "none", "--out", tmp_path / "plain"))[0] == 1
    assert {row for row in found if row[0] != "failure"} == set(rows(tmp_path / "plain"))

    # Nothing new: nothing is done.
    status, complaints = finished(start(*command))
    assert status == 0
    assert "0 inputs" in complaints


def test_to_a_server(history: Path, tmp_path: Path, fhir_server: FhirServer) -> None:
    checkpoint = tmp_path / "checkpoint"
    command = ("spark", "--in", history, "--server", fhir_server.url, "--checkpoint", checkpoint)
    status, complaints = finished(start(*command, "--master", "local[1]", "--partitions", 1))
    assert status == 1, complaints
    assert len(fhir_server.search("Provenance")) == FILES * LINES
    assert set(rows(checkpoint / "failed").values()) == {1}


def test_a_server_that_is_away_stops_the_run(history: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    command = ("spark", "--in", history, "--server", "http://127.0.0.1:9/fhir", "--checkpoint", checkpoint)
    status, complaints = finished(start(*command, "--master", "local[1]", "--partitions", 1))
    assert status == 1
    assert "the FHIR server cannot be reached" in complaints
    assert "run the command again" in complaints
    assert not (checkpoint / "commits" / "0").exists()
