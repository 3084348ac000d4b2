"""The service as a process: what it acknowledged survives being killed, and it stops when told to."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from fhir_coder.service.mllp import END, START

# Names alone code these notes, and the service starts quicker.
ENVIRONMENT = {**os.environ, "FHIR_CODER_ENCODER": "none", "FHIR_CODER_RECOGNISER": "none"}
READY = re.compile(r"ready: (http://\S+) mllp://127\.0\.0\.1:(\d+)")


def message(number: int, text: str = "Assessment: HTN.") -> bytes:
    return (
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M{number}|P|2.5.1" + "\r"
        f"PID|1||{number}^^^HOSP\rTXA|1|PR|||||||||||D{number}\rOBX|1|TX|||{text}||||||F\r"
    ).encode()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an inbox of its own and the concept store of this machine."""
    folder = tmp_path / "data"
    folder.mkdir()
    call = [sys.executable, "-m", "fhir_coder", "terminology", "prepare"]
    prepared = subprocess.run(call, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, check=True)
    terminology = Path(prepared.stdout.strip().replace("\n", ""))
    (folder / terminology.name).symlink_to(terminology)
    return folder


@contextmanager
def service(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    command = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0", "--mllp-port", "0", *options]
    env = {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            found = READY.match(process.stdout.readline())
            assert found
            yield process, found[1], int(found[2])
        finally:
            process.kill()


def send(port: int, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(START + content + END)
        received = b""
        while not received.endswith(END):
            received += connection.recv(4096)
        return received


def _waiting(http: str) -> int:
    ready = httpx2.get(f"{http}/health/ready").json()
    return int(ready["inbox"]["waiting"] + ready["outbox"]["waiting"])


def test_what_was_acknowledged_survives_a_kill(data: Path, tmp_path: Path) -> None:
    # Without a place to deliver to, messages wait; the kill finds all of them in the inbox.
    with service(data) as (process, _, port):
        for number in range(3):
            assert f"\rMSA|AA|M{number}".encode() in send(port, message(number))
        process.kill()
    out = tmp_path / "out"
    with service(data, "--out", str(out)) as (process, http, port):
        assert b"\rMSA|AA|M0" in send(port, message(0))  # sent again, and not coded twice
        deadline = time.monotonic() + 60
        while _waiting(http) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert httpx2.get(f"{http}/health/ready").json()["inbox"] == {"waiting": 0, "coded": 3, "failed": 0}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    for name in ("Patient", "DocumentReference", "Condition", "Provenance"):
        assert len((out / f"{name}.ndjson").read_text().splitlines()) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_with_connections_open(data: Path, number: signal.Signals) -> None:
    with service(data) as (process, http, port), socket.create_connection(("127.0.0.1", port), timeout=30) as sender:
        sender.sendall(START + b"half a message")
        assert httpx2.get(f"{http}/health/live").status_code == 200
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 0
        assert time.monotonic() - start < 10


def test_a_port_that_is_taken_is_named(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "fhir_coder", "serve", "--port", str(taken.getsockname()[1])]
        env = {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data)}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 2
    assert "setting port" in done.stderr
    assert "Traceback" not in done.stderr
