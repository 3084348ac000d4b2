"""AuditEvents on a real FHIR server: one for each act, found by patient and resource, also after a retry or a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.fhir.audit_event import BALP, PROFILE
from fhir_coder.fhir.checks import check
from tests.integration.adapter import ENVIRONMENT, Adapter, adapter, document, patient, prepared_data, wait_until
from tests.integration.conftest import free_port

TEXT = "Assessment: hypertension. Metformin 500 mg BID."
NAME = "Canary-Testperson"


class Between:
    """What is between the service and the FHIR server: it passes everything on, and loses some of the answers."""

    def __init__(self, target: str) -> None:
        self.lose: dict[str, int] = {}  # what a transaction holds -> how many answers to such ones are lost
        self.refuse: dict[str, int] = {}  # -> the status that is answered in place of the server
        self.held = threading.Event()  # set when a transaction waits for `release`
        self.hold = ""
        self.release = threading.Event()
        self.requests: list[tuple[str, str, str]] = []  # method, path, X-Request-Id
        self._target = target.removesuffix("/fhir")
        self._client = httpx2.Client(trust_env=False, timeout=30)
        between = self

        class Handler(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, answer = between.answer(self.command, self.path, body, dict(self.headers))
                self.send_response(status)
                self.send_header("content-type", "application/fhir+json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = _pass_on  # noqa: N815 - as http.server names them

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/fhir"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Pass a request on, and return the answer, or that there was a fault."""
        named = {name.lower(): value for name, value in headers.items()}
        self.requests.append((method, path, named.get("x-request-id", "")))
        types = {each["resource"]["resourceType"] for each in json.loads(body)["entry"]} if method == "POST" else set()
        for kind, status in self.refuse.items():
            if kind in types:
                return status, b"{}"
        sent = {name: value for name, value in named.items() if name in ("content-type", "accept")}
        answer = self._client.request(method, self._target + path, content=body, headers=sent)
        if self.hold in types:
            self.held.set()
            self.release.wait(30)
        for kind, left in self.lose.items():
            if kind in types and left:
                self.lose[kind] -= 1
                return 500, b"{}"
        return answer.status_code, answer.content

    def close(self) -> None:
        """Stop."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._client.close()


@pytest.fixture
def between(fhir_server: Any) -> Iterator[Between]:
    """What loses answers, before a FHIR server with one patient and one of her notes."""
    with httpx2.Client(trust_env=False) as client:
        person = {**patient("p1"), "name": [{"family": NAME}]}
        for resource in (person, document("d1", TEXT, "Patient/p1")):
            url = f"{fhir_server.url}/{resource['resourceType']}/{resource['id']}"
            client.put(url, json=resource).raise_for_status()
    opened = Between(fhir_server.url)
    yield opened
    opened.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder."""
    return prepared_data(tmp_path / "data")


def notify(service: Adapter) -> None:
    """Tell the service of the note."""
    url = f"{service.url}/fhir/subscription/DocumentReference/d1"
    note = document("d1", TEXT, "Patient/p1")
    httpx2.put(url, json=note, trust_env=False, timeout=60).raise_for_status()


def acts(fhir_server: Any) -> Counter[str]:
    """Return the AuditEvents on the server by interaction; each keeps the rules that we check."""
    events = fhir_server.search("AuditEvent")
    for each in events:
        check({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each}]})
    assert all(PROFILE in each["meta"]["profile"] for each in events)
    said = json.dumps(events)
    assert NAME not in said
    assert "ypertension" not in said
    return Counter(each["subtype"][0]["code"] for each in events)


def outbox(service: Adapter) -> dict[str, float]:
    """Return how much is in the outbox, by state."""
    return service.count("fhir_coder_outbox_bundles")


def found(fhir_server: Any, **parameters: str) -> list[dict[str, Any]]:
    """Return the AuditEvents that a search finds."""
    answer = httpx2.get(f"{fhir_server.url}/AuditEvent", params=parameters, trust_env=False).raise_for_status().json()
    return [entry["resource"] for entry in answer.get("entry", ())]


def entities(event: dict[str, Any]) -> set[str]:
    """Return the references of an event."""
    return {each["what"]["reference"] for each in event["entity"] if "reference" in each.get("what", {})}


def test_a_notified_note_is_read_once_and_written_once(fhir_server: Any, between: Between, data: Path) -> None:
    with adapter(data, between.url, free_port(), audit="fhir") as service:
        notify(service)
        wait_until(lambda: acts(fhir_server) == {"read": 1, "create": 1}, "AuditEvents")
        assert service.count("fhir_coder_audit_events_total") == {'outcome="delivered"': 2}
        assert service.count("fhir_coder_deliveries_total") == {'outcome="delivered"': 1}
        assert outbox(service)['state="sent"'] == 3

    written = {
        f"{kind}/{each['id']}"
        for kind in ("Condition", "MedicationStatement", "Provenance")
        for each in fhir_server.search(kind)
    }
    read, created = sorted(found(fhir_server), key=lambda each: each["action"], reverse=True)
    assert read["meta"]["profile"] == [PROFILE, f"{BALP}PatientRead"]
    assert entities(read) == {"Patient/p1", "DocumentReference/d1"}
    assert created["meta"]["profile"] == [PROFILE, f"{BALP}PatientCreate"]
    assert entities(created) == {"Patient/p1", "DocumentReference/d1"} | written
    assert created["agent"][1]["network"] == {"address": between.url, "type": "5"}
    # Who looks for whom or what, finds it.
    assert len(found(fhir_server, entity="Patient/p1")) == 2
    assert len(found(fhir_server, entity="DocumentReference/d1")) == 2
    assert [each["action"] for each in found(fhir_server, entity=min(written))] == ["C"]
    # The server was sent the name under which its own log has the request.
    (request,) = {each["what"]["identifier"]["value"] for each in created["entity"] if "identifier" in each["what"]}
    assert {method for method, _, sent in between.requests if sent == request} == {"GET", "POST"}


@pytest.mark.parametrize("kind", ["Condition", "AuditEvent"])
def test_a_lost_answer_doubles_no_event(fhir_server: Any, between: Between, data: Path, kind: str) -> None:
    between.lose = {kind: 2}
    with adapter(data, between.url, free_port(), audit="fhir") as service:
        notify(service)
        wait_until(lambda: outbox(service).get('state="sent"') == 3, "all is sent")
    assert between.lose == {kind: 0}
    assert acts(fhir_server) == {"read": 1, "create": 1}


@pytest.mark.parametrize("kind", ["Condition", "AuditEvent"])
def test_a_kill_doubles_and_loses_no_event(fhir_server: Any, between: Between, data: Path, kind: str) -> None:
    """The server has written, and the service is killed before it hears so."""
    between.hold = kind
    with adapter(data, between.url, free_port(), audit="fhir") as service:
        notify(service)
        assert between.held.wait(60)
        service.process.kill()
        service.process.wait()
    between.hold = ""
    between.release.set()
    with adapter(data, between.url, free_port(), audit="fhir") as service:
        wait_until(lambda: outbox(service).get('state="sent"') == 3, "all is sent")
    assert acts(fhir_server) == {"read": 1, "create": 1}
    assert len(fhir_server.search("Condition")) == 1
    (created,) = (each for each in found(fhir_server) if each["action"] == "C")
    assert {each.partition("/")[0] for each in entities(created)} >= {"Condition", "MedicationStatement", "Provenance"}


@pytest.mark.parametrize(("status", "waiting"), [(422, 0), (503, 2)])
def test_a_server_that_takes_no_events_takes_the_notes(
    fhir_server: Any, between: Between, data: Path, status: int, waiting: int
) -> None:
    between.refuse = {"AuditEvent": status}
    with adapter(data, between.url, free_port(), audit="fhir") as service:
        notify(service)
        wait_until(lambda: len(fhir_server.search("Condition")) == 1, "the note")
        failed = 2 - waiting
        wait_until(lambda: outbox(service).get('state="failed"') == failed, "the events are refused")
        assert outbox(service)['state="waiting"'] == waiting
        answer = persisted(service, "Asthma.")  # another note of the patient
        assert answer.status_code == 200, answer.text
        command = [sys.executable, "-m", "fhir_coder", "queue", "status", "--format", "json"]
        env = ENVIRONMENT | {"FHIR_CODER_DATA_DIR": str(data)}
        said = json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)
        assert {each["kind"] for each in said["failed"]} <= {"audit"}
        between.refuse = {}
        if failed:
            subprocess.run([*command[:-3], "replay", "--all-failed"], env=env, check=True, capture_output=True)
        wait_until(lambda: is_sent(service, 6), "all is sent in the end")
    done = acts(fhir_server)
    # The sweep that follows the first notification may come late enough to look at the note that the call wrote.
    assert done.pop("read") in (1, 2)
    assert done == {"create": 2, "operation": 1}
    assert len(fhir_server.search("Condition")) == 2


def is_sent(service: Adapter, least: int) -> bool:
    """Whether so many dispatches are sent and none is left."""
    states = outbox(service)
    left = states.get('state="waiting"', 0) + states.get('state="failed"', 0)
    return states.get('state="sent"', 0) >= least and not left


def persisted(service: Adapter, text: str, **headers: str) -> httpx2.Response:
    """Have a text coded and written."""
    parameters = [
        {"name": "text", "valueString": text},
        {"name": "subject", "valueReference": {"reference": "Patient/p1"}},
        {"name": "persist", "valueBoolean": True},
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    return httpx2.post(f"{service.url}/fhir/$code-note", json=body, headers=headers, trust_env=False, timeout=60)


def test_who_calls_is_told_and_no_secret(fhir_server: Any, between: Between, data: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    command = [sys.executable, "-m", "fhir_coder", "keys", "add", "ward-7"]
    env = ENVIRONMENT | {"FHIR_CODER_API_KEYS": str(keys)}
    made = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    key = made.stdout.split()[-1]
    with adapter(data, between.url, free_port(), audit="fhir", api_keys=keys) as service:
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{service.url}/fhir/DocumentReference/d1/$code-note"
        read = httpx2.post(url, headers=headers, trust_env=False, timeout=60)
        assert read.status_code == 200, read.text
        later = httpx2.post(url, headers={**headers, "Prefer": "respond-async"}, trust_env=False, timeout=60)
        written = persisted(service, TEXT, **headers)
        assert written.status_code == 200, written.text
        wait_until(lambda: acts(fhir_server) == {"read": 2, "operation": 3, "create": 1}, "AuditEvents")
    events = found(fhir_server)
    assert key not in json.dumps(events)
    users = [each["agent"][2]["who"]["identifier"] for each in events if len(each["agent"]) > 2]
    assert users == [{"system": "http://fhir-coder.org/fhir/identifier/api-key", "value": "ward-7"}] * 5
    # The events of one call bear the name that the caller was told.
    by_request: dict[str, list[str]] = {}
    for each in events:
        (request,) = (
            one["what"]["identifier"]["value"] for one in each["entity"] if "identifier" in one.get("what", {})
        )
        by_request.setdefault(request, []).append(each["subtype"][0]["code"])
    assert {name: sorted(codes) for name, codes in by_request.items()} == {
        read.headers["x-request-id"]: ["operation", "read"],
        later.headers["x-request-id"]: ["operation", "read"],
        written.headers["x-request-id"]: ["create", "operation"],
    }


def test_by_default_there_are_none(fhir_server: Any, between: Between, data: Path) -> None:
    with adapter(data, between.url, free_port()) as service:
        notify(service)
        wait_until(lambda: len(fhir_server.search("Condition")) == 1, "the note")
        wait_until(lambda: outbox(service).get('state="sent"') == 1, "it is sent")
        assert outbox(service) == {'state="waiting"': 0, 'state="sent"': 1, 'state="failed"': 0}
    assert fhir_server.search("AuditEvent") == []


def test_the_command_line_tells_of_what_it_writes(
    fhir_server: Any, between: Between, data: Path, tmp_path: Path
) -> None:
    note = tmp_path / "visit.txt"
    note.write_text(TEXT, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "fhir_coder",
        "code",
        str(note),
        "--subject",
        "Patient/p1",
        "--server",
        between.url,
    ]
    env = ENVIRONMENT | {"FHIR_CODER_DATA_DIR": str(data), "FHIR_CODER_AUDIT": "fhir"}
    between.refuse = {"AuditEvent": 503}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "1 AuditEvents wait in the outbox" in done.stderr
    assert acts(fhir_server) == {}
    between.refuse = {}
    wait_until(lambda: not _rerun_waits(command, env), "the event of the first run is sent by a later one")
    assert acts(fhir_server) == {"create": 1}


def _rerun_waits(command: list[str], env: dict[str, str]) -> bool:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return "wait in the outbox" in done.stderr
