"""Sweeps: what they ask, what they believe, and what they remember."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from fhir_coder.delivery.database import open_database
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.upstream.notification import Named
from fhir_coder.upstream.progress import Progress
from fhir_coder.upstream.sweep import Sweep, begin, instant
from tests.unit.upstream.fake_server import BASE, FakeServer, bundle, document, parameters, said

SINCE = "2024-03-01T09:00:00.000+00:00"


class Swept:
    """A sweep over a server, and what it found."""

    def __init__(self, server: FakeServer, folder: Path, **options: int) -> None:
        self.server = server
        self.found: list[Named] = []
        self.upstream = server.upstream(**options)
        self.progress = Progress(open_database(folder), BASE)
        self.sweep = Sweep(self.upstream, self.progress, self._take)

    def _take(self, documents: Sequence[Named]) -> None:
        self.found += documents

    def ids(self) -> list[str]:
        return [each.id for each in self.found]


@pytest.fixture
def swept(tmp_path: Path) -> Swept:
    made = Swept(FakeServer(), tmp_path)
    begin(made.upstream, made.progress, SINCE)
    return made


def test_the_first_search_is_from_now_by_the_servers_clock(tmp_path: Path) -> None:
    made = Swept(FakeServer(), tmp_path)
    assert begin(made.upstream, made.progress) == "2024-03-01T10:00:00.000+00:00"
    made.sweep.run()
    assert parameters(made.server.requests[-1])["_lastUpdated"] == "ge2024-03-01T09:59:00.000Z"  # and a little before


def test_since_goes_before_what_was_searched(swept: Swept) -> None:
    assert begin(swept.upstream, swept.progress) == SINCE
    assert begin(swept.upstream, swept.progress, "2020-01-01T00:00:00.000+00:00").startswith("2020")


def test_pages_are_followed_and_the_time_is_remembered(swept: Swept) -> None:
    later = document("d2", updated="2024-03-01T12:00:00+01:00")
    pages = {"1": bundle(document("d1"), following=f"{BASE}?page=2"), "2": bundle(later, document("d3", "4"))}
    swept.server.answers = [lambda request: said(pages[parameters(request).get("page", "1")])]
    assert swept.sweep.run() == 3
    assert swept.found == [Named(id="d1", version="1"), Named(id="d2", version="1"), Named(id="d3", version="4")]
    assert swept.progress.searched_until() == "2024-03-01T11:00:00.000+00:00"


def test_a_document_from_the_future_hides_nothing(swept: Swept) -> None:
    swept.server.answers = [lambda _: said(bundle(document("d1"), document("d2", updated="2999-01-01T00:00:00Z")))]
    assert swept.sweep.run() == 2
    assert swept.progress.searched_until() == "2024-03-01T10:00:00.000+00:00"


def test_a_relative_next_page_is_followed(swept: Swept) -> None:
    pages = {"1": bundle(document("d1"), following="?page=2"), "2": bundle(document("d2"))}
    swept.server.answers = [lambda request: said(pages[parameters(request).get("page", "1")])]
    swept.sweep.run()
    assert swept.ids() == ["d1", "d2"]


@pytest.mark.parametrize(
    "url", ["http://evil.example.org/fhir?page=2", "http://fhir.example.org.evil.example/", "https://fhir.example.org/"]
)
def test_a_next_page_elsewhere_is_not_followed(swept: Swept, url: str) -> None:
    swept.server.answers = [lambda _: said(bundle(document("d1"), following=url))]
    with pytest.raises(DeliveryError, match="another server"):
        swept.sweep.run()
    assert len(swept.server.requests) == 1
    assert swept.progress.searched_until() == SINCE  # so it is searched again


def test_pages_without_an_end_are_left(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_coder.upstream.sweep._MOST_PAGES", 5)
    swept.server.answers = [lambda _: said(bundle(document("d1"), following=f"{BASE}?page=1"))]
    with pytest.raises(DeliveryError, match="pages"):
        swept.sweep.run()


def test_long_answers_are_asked_for_in_smaller_pages(tmp_path: Path) -> None:
    made = Swept(FakeServer(), tmp_path, max_bytes=2000)
    begin(made.upstream, made.progress, SINCE)
    made.server.answers = [
        lambda request: said(bundle(*(document(f"d{each}") for each in range(int(parameters(request)["_count"])))))
    ]
    assert made.sweep.run() == 6


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, html="<html>Maintenance</html>"),
        httpx2.Response(503),
        httpx2.Response(401),
        httpx2.Response(404),
        httpx2.Response(200, json={"resourceType": "OperationOutcome"}),
    ],
)
def test_a_server_that_cannot_tell_is_asked_again(swept: Swept, answer: httpx2.Response) -> None:
    swept.server.answers = [lambda _: answer]
    with pytest.raises(TransientDeliveryError):
        swept.sweep.run()
    assert swept.progress.searched_until() == SINCE


def test_odd_resources_are_passed_over(swept: Swept) -> None:
    odd = [{"resourceType": "DocumentReference"}, {"resourceType": "DocumentReference", "id": "d1", "meta": 7}, {}]
    outcome = {"resourceType": "OperationOutcome"}
    swept.server.answers = [lambda _: said(bundle(*odd, outcome))]
    assert swept.sweep.run() == 1
    assert swept.found == [Named(id="d1")]


def events(*numbers: int, total: int, status: str = "active", kind: str = "query-event") -> httpx2.Response:
    """Return the answer to $events."""
    happened = [{"eventNumber": str(each), "focus": {"reference": f"DocumentReference/d{each}"}} for each in numbers]
    status_ = {
        "resourceType": "SubscriptionStatus",
        "status": status,
        "type": kind,
        "eventsSinceSubscriptionStart": str(total),
        "notificationEvent": happened,
        "subscription": {"reference": "Subscription/s1"},
    }
    return said(bundle(status_, type="history"))


def test_lost_events_are_asked_for(swept: Swept) -> None:
    swept.progress.count("Subscription/s1", (1,), 1)
    swept.progress.count("Subscription/s1", (4,), 4)
    swept.server.answers = [lambda _: events(2, 3, 4, total=4)]
    assert swept.sweep.run() == 3
    assert swept.server.asked() == ["GET Subscription/s1/$events"]
    assert parameters(swept.server.requests[0])["eventsSinceNumber"] == "2"
    assert swept.ids() == ["d2", "d3", "d4"]
    assert not swept.progress.subscriptions()[0].has_gap


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(404),
        httpx2.Response(400),
        httpx2.Response(501),
        events(2, total=2, status="error"),
        events(2, total=2, kind="query-status"),
        events(2, total=3),  # it has only some of them
        said({"resourceType": "Bundle", "type": "searchset"}),
    ],
)
def test_without_events_all_documents_of_late_are_listed(swept: Swept, answer: httpx2.Response) -> None:
    swept.progress.count("Subscription/s1", (), 3)
    swept.server.add({"resourceType": "Subscription", "id": "s1"})
    swept.server.add(document("d9"))
    swept.server.answers = [lambda request: answer if "$events" in str(request.url) else None]
    swept.sweep.run()
    assert swept.ids()[-1] == "d9"
    assert not swept.progress.subscriptions()[0].has_gap


def test_a_subscription_that_was_removed_is_forgotten(swept: Swept) -> None:
    swept.progress.count("Subscription/s1", (), 3)
    swept.sweep.run()
    assert swept.progress.subscriptions() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01", "2024-03-01T00:00:00.000+00:00"),
        ("2024-03-01T08:00:00Z", "2024-03-01T08:00:00.000+00:00"),
        ("2024-03-01T08:00:00+02:00", "2024-03-01T06:00:00.000+00:00"),
    ],
)
def test_instant(text: str, expected: str) -> None:
    assert instant(text) == expected
