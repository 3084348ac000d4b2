"""What a Subscription's notification says: which documents are to be looked at, and which events were counted.

Its content is taken for a hint and never for the truth: it may be old (a delivery that was tried again arrives after a
newer one), and whoever knows the endpoint can send one. What is said there is asked of the server.

Sources: https://hl7.org/fhir/R4/subscription.html (rest-hook), https://hl7.org/fhir/uv/subscriptions-backport/
(notifications as a Bundle of type history, whose first entry is Parameters in R4 and SubscriptionStatus in R4B).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fhir_coder.errors import InputError
from fhir_coder.ingest.json_input import parse_json
from fhir_coder.settings import Settings
from fhir_coder.upstream.rest import entries, is_id

Kind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event", "resource", "empty"]
Json = Mapping[str, Any]

DOCUMENT = "DocumentReference"

_TOPIC_KINDS = frozenset(get_args(Kind)) - {"resource", "empty"}
_BUNDLES = frozenset({"history", "subscription-notification"})  # R4 and R4B; R5
_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?$")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A document that a notification names."""

    id: str
    version: str | None = None  # of the document as it was notified, where that is said
    event: int | None = None  # the number of the event that it belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification, read."""

    kind: Kind
    documents: tuple[Named, ...] = ()
    others: int = 0  # resources of other types, which are no notes
    # Something happened and it is not said to which document: only a search can tell.
    is_vague: bool = False
    subscription: str | None = None  # "Subscription/7", of a topic notification
    status: str | None = None  # of that Subscription
    numbers: tuple[int, ...] = ()  # of the events that this notification tells of
    events: int | None = None  # how many there were since the Subscription began


def read_notification(method: str, path: str, raw: bytes, settings: Settings) -> Notification:
    """Return what a request to the endpoint says; `path` is what follows the endpoint's own.

    Raises `InputError` when the body is no JSON object, or a notification of a topic says nothing of its events.
    """
    place = _REFERENCE.search(path.strip("/"))
    body = parse_json(raw, settings) if raw.strip() else {}
    if place is not None:
        return _of_place(place[1], place[2], body)
    if not body:
        return Notification(kind="empty", is_vague=method == "POST")
    return of_bundle(body) if body.get("resourceType") == "Bundle" else _of_resources([body])


def of_bundle(bundle: Json) -> Notification:
    """Return what a Bundle says: of a topic's events, or of the resources in it. Raises `InputError`."""
    first = next((each.get("resource") for each in entries(bundle)), None)
    if bundle.get("type") in _BUNDLES and isinstance(first, dict):
        if first.get("resourceType") == "SubscriptionStatus":
            return _of_status(first, bundle)
        if first.get("resourceType") == "Parameters":
            return _of_status(_status_of(first), bundle)
    return _of_resources([each["resource"] for each in entries(bundle) if isinstance(each.get("resource"), dict)])


def _of_place(kind: str, identifier: str, body: Json) -> Notification:
    """PUT or DELETE of one resource, on a path that ends with its type and id."""
    if kind != DOCUMENT:
        return Notification(kind="resource", others=1)
    is_it = body.get("resourceType") == DOCUMENT and body.get("id") == identifier
    named = Named(id=identifier, version=version_of(body) if is_it else None)
    return Notification(kind="resource", documents=(named,))


def _of_resources(found: list[Json]) -> Notification:
    documents = [each for each in found if each.get("resourceType") == DOCUMENT]
    named = [Named(id=each["id"], version=version_of(each)) for each in documents if _has_id(each)]
    return Notification(
        kind="resource",
        documents=tuple(named),
        others=len(found) - len(documents),
        is_vague=len(named) < len(documents),
    )


def _of_status(status: Json, bundle: Json) -> Notification:
    kind: Any = status.get("type")
    if kind not in _TOPIC_KINDS:
        raise InputError(
            f"the notification's type is none of {', '.join(sorted(_TOPIC_KINDS))}",
            place="SubscriptionStatus.type",
            code="value",
        )
    versions = {each["id"]: version_of(each) for each in _carried(bundle)}
    events = [each for each in status.get("notificationEvent") or [] if isinstance(each, dict)]
    documents, others, is_vague = [], 0, False
    for event in events:
        focus = _focus(event)
        if focus is None:
            is_vague = True
        elif focus[1] != DOCUMENT:
            others += 1
        else:
            number = _number(event.get("eventNumber"))
            documents.append(Named(id=focus[2], version=focus[3] or versions.get(focus[2]), event=number))
    return Notification(
        kind=kind,
        documents=tuple(documents),
        others=others,
        is_vague=is_vague or (kind == "event-notification" and not events),
        subscription=_subscription(status),
        status=status["status"] if isinstance(status.get("status"), str) else None,
        numbers=tuple(number for each in events if (number := _number(each.get("eventNumber"))) is not None),
        events=_number(status.get("eventsSinceSubscriptionStart")),
    )


def _status_of(parameters: Json) -> Json:
    """Return the R4 Parameters as the SubscriptionStatus of R4B that they stand for."""
    status: dict[str, Any] = {"notificationEvent": []}
    for name, value, parts in _parameters(parameters.get("parameter")):
        if name == "notificationEvent":
            status["notificationEvent"].append({part: each for part, each, _ in _parameters(parts)})
        else:
            status[name] = value
    return status


def _parameters(found: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value and parts. Servers write the names with dashes (as the guide) or in one word."""
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            head, *rest = each["name"].split("-")
            value = next((value for key, value in each.items() if key.startswith("value")), None)
            yield head + "".join(map(str.capitalize, rest)), value, each.get("part")


def _carried(bundle: Json) -> list[Json]:
    found = [each.get("resource") for each in entries(bundle)]
    return [each for each in found if isinstance(each, dict) and each.get("resourceType") == DOCUMENT and _has_id(each)]


def _focus(event: Json) -> re.Match[str] | None:
    focus = event.get("focus")
    reference = focus.get("reference") if isinstance(focus, dict) else None
    return _REFERENCE.search(reference) if isinstance(reference, str) else None


def _subscription(status: Json) -> str | None:
    reference = status.get("subscription")
    text = reference.get("reference") if isinstance(reference, dict) else None
    found = _REFERENCE.search(text) if isinstance(text, str) else None
    return f"{found[1]}/{found[2]}" if found and found[1] == "Subscription" else None


def version_of(resource: Json) -> str | None:
    """Return what tells this version of a resource from others: meta.versionId, or else meta.lastUpdated."""
    meta = resource.get("meta")
    for name in ("versionId", "lastUpdated"):
        value = meta.get(name) if isinstance(meta, dict) else None
        if isinstance(value, str) and value:
            return value
    return None


def _has_id(resource: Json) -> bool:
    return isinstance(resource.get("id"), str) and is_id(resource["id"])


def _number(value: Any) -> int | None:
    """Return a number that is written as one or, as integer64 is in R4, as a string."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if _NUMBER.fullmatch(text) else None
