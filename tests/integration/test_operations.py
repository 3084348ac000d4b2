"""A real service under watch: its log, metrics, traces and temporary files tell what it does, and no word of a note."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_coder.service.mllp import END, START

CANARY = "Zebrafinch"
NOTE = f"{CANARY} has HTN and {CANARY}itis. MS stable. {CANARY} 10 mg daily."
READY = re.compile(r"ready: (http://\S+) mllp://127\.0\.0\.1:(\d+)")
MESSAGE = (
    r"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|{0}|P|2.5.1" + "\r"
    f"PID|1||{CANARY}^^^HOSP||{CANARY}^{CANARY}\rTXA|1|PR|||||||||||{CANARY}\rOBX|1|TX|||{NOTE}||||||F\r"
)
HTML = base64.b64encode(f"<p>{NOTE}</p>".encode()).decode()
DOCUMENT: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "id": CANARY,
    "status": "current",
    "subject": {"reference": f"Patient/{CANARY}"},
    "content": [{"attachment": {"contentType": "text/html", "data": HTML}}],
}


class Watched:
    """A service, and all that it says of itself."""

    def __init__(self, folder: Path, traces: list[bytes]) -> None:
        self.folder = folder
        self.traces = traces
        self.log = folder / "stderr"
        self.temporary = folder / "tmp"
        self.http = ""
        self.mllp = 0

    def events(self) -> list[dict[str, Any]]:
        """Return what it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def event(self, words: str) -> dict[str, Any]:
        """Return the event with these words, when it is there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for event in self.events():
                if words in event["event"]:
                    return event
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def send(self, content: bytes) -> bytes:
        """Send a message over MLLP and return the answer."""
        with socket.create_connection(("127.0.0.1", self.mllp), timeout=30) as connection:
            connection.sendall(START + content + END)
            received = b""
            while not received.endswith(END):
                received += connection.recv(4096)
            return received


@pytest.fixture
def watched(tmp_path: Path, httpserver: HTTPServer) -> Iterator[Watched]:
    pytest.importorskip("opentelemetry.sdk", reason="the extra [tracing] is not installed")
    traces: list[bytes] = []

    def collect(request: Request) -> Response:
        traces.append(request.get_data())
        return Response(b"", content_type="application/x-protobuf")

    httpserver.expect_request("/v1/traces", method="POST").respond_with_handler(collect)
    service = Watched(tmp_path, traces)
    service.temporary.mkdir()
    data = tmp_path / "data"
    data.mkdir()
    call = [sys.executable, "-m", "fhir_coder", "terminology", "prepare"]
    environment = os.environ | {"FHIR_CODER_ENCODER": "none", "FHIR_CODER_RECOGNISER": "none", "COLUMNS": "500"}
    prepared = subprocess.run(call, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    terminology = Path(prepared.stdout.strip())
    (data / terminology.name).symlink_to(terminology)
    environment |= {
        "FHIR_CODER_DATA_DIR": str(data),
        "FHIR_CODER_LOG_LEVEL": "debug",
        "TMPDIR": str(service.temporary),
        "OTEL_EXPORTER_OTLP_ENDPOINT": httpserver.url_for("").rstrip("/"),
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    command = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0", "--mllp-port", "0"]
    command += ["--out", str(tmp_path / "out")]
    with (
        service.log.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout is not None
            found = READY.match(process.stdout.readline())
            assert found, service.log.read_text()
            service.http, service.mllp = found[1], int(found[2])
            yield service
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def http(watched: Watched) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=watched.http, trust_env=False, timeout=60) as client:
        yield client


def test_all_is_told_but_the_notes(watched: Watched, http: httpx2.Client, tmp_path: Path) -> None:
    # In by every door, well and badly.
    assert b"\rMSA|AA" in watched.send(MESSAGE.format("1").encode())
    assert b"\rMSA|A" in watched.send(MESSAGE.format("2").replace("MDM^T02", f"{CANARY}^T02").encode())
    assert http.post("/hl7v2", content=MESSAGE.format("3"), headers={"Content-Type": "application/hl7-v2"}).is_success
    assert http.post("/v1/code", json={"text": NOTE}).is_success
    assert http.post("/fhir/$code-note", json=DOCUMENT).is_success
    assert http.post("/fhir/$code-note", json=DOCUMENT | {"date": CANARY}).is_client_error
    assert http.post("/fhir/$code-note", content=f"{{{CANARY}").is_client_error
    assert http.get("/v1/lookup", params={"system": "icd10cm", "text": CANARY}).is_success
    assert http.get(f"/{CANARY}", params={CANARY: CANARY}).is_client_error
    watched.event("outbox item 2 is delivered")

    # From the message to its delivery, under one name.
    assert watched.event("inbox item 1 is stored")["correlation"] == "inbox-1"
    assert watched.event("inbox item 1 is coded")["correlation"] == "inbox-1"
    assert watched.event("outbox item 1 is delivered")["correlation"] == "inbox-1"
    assert {"event", "level", "logger", "timestamp"} <= set(watched.events()[0])

    metrics = http.get("/metrics").text
    for told in (
        'fhir_coder_deliveries_total{outcome="delivered"} 2.0',
        'fhir_coder_entities_total{outcome="coded",type="disease"}',
        'fhir_coder_entities_total{outcome="ambiguous",type=',
        'fhir_coder_queue_oldest_seconds{queue="inbox"} 0.0',
        'fhir_coder_stage_seconds_count{stage="code"}',
    ):
        assert told in metrics, metrics
    ready = http.get("/health/ready").json()
    assert ready["status"] == "ready", ready

    deadline = time.monotonic() + 30
    spans = ("request", "item", "code", "read", "link", "choose", "bundle", "delivery", "deliver")
    while not all(f"fhir_coder.{name}".encode() in b"".join(watched.traces) for name in spans):
        assert time.monotonic() < deadline, spans
        time.sleep(0.1)

    said = [watched.log.read_text(), metrics, json.dumps(ready), b"".join(watched.traces).decode(errors="replace")]
    said += [path.read_bytes().decode(errors="replace") for path in watched.temporary.rglob("*") if path.is_file()]
    said += [str(path) for path in watched.temporary.rglob("*")]
    for text in said:
        assert CANARY.lower() not in text.lower()
    # The canary was there to be told.
    assert CANARY in (tmp_path / "out" / "Patient.ndjson").read_text()
