"""A disk that is really full, a poison note, SIGTERM under load: a clear state, and recovery without hands."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.service.mllp import END, START
from tests.integration.test_crash import crash
from tests.integration.test_serve import ENVIRONMENT, READY, data, send

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from receiving_server import ReceivingServer

__all__ = ["data"]  # the fixture: a data folder with a concept store

HL7 = {"Content-Type": "application/hl7-v2"}
DISK_MEGABYTES = 48
POISON = "HTN and DM, on lisinopril 10 mg daily. " * 6_000  # takes seconds to code


def message(number: int, text: str = "Assessment: HTN.") -> bytes:
    return (
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M{number}|P|2.5.1" + "\r"
        f"PID|1||{number % 7}^^^HOSP\rTXA|1|PR||||||||||D{number}\rOBX|1|TX|||{text}||||||F\r"
    ).encode()


class Running:
    """A service that runs."""

    def __init__(self, process: subprocess.Popen[str], http: str, mllp: int) -> None:
        self.process = process
        self.mllp = mllp
        self.http = httpx2.Client(base_url=http, trust_env=False, timeout=60)

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer of readiness."""
        answer = self.http.get("/health/ready")
        return answer.status_code, answer.json()

    def until(self, holds: Callable[[int, dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until readiness says so, and return it."""
        deadline = time.monotonic() + 120
        while True:
            status, told = self.ready()
            if holds(status, told):
                return told
            assert time.monotonic() < deadline, told
            time.sleep(0.2)

    def post(self, number: int) -> httpx2.Response:
        """Send a message over HTTP."""
        return self.http.post("/hl7v2", content=message(number), headers=HL7)


@contextmanager
def service(data: Path, server: ReceivingServer, **settings: object) -> Iterator[Running]:
    """A service that delivers to `server`; it must end by itself when it is told to."""
    command = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0", "--mllp-port", "0", "--server", server.url]
    given = {f"FHIR_CODER_{name.upper()}": str(value) for name, value in settings.items()}
    env = {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data), **given}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            found = READY.match(process.stdout.readline())
            assert found
            running = Running(process, found[1], int(found[2]))
            with running.http:
                yield running
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which a test can fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(call, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here; it takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leaving: int) -> Path:
    """Write a file that leaves so many bytes free, and return it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while (room := os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - leaving) > 0:
                file.write(bytes(min(room, 1_000_000)))
        except OSError:
            assert leaving == 0
    return ballast


def is_idle(status: int, told: dict[str, Any]) -> bool:
    return status == 200 and told["status"] == "ready" and not told["inbox"]["waiting"] + told["outbox"]["waiting"]


def test_below_the_bound_nothing_is_taken_in_until_there_is_space(data: Path, small_disk: Path) -> None:
    database = f"sqlite:///{small_disk}/delivery.sqlite"
    with (
        ReceivingServer() as server,
        service(data, server, database=database, queue_min_free_bytes=16_000_000) as running,
        socket.create_connection(("127.0.0.1", running.mllp), timeout=60) as sender,
    ):
        assert b"\rMSA|AA|M1" in send(running.mllp, message(1))
        ballast = fill(small_disk, leaving=8_000_000)
        told = running.until(lambda status, _: status == 503)
        assert told["checks"]["disk"]["status"] == "not ready"
        told = running.until(lambda _, told: told["checks"]["inbox"]["status"] == "not ready")
        assert "queue_min_free_bytes" in told["checks"]["inbox"]["detail"]
        refused = running.post(2)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        # One message was waited for when there still was room; what comes after it is not read.
        sender.sendall(START + message(3) + END)
        assert b"\rMSA|AA|M3" in sender.recv(4096)
        sender.sendall(START + message(4) + END)
        sender.settimeout(2)
        with pytest.raises(TimeoutError):
            sender.recv(4096)
        assert running.http.get("/health/live").status_code == 200

        ballast.unlink()
        sender.settimeout(60)
        assert b"\rMSA|AA|M4" in sender.recv(4096)
        assert running.post(2).status_code == 200
        told = running.until(is_idle)
        assert told["inbox"]["failed"] + told["outbox"]["failed"] == 0
    assert server.account.documents() == {f"D{number}": 1 for number in (1, 2, 3, 4)}


def test_a_disk_without_a_byte_left_is_said_to_be_and_recovers(data: Path, small_disk: Path) -> None:
    """No bound is set, so the disk itself refuses: nothing is acknowledged, and nothing that was is lost."""
    database = f"sqlite:///{small_disk}/delivery.sqlite"
    with (
        ReceivingServer() as server,
        service(data, server, database=database, queue_min_free_bytes=0) as running,
    ):
        server.away = True
        acknowledged = [number for number in range(20) if b"\rMSA|AA|" in send(running.mllp, message(number))]
        assert len(acknowledged) == 20
        ballast = fill(small_disk, leaving=0)
        told = running.until(lambda status, _: status == 503)
        assert told["checks"]["disk"]["status"] == "not ready"
        assert "ENOSPC" in told["checks"]["disk"]["detail"]
        # Some pages of the journal can be written over; with larger messages they are used up.
        for number in range(20, 400):
            answer = running.http.post("/hl7v2", content=message(number, "HTN. " * 5_000), headers=HL7)
            if answer.status_code != 200:
                break
            acknowledged.append(number)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["issue"][0]["code"] == "transient"
        with socket.create_connection(("127.0.0.1", running.mllp), timeout=60) as sender:
            sender.sendall(START + message(500, "HTN. " * 5_000) + END)
            assert sender.recv(4096) == b""  # closed without an answer: engines then send again
        assert running.http.get("/health/live").status_code == 200

        server.away = False
        ballast.unlink()
        acknowledged += [number for number in (500, 501) if b"\rMSA|AA|" in send(running.mllp, message(number))]
        told = running.until(is_idle)
        assert told["inbox"]["failed"] + told["outbox"]["failed"] == 0
    assert acknowledged[-2:] == [500, 501]
    documents = server.account.documents()
    assert set(documents.values()) == {1}
    assert set(documents) == {f"D{number}" for number in acknowledged}


def test_a_poison_note_takes_none_but_itself_down(data: Path) -> None:
    with ReceivingServer() as server:
        with service(data, server, coding_seconds=0.5) as running:
            assert b"\rMSA|AA|M0" in send(running.mllp, message(0))
            assert b"\rMSA|AA|M1" in send(running.mllp, message(1, POISON))
            for number in range(2, 12):
                assert b"\rMSA|AA|" in send(running.mllp, message(number))
            told = running.until(lambda _, told: told["inbox"]["failed"] == 1 and not told["inbox"]["waiting"])
            assert told["status"] == "ready"
            running.until(is_idle)
            assert server.account.documents() == {f"D{number}": 1 for number in range(12) if number != 1}
        env = {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data)}
        call = [sys.executable, "-m", "fhir_coder", "queue", "status", "--format", "json"]
        said = subprocess.run(call, capture_output=True, text=True, env=env, check=True).stdout
        assert "coding_seconds" in said
        call = [sys.executable, "-m", "fhir_coder", "queue", "replay", "--all-failed"]
        subprocess.run(call, capture_output=True, text=True, env=env, check=True)
        with service(data, server) as running:
            running.until(is_idle)
    assert server.account.documents() == {f"D{number}": 1 for number in range(12)}


def test_sigterm_under_load_ends_and_loses_nothing(data: Path) -> None:
    found = crash(data, "--rounds", "0")
    assert int(found["acknowledged"]) > 0
    expected = {"lost": "0", "duplicates": "0", "inversions": "0", "set_aside": "0", "drained": "True", "status": "0"}
    assert {name: found[name] for name in expected} == expected
