"""Notes that arrive by Subscription of `sekmet-fhir`, with a fifth of its notifications lost on the way."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.upstream.rest import Upstream
from fhir_coder.upstream.subscription import Wanted, remove, subscribe
from tests.integration.adapter import ENVIRONMENT, Adapter, Wire, adapter, document, patient, prepared_data, wait_until
from tests.integration.conftest import free_port
from tests.integration.sekmet import TOPIC, Sekmet, document_topic, sekmet

NOTES = 20
SECRET = "a-secret-of-the-subscription"  # noqa: S105 - of this test alone
WAYS: dict[str, dict[str, Any]] = {
    "rest-hook, no payload": {"channel": "rest-hook"},
    "rest-hook, resources": {"channel": "rest-hook", "payload": "full-resource"},  # sekmet sends them by PUT
    "topic, empty": {"channel": "backport", "topic": TOPIC, "payload": "empty"},
    "topic, ids": {"channel": "backport", "topic": TOPIC},
    "topic, resources": {"channel": "backport", "topic": TOPIC, "payload": "full-resource"},
}


@dataclass(frozen=True)
class Running:
    """A FHIR server, the service, and what is between them."""

    server: Sekmet
    service: Adapter
    wire: Wire


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Both, for all ways; every fifth notification is lost."""
    folder = tmp_path_factory.mktemp("sekmet")
    port = free_port()
    wire = Wire(f"http://127.0.0.1:{port}", lost=0.2)
    data = prepared_data(folder / "data")
    settings = {"subscription_secret": SECRET, "sweep_seconds": 1}
    with (
        sekmet(folder / "server", free_port()) as server,
        adapter(data, server.url, port, **settings) as service,
    ):
        server.put(document_topic())
        yield Running(server, service, wire)
    wire.close()


def coded(server: Sekmet) -> Counter[str]:
    """Return how often each document was coded: by the Conditions with evidence of it."""
    conditions = server.search("Condition")
    return Counter(each["evidence"][0]["detail"][0]["reference"] for each in conditions)


def is_active(server: Sekmet, identifier: str) -> bool:
    """Whether a Subscription is active."""
    return any((each["id"], each["status"]) == (identifier, "active") for each in server.search("Subscription"))


@pytest.mark.parametrize(("number", "way"), list(enumerate(WAYS)), ids=WAYS)
def test_every_note_is_coded_once(number: int, way: str, running: Running) -> None:
    server, service, wire = running.server, running.service, running.wire
    before = wire.dropped
    wanted = Wanted(endpoint=f"{wire.url}/way-{number}", secret=SECRET, **WAYS[way])
    with Upstream(server.url) as upstream:
        identifier = subscribe(upstream, wanted)["id"]
        wait_until(lambda: is_active(server, identifier), "the Subscription is active")
        expected = {f"DocumentReference/w{number}-{each}" for each in range(NOTES)}
        for each in range(NOTES):
            server.put(patient(f"w{number}-{each}"))
            server.put(document(f"w{number}-{each}", "Assessment: HTN.", f"Patient/w{number}-{each}"))
        wait_until(lambda: expected <= coded(server).keys(), "all notes are coded")
        wait_until(lambda: service.inbox()["waiting"] == 0, "the inbox is empty")
        assert {coded(server)[each] for each in expected} == {1}
        assert len(server.search("Provenance")) == service.count("fhir_coder_notes_total")[""] == len(coded(server))
        assert wire.dropped > before
        assert set(wire.statuses) == {200}
        remove(upstream, {"id": identifier})


def test_a_note_that_came_by_hl7v2_is_not_coded_again(running: Running) -> None:
    server, service = running.server, running.service
    message = (
        r"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M1|P|2.5.1"
        "\rPID|1||9^^^HOSP||Roe^Ann|||F\rTXA|1|PR|||||||||||D1\rOBX|1|TX|||Assessment: HTN.||||||F\r"
    )
    before = len(coded(server))
    with Upstream(server.url) as upstream:
        wanted = Wanted(endpoint=f"{service.url}/fhir/subscription", secret=SECRET, channel="rest-hook")
        identifier = subscribe(upstream, wanted)["id"]
        wait_until(lambda: is_active(server, identifier), "the Subscription is active")
        answer = httpx2.post(
            f"{service.url}/hl7v2", content=message, headers={"content-type": "application/hl7-v2"}, trust_env=False
        )
        assert "MSA|AA" in answer.text
        own = 'outcome="own"'
        wait_until(lambda: service.count("fhir_coder_documents_total").get(own, 0) >= 1, "it is notified")
        wait_until(lambda: service.inbox()["waiting"] == 0, "the inbox is empty")
        assert len(coded(server)) == before + 1
        assert set(coded(server).values()) == {1}
        remove(upstream, {"id": identifier})


def test_notifications_without_the_secret_are_refused(running: Running) -> None:
    url = f"{running.service.url}/fhir/subscription"
    assert httpx2.post(url, trust_env=False).status_code == 401
    assert httpx2.post(url, trust_env=False, headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_the_command_makes_shows_renews_and_removes(running: Running, tmp_path: Path) -> None:
    server, endpoint = running.server, f"{running.wire.url}/command"

    def command(*options: str) -> tuple[int, str]:
        call = [sys.executable, "-m", "fhir_coder", "subscribe", "--server", server.url, "--endpoint", endpoint]
        env = ENVIRONMENT | {"FHIR_CODER_DATA_DIR": str(tmp_path), "COLUMNS": "300"}
        done = subprocess.run([*call, *options], capture_output=True, text=True, env=env)
        return done.returncode, done.stdout + done.stderr

    def ours() -> list[dict[str, Any]]:
        return [each for each in server.search("Subscription") if each["channel"]["endpoint"] == endpoint]

    assert command("--show")[0] == 1
    assert command()[0] == 0
    assert command()[0] == 0  # it is there
    (made,) = ours()
    status, shown = command("--show")
    assert (status, made["id"] in shown, "active" in shown) == (0, True, True)

    server.put({**made, "status": "off"})
    assert command("--renew", "--days", "7")[0] == 0
    (renewed,) = ours()
    assert (renewed["id"], renewed["status"], "end" in renewed) == (made["id"], "active", True)

    status, refused = command("--channel", "backport", "--topic", "http://example.org/none")
    assert (status, "error" in refused) == (0, True)
    assert command("--remove") == (0, "fhir-coder: 1 removed\n")
    assert ours() == []
