"""The Subscription by which the FHIR server tells of new documents: made, renewed, shown and removed.

Ours is known by its endpoint. Sources: https://hl7.org/fhir/R4/subscription.html,
https://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition-backport-subscription.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.upstream.rest import Json, Upstream, next_page, resources

Channel = Literal["rest-hook", "backport"]
Payload = Literal["empty", "id-only", "full-resource"]

_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
_FHIR_JSON = "application/fhir+json"
_REASON = "Coding of clinical notes (fhir-coder)"
# All of them, said in a way that every server takes; a note that becomes entered-in-error is to be heard of too.
_ALL = "DocumentReference?status=current,superseded,entered-in-error"
_MOST_PAGES = 100
_HEARTBEAT = 60  # seconds
# What a Subscription has that is not ours to say: the server's own elements, and how it stands.
_RENEWED = ("status", "end", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A Subscription as it should be."""

    endpoint: str  # URL of /fhir/subscription, as the FHIR server reaches it
    channel: Channel
    criteria: str | None = None  # which documents; None: all. With a topic, a filter that it allows
    topic: str | None = None  # canonical URL of the SubscriptionTopic; backport only
    payload: Payload | None = None  # None: what tells least and serves, empty for rest-hook, id-only for backport
    secret: str | None = None  # the server sends it back with every notification
    days: float | None = None  # how long it holds; None: without an end

    def resource(self, now: datetime) -> dict[str, Any]:
        """Return it as a FHIR R4 resource. Raises `DeliveryError` when it cannot be said."""
        resource = self._topical() if self.channel == "backport" else self._plain()
        if self.secret is not None:
            resource["channel"]["header"] = [f"Authorization: Bearer {self.secret}"]
        if self.days is not None:
            resource["end"] = _end(now, self.days)
        return resource

    def _plain(self) -> dict[str, Any]:
        if self.payload == "id-only":
            raise DeliveryError("a rest-hook without a topic has no payload of ids; choose empty or full-resource")
        channel: dict[str, Any] = {"type": "rest-hook", "endpoint": self.endpoint}
        if self.payload == "full-resource":
            channel["payload"] = _FHIR_JSON
        return {**_head(), "criteria": self.criteria or _ALL, "channel": channel}

    def _topical(self) -> dict[str, Any]:
        if not self.topic:
            raise DeliveryError("a backport subscription needs the server's topic; name it with --topic")
        content = [{"url": f"{_BACKPORT}/backport-payload-content", "valueCode": self.payload or "id-only"}]
        resource: dict[str, Any] = {
            **_head(),
            "meta": {"profile": [f"{_BACKPORT}/backport-subscription"]},
            "criteria": self.topic,
            "channel": {
                "extension": [{"url": f"{_BACKPORT}/backport-heartbeat-period", "valueUnsignedInt": _HEARTBEAT}],
                "type": "rest-hook",
                "endpoint": self.endpoint,
                "payload": _FHIR_JSON,
                "_payload": {"extension": content},
            },
        }
        if self.criteria:
            filters = [{"url": f"{_BACKPORT}/backport-filter-criteria", "valueString": self.criteria}]
            resource["_criteria"] = {"extension": filters}
        return resource


def subscriptions_at(upstream: Upstream, endpoint: str) -> list[Json]:
    """Return the Subscriptions of the server that notify the endpoint. Raises `DeliveryError`."""
    try:
        found = list(_pages(upstream, {"url": endpoint}))
    except TransientDeliveryError:
        raise
    except DeliveryError:  # a server that cannot search by url
        found = list(_pages(upstream, {}))
    return [each for page in found for each in page if _channel(each).get("endpoint") == endpoint]


def subscribe(upstream: Upstream, wanted: Wanted) -> Json:
    """Have the Subscription on the server as it is wanted, and return it: made, changed, or left as it is.

    Raises `DeliveryError` when the server refuses it.
    """
    resource = wanted.resource(datetime.now(UTC))
    found = subscriptions_at(upstream, wanted.endpoint)
    if not found:
        return _create(upstream, resource, wanted.endpoint)
    if _says(found[0], resource) and not needs_renewal(found[0]):
        return found[0]
    return _replace(upstream, found[0], resource)


def renew(upstream: Upstream, subscription: Json, days: float | None = None) -> Json:
    """Ask for a Subscription anew, for `days` from now where it has an end, and return it. Raises `DeliveryError`."""
    resource = {name: value for name, value in subscription.items() if name not in ("id", "meta", *_RENEWED)}
    resource["status"] = "requested"
    if days is not None or "end" in subscription:
        resource["end"] = _end(datetime.now(UTC), days or 30)
    if profiles := subscription.get("meta", {}).get("profile"):
        resource["meta"] = {"profile": profiles}
    return _replace(upstream, subscription, resource)


def needs_renewal(subscription: Json) -> bool:
    """Whether a Subscription has failed or come to its end, or will within a day.

    One that is off without having ended was switched off by somebody, and stays so.
    """
    end = _moment(subscription.get("end"))
    is_ending = end is not None and end < datetime.now(UTC) + timedelta(days=1)
    return subscription.get("status") == "error" or is_ending


def remove(upstream: Upstream, subscription: Json) -> None:
    """Delete a Subscription; one that is not there any more is fine. Raises `DeliveryError`."""
    upstream.ask("DELETE", f"Subscription/{subscription['id']}")


def _create(upstream: Upstream, resource: Json, endpoint: str) -> Json:
    # Two services that begin at the same time make one.
    once = {"If-None-Exist": f"url={quote(endpoint, safe='')}", "Prefer": "return=representation"}
    answer = upstream.ask("POST", "Subscription", resource=resource, headers=once)
    if answer.body.get("resourceType") == "Subscription":
        return answer.body
    return _only(subscriptions_at(upstream, endpoint))


def _replace(upstream: Upstream, old: Json, resource: Json) -> Json:
    version = old.get("meta", {}).get("versionId")
    answer = upstream.ask(
        "PUT",
        f"Subscription/{old['id']}",
        resource={**resource, "id": old["id"]},
        headers={"Prefer": "return=representation", **({"If-Match": f'W/"{version}"'} if version else {})},
    )
    if answer.body.get("resourceType") == "Subscription":
        return answer.body
    return _only([upstream.read("Subscription", old["id"]).body])


def _only(found: list[Json]) -> Json:
    if not found or found[0].get("resourceType") != "Subscription":
        raise DeliveryError("the FHIR server took the Subscription, and does not show it")
    return found[0]


def _pages(upstream: Upstream, parameters: Mapping[str, str]) -> Iterator[list[Json]]:
    answer = upstream.ask("GET", "Subscription", parameters={**parameters, "_count": "100"})
    for _ in range(_MOST_PAGES):
        if not answer.is_there:
            raise DeliveryError("the FHIR server has no Subscriptions")
        yield [each for each in resources(answer.body, "Subscription") if isinstance(each.get("id"), str)]
        url = next_page(answer.body)
        if url is None:
            return
        answer = upstream.ask("GET", url)


def _head() -> dict[str, Any]:
    return {"resourceType": "Subscription", "status": "requested", "reason": _REASON}


def _says(there: Json, wanted: Json) -> bool:
    """Whether a Subscription says what is wanted; what the server added does not count, nor does a given end."""
    return all(
        _covers(there.get(name), value)
        for name, value in wanted.items()
        if name not in ("resourceType", "meta", *_RENEWED)
    ) and ("payload" in _channel(there)) == ("payload" in _channel(wanted))


def _covers(there: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(_covers(there.get(name), value) for name, value in wanted.items())
    return bool(there == wanted)


def _channel(subscription: Json) -> Json:
    channel = subscription.get("channel")
    return channel if isinstance(channel, Mapping) else {}


def _end(now: datetime, days: float) -> str:
    return (now + timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None
