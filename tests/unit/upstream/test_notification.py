"""Notifications in all their forms, by the guide and as servers send them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_coder.errors import InputError
from fhir_coder.settings import Settings
from fhir_coder.upstream.notification import Named, Notification, read_notification

SETTINGS = Settings()
DOCUMENT = {"resourceType": "DocumentReference", "id": "d1", "meta": {"versionId": "3"}}
PATIENT = {"resourceType": "Patient", "id": "p1"}


def read(method: str, path: str, body: Any = None) -> Notification:
    """Read a notification."""
    return read_notification(method, path, b"" if body is None else json.dumps(body).encode(), SETTINGS)


@pytest.mark.parametrize(
    ("method", "path", "body", "documents", "others", "is_vague"),
    [
        ("POST", "", None, (), 0, True),
        ("POST", "", DOCUMENT, (Named(id="d1", version="3"),), 0, False),
        ("POST", "", {"resourceType": "DocumentReference"}, (), 0, True),
        ("POST", "", {"resourceType": "DocumentReference", "id": "../x"}, (), 0, True),
        ("POST", "", PATIENT, (), 1, False),
        ("PUT", "DocumentReference/d1", DOCUMENT, (Named(id="d1", version="3"),), 0, False),
        ("PUT", "any/thing/DocumentReference/d1", DOCUMENT, (Named(id="d1", version="3"),), 0, False),
        ("PUT", "DocumentReference/d1", None, (Named(id="d1"),), 0, False),
        ("PUT", "DocumentReference/d2", DOCUMENT, (Named(id="d2"),), 0, False),  # the path says which one
        ("PUT", "Patient/p1", PATIENT, (), 1, False),
        ("DELETE", "DocumentReference/d1", None, (Named(id="d1"),), 0, False),
        (
            "POST",
            "",
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": DOCUMENT}, {"resource": PATIENT}]},
            (Named(id="d1", version="3"),),
            1,
            False,
        ),
    ],
)
def test_rest_hook(
    method: str, path: str, body: Any, documents: tuple[Named, ...], others: int, is_vague: bool
) -> None:
    said = read(method, path, body)
    assert (said.documents, said.others, said.is_vague) == (documents, others, is_vague)
    assert said.subscription is None


def parameters(kind: str, *events: dict[str, Any], dashes: bool = True, since: Any = "4") -> dict[str, Any]:
    """Return a notification of R4: a history Bundle with Parameters."""

    def name(words: str) -> str:
        head, *rest = words.split("-")
        return words if dashes else head + "".join(each.capitalize() for each in rest)

    said: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": "http://fhir.example.org/fhir/Subscription/s1"}},
        {"name": "topic", "valueCanonical": "http://example.org/topic"},
        {"name": "status", "valueCode": "active"},
        {"name": "type", "valueCode": kind},
        {"name": name("events-since-subscription-start"), "valueString": since},
    ]
    for event in events:
        parts = [{"name": name("event-number"), "valueString": event["number"]}]
        if "focus" in event:
            parts.append({"name": "focus", "valueReference": {"reference": event["focus"]}})
        said.append({"name": name("notification-event"), "part": parts})
    return bundle({"resourceType": "Parameters", "parameter": said})


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    """Return a history Bundle."""
    return {"resourceType": "Bundle", "type": "history", "entry": [{"resource": each} for each in resources]}


@pytest.mark.parametrize("dashes", [True, False])
@pytest.mark.parametrize("kind", ["handshake", "heartbeat"])
def test_topic_without_events(kind: str, dashes: bool) -> None:
    said = read("POST", "", parameters(kind, dashes=dashes))
    assert (said.kind, said.subscription, said.status, said.events) == (kind, "Subscription/s1", "active", 4)
    assert (said.documents, said.numbers, said.is_vague) == ((), (), False)


def test_topic_with_ids() -> None:
    events = (
        {"number": "3", "focus": "http://fhir.example.org/fhir/DocumentReference/d1"},
        {"number": "4", "focus": "DocumentReference/d2/_history/7"},
        {"number": "5", "focus": "Patient/p1"},
    )
    said = read("POST", "", parameters("event-notification", *events, since="5"))
    assert said.documents == (Named(id="d1", event=3), Named(id="d2", version="7", event=4))
    assert (said.numbers, said.events, said.others, said.is_vague) == ((3, 4, 5), 5, 1, False)


def test_topic_with_resources_gives_their_versions() -> None:
    body = parameters("event-notification", {"number": "1", "focus": "DocumentReference/d1"})
    body["entry"].append({"resource": DOCUMENT})
    assert read("POST", "", body).documents == (Named(id="d1", version="3", event=1),)


def test_topic_with_nothing_is_vague() -> None:
    said = read("POST", "", parameters("event-notification", {"number": "1"}))
    assert (said.documents, said.numbers, said.is_vague) == ((), (1,), True)


def test_r4b_status() -> None:
    status = {
        "resourceType": "SubscriptionStatus",
        "status": "active",
        "type": "event-notification",
        "eventsSinceSubscriptionStart": 2,
        "notificationEvent": [{"eventNumber": 2, "focus": {"reference": "DocumentReference/d1"}}],
        "subscription": {"reference": "Subscription/s1"},
    }
    said = read("POST", "", bundle(status))
    assert said.documents == (Named(id="d1", event=2),)
    assert (said.numbers, said.events, said.subscription) == ((2,), 2, "Subscription/s1")


@pytest.mark.parametrize(
    "body",
    [
        parameters("surprise"),
        bundle({"resourceType": "Parameters"}),
        bundle({"resourceType": "SubscriptionStatus", "type": 7}),
    ],
)
def test_a_topic_notification_of_no_type_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="type"):
        read("POST", "", body)


@pytest.mark.parametrize("raw", [b"<html>", b"[1]", b'"text"', b"{"])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError):
        read_notification("POST", "", raw, SETTINGS)


@pytest.mark.parametrize(
    "entries",
    [None, 7, [7], [{"resource": 7}], [{"resource": {"resourceType": "DocumentReference", "id": 7, "meta": 7}}]],
)
def test_odd_bundles_do_no_harm(entries: Any) -> None:
    said = read("POST", "", {"resourceType": "Bundle", "type": "history", "entry": entries})
    assert said.documents == ()


@pytest.mark.parametrize("number", [True, -1, "x", "9" * 40, None, 1.5])
def test_odd_numbers_are_none(number: Any) -> None:
    event = {"number": number, "focus": "DocumentReference/d1"}
    assert read("POST", "", parameters("event-notification", event, since=number)).numbers == ()
