"""The demo: start the service as users do, send it two notes, show what it made of them, and stop it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any

import httpx2
import orjson
from rich.console import Console

from fhir_coder.errors import FhirCoderError
from fhir_coder.ingest.files import intakes_from_bytes
from fhir_coder.model import Assertion, Candidate, CodedNote, Coding, Entity, EntityType
from fhir_coder.prepare import prepare, terminology_root
from fhir_coder.report import table
from fhir_coder.service.mllp import END, START
from fhir_coder.settings import Settings

_READY = re.compile(r"ready: (http://\S+) mllp://(\S+):(\d+)")
_PATIENCE = 300.0  # seconds to wait for anything; a machine at its limits is slow, not broken
_MOST_WIDTH = 160


def run_demo(settings: Settings, out: Path) -> None:
    """Run the demo; the resources go into `out`. Running it again gives the same files.

    Raises `FhirCoderError` when a step does not succeed.
    """
    console = Console(width=None if sys.stdout.isatty() else _MOST_WIDTH)
    document, message = (_input(name) for name in ("document_reference.json", "mdm_t02.hl7"))
    prepare(settings)
    with TemporaryDirectory(prefix="fhir-coder-demo-") as data:
        # An inbox of its own, so that the demo is the same every time, and the releases that are there already.
        terminology = terminology_root(settings)
        (Path(data) / terminology.name).symlink_to(terminology.resolve())
        console.print("[bold]1. Starting the service[/bold] (HTTP and MLLP on free ports)")
        with (
            _service(Path(data), out) as (http, mllp),
            httpx2.Client(base_url=http, timeout=_PATIENCE, trust_env=False) as client,
        ):
            console.print(f"   {http} and mllp://{mllp[0]}:{mllp[1]}\n")
            console.print("[bold]2. A FHIR DocumentReference by $code-note[/bold]")
            bundle = _code_note(client, document)
            console.print(f"   answered with a transaction Bundle of {len(bundle['entry'])} entries")
            _show(console, client, document, settings)
            console.print("[bold]3. An HL7 v2 MDM^T02 over MLLP[/bold]")
            console.print(_send(mllp, message), markup=False, highlight=False)
            _wait_until_coded(client)
            _show(console, client, message, settings)
        console.print(f"[bold]4. The coded resources[/bold] in {out}")
        for file in sorted(out.glob("*.ndjson")):
            console.print(f"   {file.name}: {len(file.read_bytes().splitlines())}")
        console.print("[bold]5. The service has stopped[/bold]")


def _input(name: str) -> bytes:
    return files("fhir_coder.demo").joinpath(name).read_bytes()


@contextmanager
def _service(data: Path, out: Path) -> Iterator[tuple[str, tuple[str, int]]]:
    """The running service: its HTTP address and its MLLP address."""
    command = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0", "--mllp-port", "0", "--out", str(out)]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "FHIR_CODER_DATA_DIR": str(data)}
    )
    try:
        yield _addresses(process)
        process.send_signal(signal.SIGTERM)
        status = process.wait(_PATIENCE)
        if status != 0:
            raise FhirCoderError(f"the service ended with status {status}")
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _addresses(process: subprocess.Popen[str]) -> tuple[str, tuple[str, int]]:
    watchdog = Timer(_PATIENCE, process.kill)
    watchdog.start()
    try:
        for line in process.stdout or ():
            found = _READY.match(line)
            if found:
                return found[1], (found[2], int(found[3]))
    finally:
        watchdog.cancel()
    raise FhirCoderError(f"the service did not start (status {process.wait()}); its last words are above")


def _code_note(client: httpx2.Client, document: bytes) -> dict[str, Any]:
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "note", "resource": orjson.loads(document)},
            {"name": "persist", "valueBoolean": True},
        ],
    }
    return _answer(client.post("/fhir/DocumentReference/$code-note", json=parameters))


def _send(address: tuple[str, int], message: bytes) -> str:
    """Send a message in a frame and return its acknowledgement, a segment a line."""
    received = b""
    with socket.create_connection(address, timeout=_PATIENCE) as connection:
        connection.sendall(START + message.replace(b"\r\n", b"\r").replace(b"\n", b"\r") + END)
        while not received.endswith(END):
            chunk = connection.recv(4096)
            if not chunk:
                raise FhirCoderError("the service closed the MLLP connection without an acknowledgement")
            received += chunk
    segments = received.removeprefix(START).removesuffix(END).decode("utf-8").split("\r")
    return "\n".join(f"   {segment}" for segment in segments if segment)


def _wait_until_coded(client: httpx2.Client) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        ready = _answer(client.get("/health/ready"))
        if ready["inbox"]["failed"] or ready["outbox"]["failed"]:
            raise FhirCoderError("the message could not be coded; the service's log says why")
        if not ready["inbox"]["waiting"] and not ready["outbox"]["waiting"]:
            return
        time.sleep(0.1)
    raise FhirCoderError("the message was not coded in time")


def _show(console: Console, client: httpx2.Client, raw: bytes, settings: Settings) -> None:
    """Print the table of a note, out of the JSON that the service gives for its text."""
    for intake in intakes_from_bytes(raw, "demo", settings):
        if intake.note is None:
            raise intake.error or FhirCoderError("the demo's input cannot be read")
        answer = _answer(client.post("/v1/code", json={"text": intake.note.text}))
        console.print(table(CodedNote(note=intake.note, entities=tuple(map(_entity, answer["entities"])))))
        console.print()


def _entity(given: dict[str, Any]) -> Entity:
    return Entity(
        **given
        | {
            "type": EntityType(given["type"]),
            "assertion": Assertion(**given["assertion"]),
            "codings": tuple(Coding(**coding) for coding in given["codings"]),
            "candidates": tuple(Candidate(**candidate) for candidate in given["candidates"]),
        }
    )


def _answer(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code != httpx2.codes.OK:
        raise FhirCoderError(f"the service answered {response.status_code}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer
