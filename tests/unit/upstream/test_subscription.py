"""Subscriptions on the server: made once, changed, renewed, removed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from fhir_coder.errors import DeliveryError, SettingsError, TransientDeliveryError
from fhir_coder.settings import Settings
from fhir_coder.upstream.keeper import Keeper, wanted_by
from fhir_coder.upstream.subscription import Wanted, needs_renewal, remove, renew, subscribe, subscriptions_at
from tests.unit.upstream.fake_server import BASE, FakeServer, bundle, said

ENDPOINT = "http://coder.example.org/fhir/subscription"
TOPIC = "http://example.org/topic"
PLAIN = Wanted(endpoint=ENDPOINT, channel="rest-hook")
TOPICAL = Wanted(endpoint=ENDPOINT, channel="backport", topic=TOPIC)


def on(server: FakeServer) -> list[dict[str, Any]]:
    return [each for each in server.resources.values() if each["resourceType"] == "Subscription"]


@pytest.mark.parametrize("wanted", [PLAIN, TOPICAL, Wanted(endpoint=ENDPOINT, channel="rest-hook", secret="s" * 16)])
def test_it_is_made_once(wanted: Wanted) -> None:
    server = FakeServer()
    with server.upstream() as upstream:
        first = subscribe(upstream, wanted)
        assert subscribe(upstream, wanted) == first
    assert on(server) == [first]
    assert server.asked() == ["GET Subscription", "POST Subscription", "GET Subscription"]
    assert server.requests[1].headers["if-none-exist"].startswith("url=http%3A%2F%2Fcoder")


def test_what_a_plain_one_says() -> None:
    wanted = Wanted(endpoint=ENDPOINT, channel="rest-hook", payload="full-resource", secret="s" * 16, days=1)
    assert wanted.resource(datetime(2026, 3, 1, tzinfo=UTC)) == {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Coding of clinical notes (fhir-coder)",
        "criteria": "DocumentReference?status=current,superseded,entered-in-error",
        "end": "2026-03-02T00:00:00.000Z",
        "channel": {
            "type": "rest-hook",
            "endpoint": ENDPOINT,
            "payload": "application/fhir+json",
            "header": ["Authorization: Bearer ssssssssssssssss"],
        },
    }
    assert "payload" not in PLAIN.resource(datetime.now(UTC))["channel"]


def test_what_one_by_a_topic_says() -> None:
    said = Wanted(endpoint=ENDPOINT, channel="backport", topic=TOPIC, criteria="DocumentReference?patient=1")
    resource = said.resource(datetime.now(UTC))
    assert (resource["criteria"], resource["_criteria"]["extension"][0]["valueString"]) == (
        TOPIC,
        "DocumentReference?patient=1",
    )
    assert resource["channel"]["_payload"]["extension"][0]["valueCode"] == "id-only"


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(endpoint=ENDPOINT, channel="rest-hook", payload="id-only"),
        Wanted(endpoint=ENDPOINT, channel="backport"),
    ],
)
def test_what_cannot_be_said(wanted: Wanted) -> None:
    with pytest.raises(DeliveryError, match=r"payload|topic"), FakeServer().upstream() as upstream:
        subscribe(upstream, wanted)


def test_another_wish_changes_it() -> None:
    server = FakeServer()
    with server.upstream() as upstream:
        made = subscribe(upstream, PLAIN)
        on(server)[0]["meta"] = {"versionId": "5"}
        changed = subscribe(upstream, Wanted(endpoint=ENDPOINT, channel="rest-hook", criteria="DocumentReference?x=1"))
    assert (changed["id"], changed["criteria"]) == (made["id"], "DocumentReference?x=1")
    assert server.requests[-1].headers["if-match"] == 'W/"5"'


def test_the_payload_is_taken_away() -> None:
    server = FakeServer()
    with server.upstream() as upstream:
        subscribe(upstream, Wanted(endpoint=ENDPOINT, channel="rest-hook", payload="full-resource"))
        subscribe(upstream, PLAIN)
    assert "payload" not in on(server)[0]["channel"]


def test_a_failed_one_is_asked_for_anew() -> None:
    server = FakeServer()
    with server.upstream() as upstream:
        made = subscribe(upstream, PLAIN)
        made |= {"status": "error", "error": "no answer"}
        assert subscribe(upstream, PLAIN)["status"] == "requested"
    assert "error" not in on(server)[0]


@pytest.mark.parametrize(
    ("status", "days", "expected"),
    [
        ("active", None, False),
        ("active", 10, False),
        ("active", 0.5, True),
        ("active", -1, True),
        ("error", None, True),
        ("off", None, False),  # somebody switched it off
        ("off", -1, True),  # it has ended
        ("requested", None, False),
    ],
)
def test_needs_renewal(status: str, days: float | None, expected: bool) -> None:
    end = {} if days is None else {"end": (datetime.now(UTC) + timedelta(days=days)).isoformat()}
    assert needs_renewal({"status": status, **end}) is expected


def test_renewal_keeps_what_it_says() -> None:
    server = FakeServer()
    ours = {"resourceType": "Subscription", "id": "s1", "status": "error", "error": "x", "end": "2026-01-01T00:00:00Z"}
    with server.upstream() as upstream:
        server.add({**ours, "criteria": "DocumentReference?", "channel": {"endpoint": ENDPOINT}})
        renewed = renew(upstream, on(server)[0])
    assert (renewed["status"], renewed["criteria"], "error" in renewed) == ("requested", "DocumentReference?", False)
    assert not needs_renewal(renewed)


def test_only_ours_are_found_where_the_server_cannot_search() -> None:
    server = FakeServer()
    server.add({"resourceType": "Subscription", "id": "s1", "channel": {"endpoint": ENDPOINT + "/other"}})
    server.add({"resourceType": "Subscription", "id": "s2", "channel": {"endpoint": ENDPOINT}})
    server.add({"resourceType": "Subscription", "id": "s3"})
    server.answers = [lambda request: httpx2.Response(400) if "url=" in str(request.url) else None]
    with server.upstream() as upstream:
        (found,) = subscriptions_at(upstream, ENDPOINT)
        remove(upstream, found)
    assert {each["id"] for each in on(server)} == {"s1", "s3"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx2.Response(422, json={"resourceType": "OperationOutcome", "issue": [{"code": "invalid"}]}), "422"),
        (httpx2.Response(403), "403"),
        (httpx2.Response(302, headers={"location": "http://elsewhere.example.org"}), "redirects"),
    ],
)
def test_a_refusal_is_told(answer: httpx2.Response, error: str) -> None:
    server = FakeServer()
    server.answers = [lambda request: answer if request.method == "POST" else None]
    with server.upstream() as upstream, pytest.raises(DeliveryError, match=error) as caught:
        subscribe(upstream, PLAIN)
    assert not isinstance(caught.value, TransientDeliveryError)


def test_a_server_that_shows_nothing_back_is_asked() -> None:
    server = FakeServer()

    def minimal(request: httpx2.Request) -> httpx2.Response | None:
        if request.method != "POST":
            return None
        server.add(json.loads(request.content) | {"id": "s7"})
        return httpx2.Response(201)

    server.answers = [minimal]
    with server.upstream() as upstream:
        assert subscribe(upstream, PLAIN)["id"] == "s7"


def settings(**given: Any) -> Settings:
    usual = {"server": BASE, "subscribe": "rest-hook", "subscription_endpoint": ENDPOINT}
    return Settings.load(**{**usual, **given})


def test_what_the_settings_want() -> None:
    assert wanted_by(settings(subscribe="off")) is None
    assert wanted_by(settings()) == PLAIN
    topical = wanted_by(settings(subscribe="backport", subscription_topic=TOPIC, subscription_secret="s" * 16))
    assert topical == Wanted(endpoint=ENDPOINT, channel="backport", topic=TOPIC, secret="s" * 16)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"server": None}, "subscribe"),
        ({"subscription_endpoint": None}, "subscription_endpoint"),
        ({"subscribe": "backport"}, "subscription_topic"),
        ({"subscription_payload": "id-only"}, "subscription_payload"),
        ({"subscription_secret": "short"}, "subscription_secret"),
    ],
)
def test_settings_that_cannot_be_followed(given: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=f"setting {name}"):
        wanted_by(settings(**given))


def test_the_keeper_makes_renews_and_remakes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("fhir_coder.upstream.keeper.time.monotonic", lambda: now)
    server = FakeServer()
    with server.upstream() as upstream:
        keeper = Keeper(upstream, PLAIN)
        keeper.keep()
        (made,) = on(server)
        made["status"] = "error"
        keeper.keep()
        assert on(server)[0]["status"] == "error"  # not so soon
        now = 100.0
        keeper.keep()
        assert on(server)[0]["status"] == "requested"
        now = 200.0
        server.resources.clear()
        keeper.keep()
        assert len(on(server)) == 1
        now = 300.0
        on(server)[0]["status"] = "off"
        keeper.keep()
        assert on(server)[0]["status"] == "off"


def test_pages_of_subscriptions() -> None:
    server = FakeServer()
    ours = {"resourceType": "Subscription", "id": "s2", "channel": {"endpoint": ENDPOINT}}
    server.answers = [
        lambda request: said(bundle(ours) if "page" in str(request.url) else bundle(following=f"{BASE}?page=2"))
    ]
    with server.upstream() as upstream:
        assert subscriptions_at(upstream, ENDPOINT) == [ours]
