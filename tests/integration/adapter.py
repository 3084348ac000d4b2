"""The service as a process beside a FHIR server, what is between them, and the notes that are sent."""

from __future__ import annotations

import base64
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

# Names alone code these notes, and the service starts quicker.
ENVIRONMENT = {**os.environ, "FHIR_CODER_ENCODER": "none", "FHIR_CODER_RECOGNISER": "none"}
_READY = re.compile(r"ready: (http://\S+)")
_WAIT_SECONDS = 60


class Adapter:
    """A running service."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def inbox(self) -> dict[str, int]:
        """Return how many items are in each state."""
        counts: dict[str, int] = httpx2.get(f"{self.url}/health/ready", trust_env=False).json()["inbox"]
        return counts

    def count(self, metric: str) -> dict[str, float]:
        """Return the values of a metric by its labels."""
        lines = httpx2.get(f"{self.url}/metrics", trust_env=False).text.splitlines()
        found = (re.fullmatch(rf"{metric}(\{{(.*)\}})? ([\d.e+]+)", line) for line in lines)
        return {match[2] or "": float(match[3]) for match in found if match}


def prepared_data(folder: Path) -> Path:
    """Return a data folder with an inbox of its own and the concept store of this machine."""
    folder.mkdir()
    call = [sys.executable, "-m", "fhir_coder", "terminology", "prepare"]
    prepared = subprocess.run(call, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, check=True)
    terminology = Path(prepared.stdout.strip().replace("\n", ""))
    (folder / terminology.name).symlink_to(terminology)
    return folder


@contextmanager
def adapter(data: Path, server: str, port: int, **settings: object) -> Iterator[Adapter]:
    """Run the service."""
    command = [sys.executable, "-m", "fhir_coder", "serve", "--port", str(port), "--server", server]
    given = {"mllp": "off", "data_dir": data, **settings}
    env = ENVIRONMENT | {f"FHIR_CODER_{name.upper()}": str(value) for name, value in given.items()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            found = _READY.match(process.stdout.readline())
            assert found
            yield Adapter(process, found[1])
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


class Wire:
    """What is between a FHIR server and the service: it loses some of the notifications."""

    def __init__(self, target: str, *, lost: float, seed: int = 7) -> None:
        """`lost` is the share of notifications of documents that the server believes delivered and are not."""
        self.passed: list[tuple[str, str, bytes]] = []  # method, path, body
        self.dropped = 0
        self.statuses: Counter[int] = Counter()
        self.target = target
        self._lost = lost
        self._random = random.Random(seed)  # noqa: S311 - the same ones are lost each time
        self._lock = threading.Lock()
        self._client = httpx2.Client(trust_env=False, timeout=30)
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status = wire.carry(self.command, self.path, body, dict(self.headers))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_PUT(self) -> None:
                self.do_POST()

            def do_DELETE(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/fhir/subscription"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def carry(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        """Pass a request on, or lose it."""
        with self._lock:
            if b'"handshake"' not in body and self._random.random() < self._lost:
                self.dropped += 1
                return 200
        sent = {name: value for name, value in headers.items() if name.lower() in ("authorization", "content-type")}
        try:
            answer = self._client.request(method, self.target + path, content=body, headers=sent)
        except httpx2.TransportError:
            return 503
        with self._lock:
            self.passed.append((method, path, body))
            self.statuses[answer.status_code] += 1
        return answer.status_code

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._client.close()


def patient(identifier: str) -> dict[str, Any]:
    """Return a Patient."""
    return {"resourceType": "Patient", "id": identifier, "name": [{"family": "Test"}], "gender": "female"}


def document(identifier: str, text: str, subject: str, **elements: object) -> dict[str, Any]:
    """Return a DocumentReference of a note."""
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": identifier,
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}]},
        "subject": {"reference": subject},
        "date": "2026-03-01T09:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
        **elements,
    }


def wait_until(condition: Callable[[], bool], what: str, seconds: float = _WAIT_SECONDS) -> None:
    """Wait until something is so; fail when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)
