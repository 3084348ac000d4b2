"""`sekmet-fhir`, a FHIR server from PyPI with Subscriptions and bulk exports, in a virtual environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

_VERSION = "0.1.1"
_CACHE = Path(__file__).resolve().parents[2] / "build" / "peers" / f"sekmet-{_VERSION}"
_START_SECONDS = 60


class Sekmet:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx2.Client(trust_env=False, timeout=30)

    def put(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Write a resource under its id."""
        url = f"{self.url}/{resource['resourceType']}/{resource['id']}"
        answer = self.client.put(url, json=resource)
        assert answer.is_success, answer.text
        written: dict[str, Any] = answer.json()
        return written

    def search(self, kind: str, **parameters: str) -> list[dict[str, Any]]:
        """Return the resources of a type."""
        answer = self.client.get(f"{self.url}/{kind}", params={"_count": "1000", **parameters})
        assert answer.is_success, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def delete(self, kind: str, identifier: str) -> None:
        """Delete a resource."""
        assert self.client.delete(f"{self.url}/{kind}/{identifier}").is_success


def _installed() -> Path:
    """Return the program, installed where it is not yet; skip where the package cannot be had."""
    program = _CACHE / "bin" / "sekmet"
    if (_CACHE / "installed").is_file():
        return program
    subprocess.run([sys.executable, "-m", "venv", "--clear", _CACHE], check=True)
    call = [_CACHE / "bin" / "python", "-m", "pip", "install", "--quiet", f"sekmet-fhir=={_VERSION}"]
    if subprocess.run(call, capture_output=True).returncode:
        pytest.skip(f"sekmet-fhir {_VERSION} cannot be installed here (PyPI)")
    (_CACHE / "installed").touch()
    return program


@contextmanager
def sekmet(folder: Path, port: int, **settings: object) -> Iterator[Sekmet]:
    """Run the server; it keeps its data in `folder`. `settings` are its own."""
    program, url = _installed(), f"http://127.0.0.1:{port}"
    folder.mkdir()
    given = {
        "base_url": f"{url}/fhir",
        "data_dir": str(folder),
        "db_path": str(folder / "sekmet.db"),
        "own_private_key_path": str(folder / "key.pem"),
        "simulator": {"enabled": False, "delay_seconds": 0.0},
        **settings,
    }
    (folder / "settings.yaml").write_text(json.dumps(given), encoding="utf-8")  # JSON is YAML
    command = [program, "serve", "--config", folder / "settings.yaml", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ) as process,
    ):
        server = Sekmet(f"{url}/fhir")
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _answers(server):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"sekmet did not start:\n{(folder / 'log').read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield server
        finally:
            server.client.close()
            process.terminate()
            process.wait(timeout=10)


def _answers(server: Sekmet) -> bool:
    try:
        return server.client.get(f"{server.url}/metadata").is_success
    except httpx2.TransportError:
        return False


def document_topic() -> dict[str, Any]:
    """Return a topic of all documents, as sekmet reads topics: a Basic with the elements of R5 as extensions."""
    base = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic"
    trigger = [
        {"url": "description", "valueMarkdown": "A document was created or changed"},
        {"url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/DocumentReference"},
        {"url": "supportedInteraction", "valueCode": "create"},
        {"url": "supportedInteraction", "valueCode": "update"},
        {"url": "fhirPathCriteria", "valueString": "true"},
    ]
    return {
        "resourceType": "Basic",
        "id": "topic-documents",
        "modifierExtension": [{"url": f"{base}.status", "valueCode": "active"}],
        "extension": [
            {"url": f"{base}.url", "valueUri": TOPIC},
            {"url": f"{base}.title", "valueString": "Documents"},
            {"url": f"{base}.resourceTrigger", "extension": trigger},
        ],
        "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
    }


TOPIC = "http://example.org/SubscriptionTopic/documents"
