"""The endpoint of Subscriptions, and what becomes of the documents that are heard of."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from fhir_coder.delivery.coding import Coding
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.written import Ledger, Written
from fhir_coder.service.app import create_app
from fhir_coder.service.desk import Desk
from fhir_coder.service.document_intake import KIND, DocumentIntake
from fhir_coder.service.receiver import Receiver
from fhir_coder.service.subscriptions import Notified
from fhir_coder.settings import Settings
from fhir_coder.upstream.notification import Named
from fhir_coder.upstream.progress import Progress
from tests.unit.clock import Clock
from tests.unit.service.conftest import TinyCoder
from tests.unit.upstream.fake_server import BASE, FakeServer

SECRET = "a-secret-of-16-or-more"  # noqa: S105 - of this test alone
URL = "/fhir/subscription"


def note(identifier: str = "d1", text: str = "HTN", version: str = "1", **elements: Any) -> dict[str, Any]:
    """Return a DocumentReference."""
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": identifier,
        "meta": {"versionId": version},
        "status": "current",
        "subject": {"reference": "Patient/p1"},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
        **elements,
    }


class Service:
    """The endpoint, and a worker that is moved on by hand."""

    def __init__(self, folder: Path, **given: Any) -> None:
        settings = Settings(data_dir=folder, server=BASE, **given)
        self.engine = open_database(folder)
        self.server = FakeServer()
        self.coder = TinyCoder()
        self.inbox, self.outbox = Inbox(self.engine), Outbox(self.engine)
        self.desk = Desk(self.coder, settings, self.outbox)  # type: ignore[arg-type]
        self.progress = Progress(self.engine, BASE)
        self.intake = DocumentIntake(self.server.upstream(), self.engine, self.inbox, self.desk)
        self.searches = 0
        self.notified = Notified(self.intake, self.progress, self._search)
        receiver = Receiver(self.inbox, lambda: None, settings, self.desk.metrics)
        self.client = TestClient(create_app(self.desk, receiver, self.inbox, None, self.notified))
        self._coding = Coding(self.inbox, self.intake.code, lambda: None)

    def _search(self) -> None:
        self.searches += 1

    def work(self) -> dict[str, int]:
        """Deal with all that may be dealt with now, and return how many items are in each state."""
        while self._coding.step() is not None:
            pass
        return self.inbox.counts()

    def documents(self) -> dict[str, int]:
        """Return how many documents had each outcome."""
        return {
            sample.labels["outcome"]: int(sample.value)
            for metric in self.desk.metrics.documents.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }

    def close(self) -> None:
        self.client.close()
        self.inbox.close()
        self.outbox.close()
        self.desk.close()
        self.engine.dispose()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "stored", "searches"),
    [
        ("POST", "", None, 0, 1),
        ("POST", "", note(), 1, 0),
        ("PUT", "/DocumentReference/d1", note(), 1, 0),
        ("PUT", "/hook/7/DocumentReference/d1", note(), 1, 0),
        ("DELETE", "/DocumentReference/d1", None, 1, 0),
        ("POST", "", {"resourceType": "Patient", "id": "p1"}, 0, 0),
        ("PUT", "/Patient/p1", {"resourceType": "Patient", "id": "p1"}, 0, 0),
    ],
)
def test_what_is_taken(service: Service, method: str, path: str, body: Any, stored: int, searches: int) -> None:
    service.progress.set_searched("2026-03-01T10:00:00.000+00:00")
    answer = service.client.request(method, URL + path, json=body)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (service.inbox.counts()["waiting"], service.searches) == (stored, searches)


def test_a_body_of_another_kind(service: Service) -> None:
    assert service.client.post(URL, content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert (
        service.client.post(URL, content=b"<a/>", headers={"content-type": "application/fhir+xml"}).status_code == 415
    )
    assert service.client.post(URL, content=b"", headers={"content-type": "application/fhir+xml"}).status_code == 200


def test_the_first_notification_begins_the_sweep(service: Service) -> None:
    service.client.post(URL)
    assert service.progress.searched_until() is not None
    assert service.searches == 2  # to begin, and for what this one tells of


def test_what_cannot_be_stored_is_to_be_sent_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OperationalError("INSERT", {}, OSError("disk full"))

    monkeypatch.setattr(service.notified, "take", full)
    answer = service.client.post(URL, json=note())
    assert (answer.status_code, answer.json()["resourceType"]) == (503, "OperationOutcome")


def test_the_secret(tmp_path: Path) -> None:
    service = Service(tmp_path, subscription_secret=SECRET)
    statuses = [
        service.client.post(URL, headers={"Authorization": given} if given else {}).status_code
        for given in (None, "Bearer wrong", SECRET, f"Bearer {SECRET}x", f"Bearer {SECRET}")
    ]
    service.close()
    assert statuses == [401, 401, 401, 401, 200]


def test_without_a_server_there_is_nothing_to_read(serve: Any) -> None:
    answer = serve().client.post(URL, json=note())
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (422, "not-supported")


def topical(kind: str, *events: tuple[int, str | None], total: int) -> dict[str, Any]:
    """Return a notification of a topic."""
    happened = [
        {"eventNumber": number, **({"focus": {"reference": focus}} if focus else {})} for number, focus in events
    ]
    status = {
        "resourceType": "SubscriptionStatus",
        "type": kind,
        "subscription": {"reference": "Subscription/s1"},
        "eventsSinceSubscriptionStart": total,
        "notificationEvent": happened,
    }
    return {"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}


def test_gaps_have_the_server_searched(service: Service) -> None:
    service.progress.set_searched("2026-03-01T10:00:00.000+00:00")
    searches = []
    for body in (
        topical("handshake", total=0),
        topical("event-notification", (1, "DocumentReference/d1"), total=1),
        topical("heartbeat", total=1),
        topical("event-notification", (3, "DocumentReference/d3"), total=3),
        topical("event-notification", (4, "DocumentReference/d4"), total=4),
    ):
        assert service.client.post(URL, json=body).status_code == 200
        searches.append(service.searches)
    assert searches == [0, 0, 0, 1, 2]
    assert service.inbox.counts()["waiting"] == 3


def test_a_note_is_coded_once_however_often_it_is_heard_of(service: Service) -> None:
    service.server.add(note())
    for _ in range(2):
        service.client.put(f"{URL}/DocumentReference/d1", json=note())
    service.client.post(URL, json=topical("event-notification", (1, "DocumentReference/d1"), total=1))
    service.client.delete(f"{URL}/DocumentReference/d1")  # and yet it is there
    service.intake.found([Named(id="d1", version="1")])
    assert service.inbox.counts()["waiting"] == 4
    assert service.work() == {"waiting": 0, "coded": 4, "failed": 0}
    service.intake.found([Named(id="d1", version="1")])
    assert service.work()["coded"] == 4
    assert [text for text, _ in service.coder.calls] == ["HTN"]
    assert service.documents() == {"coded": 1, "known": 3}
    assert service.outbox.counts()["waiting"] == 1


def test_a_new_version_is_coded_unless_only_its_meta_changed(service: Service) -> None:
    for version, text in (("1", "HTN"), ("2", "HTN"), ("3", "No HTN")):
        service.server.add(note(text=text, version=version))
        service.intake.found([Named(id="d1", version=version)])
        service.work()
    assert [text for text, _ in service.coder.calls] == ["HTN", "No HTN"]


def test_what_is_read_counts_and_not_what_is_sent(service: Service) -> None:
    service.server.add(note(text="HTN", version="2"))
    service.client.post(URL, json=note(text="something else", version="1"))  # an old one, delivered late
    service.client.post(URL, json=note(text="something else", version="2"))
    service.work()
    assert [text for text, _ in service.coder.calls] == ["HTN"]


@pytest.mark.parametrize("status", [404, 410])
def test_a_document_that_never_was_is_set_aside_after_some_looks(service: Service, clock: Clock, status: int) -> None:
    service.server.answers = [lambda _: httpx2.Response(status)]
    service.client.post(URL, json=note())
    for _ in range(3):
        assert service.work()["waiting"] == 1  # it may not be shown yet
        clock.advance(60)
    assert service.work() == {"waiting": 0, "coded": 0, "failed": 1}
    service.server.answers = []
    service.server.add(note())
    service.intake.found([Named(id="d1", version="1")])  # it appears, and is found
    assert service.work() == {"waiting": 0, "coded": 1, "failed": 1}


def test_what_a_deleted_document_gave_is_taken_back(service: Service) -> None:
    service.server.add(note())
    service.client.post(URL, json=note())
    service.work()
    given = service.outbox.take()
    assert given
    service.server.resources.clear()
    service.client.delete(f"{URL}/DocumentReference/d1")
    assert service.work() == {"waiting": 0, "coded": 2, "failed": 0}
    service.outbox.sent(given)
    taken = service.outbox.take()
    assert taken
    assert taken.dispatch.retracts == (given.dispatch.document,) == (taken.dispatch.document,)
    assert service.documents() == {"coded": 1, "gone": 1}


def test_a_document_that_we_wrote_is_not_coded_again(service: Service) -> None:
    row = Written(
        identity="urn:uuid:1",
        document="x",
        type="DocumentReference",
        place="DocumentReference/d1",
        resource={},
        content="",
        version="1",
        revision=1,
        state="standing",
    )
    Ledger(service.engine).record(BASE, "x", [row])
    service.server.add(note())
    service.client.post(URL, json=note())
    service.work()
    assert (service.coder.calls, service.documents()) == ([], {"own": 1})


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (httpx2.Response(200, html="<html>Sign in</html>"), {"waiting": 1, "coded": 1, "failed": 0}),
        (httpx2.Response(503), {"waiting": 1, "coded": 1, "failed": 0}),
        (httpx2.Response(401), {"waiting": 1, "coded": 1, "failed": 0}),
        (httpx2.Response(403), {"waiting": 0, "coded": 1, "failed": 1}),
        (httpx2.Response(302), {"waiting": 0, "coded": 1, "failed": 1}),
        (httpx2.Response(200, json={"resourceType": "Patient"}), {"waiting": 0, "coded": 1, "failed": 1}),
        (httpx2.Response(200, json=note(content=[])), {"waiting": 0, "coded": 1, "failed": 1}),
        (httpx2.Response(200, json=note(subject=None)), {"waiting": 0, "coded": 1, "failed": 1}),
        (httpx2.Response(200, json=note(subject={"reference": "Group/1"})), {"waiting": 0, "coded": 1, "failed": 1}),
    ],
)
def test_each_ends_in_an_outcome_and_the_next_goes_on(
    service: Service, answer: httpx2.Response, counts: dict[str, int]
) -> None:
    service.server.answers = [lambda request: answer if str(request.url).endswith("/d1") else None]
    service.server.add(note("d2"))
    for identifier in ("d1", "d2"):
        service.client.post(URL, json=note(identifier))
    assert service.work() == counts


def test_one_that_was_refused_is_tried_again_when_it_is_changed_and_not_before(service: Service) -> None:
    service.server.add(note(content=[]))
    service.intake.found([Named(id="d1", version="1")])
    assert service.work()["failed"] == 1
    service.intake.found([Named(id="d1", version="1")])
    assert service.work()["failed"] == 1
    service.server.add(note(version="2"))
    service.intake.found([Named(id="d1", version="2")])
    assert service.work() == {"waiting": 0, "coded": 1, "failed": 1}


def test_a_bundle_of_ten_thousand_notes(service: Service) -> None:
    entries = [{"resource": note(f"d{number}")} for number in range(10_000)]
    body = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    assert service.client.post(URL, json=body).status_code == 200
    assert service.inbox.counts()["waiting"] == 10_000


def test_a_note_whose_attachment_lies_elsewhere_is_coded_in_each_version(service: Service) -> None:
    # What is behind the url may have changed though the document did not; the url itself is refused here.
    far = [{"attachment": {"contentType": "text/plain", "url": "https://files.example.org/1"}}, note()["content"][0]]
    for version in ("1", "2"):
        service.server.add(note(version=version, content=far))
        service.intake.found([Named(id="d1", version=version)])
        service.work()
    assert len(service.coder.calls) == 2


def test_items_hold_no_more_than_id_and_version(service: Service) -> None:
    service.client.post(URL, json=note(text="a secret text"))
    item = service.inbox.take()
    assert item
    assert (item.kind, json.loads(item.payload)) == (KIND, {"id": "d1", "version": "1"})
