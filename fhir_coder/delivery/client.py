"""Sending Bundles to a FHIR server: https://hl7.org/fhir/R4/http.html#transaction.

Messages and logs name status, issue codes and elements. What a server writes in `diagnostics` may repeat what was
sent, so it is never passed on.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import httpx2
import stamina

from fhir_coder.credentials.server_access import server_access
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.settings import Settings

Json = Mapping[str, Any]

FHIR_JSON = "application/fhir+json"

# Resources about a patient, and the element that says about which one.
_SUBJECTS: Mapping[str, str] = {
    "Condition": "subject",
    "MedicationStatement": "subject",
    "Observation": "subject",
    "DocumentReference": "subject",
    "Device": "patient",
    "DeviceUseStatement": "subject",
    "FamilyMemberHistory": "patient",
    "AllergyIntolerance": "patient",
}

_TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_CONFLICT = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})
_PAGES = 20  # of a search
_LONGEST_WAIT = 10.0  # seconds within one call; a server that asks for more is left to the outbox
_PART = 8  # entries; what Medplum takes in one transaction with conditional creates
_TOO_MANY = re.compile(r"too many entries|too[- ](?:long|costly|large)", re.IGNORECASE)
_HISTORY = re.compile(r"/_history/([A-Za-z0-9\-.]{1,64})/?$")
_ETAG = re.compile(r'(?:W/)?"([^"]{1,64})"')
_LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?/?$")


class _TooManyEntriesError(DeliveryError):
    """The server takes transactions, but no such large one."""


class VersionConflictError(DeliveryError):
    """A resource is not the version any more that an update was made from (412, 409): read it again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A resource as it stands after it was sent."""

    place: str  # "Condition/7"
    version: str | None  # None where the server does not tell it
    created: bool | None = None  # whether it was not there before (201); None where nobody tells


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at a place on the server."""

    resource: Json | None  # None when nothing does
    version: str | None = None
    deleted: bool = False  # it was there, and somebody deleted it (410)


class FhirClient:
    """A FHIR R4 server that receives Bundles. A context manager; `close` gives the connections back.

    The environment's proxies and credentials are ignored and redirects are not followed: notes go to the configured
    server or nowhere.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 30.0,
        attempts: int = 3,
        auth: httpx2.Auth | None = None,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`attempts` counts the first one; `timeout` is in seconds; `transport` lets tests stand in for the net."""
        self._url = base_url.rstrip("/") + "/"
        self._attempts = attempts
        self._in_parts = False  # learned from the server's first refusal
        self._client = httpx2.Client(
            auth=auth,
            verify=verify,
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            transport=transport,
            headers={"Accept": FHIR_JSON, "Content-Type": FHIR_JSON},
        )

    @classmethod
    def of(cls, settings: Settings, *, attempts: int = 3) -> FhirClient | None:
        """Return the server of the settings, with its credentials, or None when there is none.

        Raises `SettingsError` when the credentials cannot be used.
        """
        if settings.server is None:
            return None
        access = server_access(settings)
        timeout = settings.delivery_timeout
        return cls(str(settings.server), timeout=timeout, attempts=attempts, auth=access.auth, verify=access.verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def send(self, bundle: Json) -> list[str]:
        """Send a transaction as `write` does, and return the resources' places alone."""
        return [each.place for each in self.write(bundle)]

    def write(self, bundle: Json, request: str | None = None) -> list[Sent]:
        """Send a transaction and return where its resources stand on the server, in the Bundle's order.

        `request` is sent as X-Request-Id, by which the server's log of it is found.

        A server that limits the entries of a transaction gets the Bundle in parts, in its order. Parts are not one
        transaction: after a fault between them the Bundle must be sent again, which the conditional creates make
        harmless.

        Raises `DeliveryError` when the server refuses the Bundle or a resource has no subject, `VersionConflictError`
        when a resource changed since it was read, and `TransientDeliveryError` when the server cannot be reached or is
        busy, after all attempts.
        """
        entries: list[Json] = bundle.get("entry", [])
        if not entries:
            return []
        _require_subjects(entries)
        if not self._in_parts:
            try:
                return self._transaction(entries, request)
            except _TooManyEntriesError:
                if len(entries) <= _PART:
                    raise
                self._in_parts = True
        return self._send_parts(entries, request)

    def read(self, place: str) -> Standing:
        """Return what stands at a place ("Condition/7"). Raises what `write` raises."""
        for attempt in stamina.retry_context(on=_wait, attempts=self._attempts, timeout=None):
            with attempt:
                response = self._get(self._url + place)
        if response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return Standing(None, deleted=response.status_code == HTTPStatus.GONE)
        resource = _object(response)
        return Standing(resource, _version(resource, response.headers.get("etag", "")))

    def search(self, resource_type: str, **parameters: str) -> list[Json]:
        """Return the resources that a search finds, page by page up to a bound. Raises what `write` raises."""
        found: list[Json] = []
        url: str | None = f"{self._url}{resource_type}?{urlencode(parameters)}"
        for _ in range(_PAGES):
            if url is None:
                break
            for attempt in stamina.retry_context(on=_wait, attempts=self._attempts, timeout=None):
                with attempt:
                    response = self._get(url)
            if not response.is_success:
                raise refusal(response)
            page = _object(response)
            entries = [entry["resource"] for entry in page.get("entry", ()) if "resource" in entry]
            found += [each for each in entries if each.get("resourceType") == resource_type]
            url = self._next(page)
        return found

    def _next(self, page: Json) -> str | None:
        links = [str(link.get("url")) for link in page.get("link", ()) if link.get("relation") == "next"]
        url = httpx2.URL(self._url).join(links[0]) if links else None
        own = httpx2.URL(self._url)
        # What is sent to the server (its token) goes nowhere else.
        if url is None or (url.scheme, url.host, url.port) != (own.scheme, own.host, own.port):
            return None
        return str(url)

    def _send_parts(self, entries: Sequence[Json], request: str | None) -> list[Sent]:
        places: list[Sent] = []
        known: dict[str, str] = {}  # fullUrl of what an earlier part created -> its place
        for start in range(0, len(entries), _PART):
            part = entries[start : start + _PART]
            places += self._transaction([resolved(entry, known) for entry in part], request)
            known |= {str(entry["fullUrl"]): sent.place for entry, sent in zip(entries, places, strict=False)}
        return places

    def _transaction(self, entries: Sequence[Json], request: str | None) -> list[Sent]:
        body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": list(entries)})
        for attempt in stamina.retry_context(on=_wait, attempts=self._attempts, timeout=None):
            with attempt:
                response = self._post(body, request)
        return _places(response, len(entries))

    def _post(self, body: str, request: str | None) -> httpx2.Response:
        headers = {} if request is None else {"X-Request-Id": request}
        try:
            response = self._client.post(self._url, content=body, headers=headers)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise TransientDeliveryError(
                f"the FHIR server cannot be reached ({type(error).__name__}); check that it runs and its address"
            ) from error
        if not response.is_success:
            raise refusal(response)
        return response

    def _get(self, url: str) -> httpx2.Response:
        try:
            response = self._client.get(url)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise TransientDeliveryError(
                f"the FHIR server cannot be reached ({type(error).__name__}); check that it runs and its address"
            ) from error
        if not response.is_success and response.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise refusal(response)
        return response


def _require_subjects(entries: Sequence[Json]) -> None:
    for index, entry in enumerate(entries):
        resource = entry.get("resource", {})
        element = _SUBJECTS.get(resource.get("resourceType", ""))
        if element and not {"reference", "identifier"} & resource.get(element, {}).keys():
            raise DeliveryError(
                f"{resource['resourceType']} (entry {index}) has no {element}: the note names no patient. "
                "Give the patient with the note, or write to a folder instead"
            )


def resolved(value: Any, known: Mapping[str, str]) -> Any:
    """Return the value with references to `known` full URLs replaced by places on the server."""
    if isinstance(value, Mapping):
        return {
            name: known.get(each, each) if name == "reference" and isinstance(each, str) else resolved(each, known)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [resolved(each, known) for each in value]
    return value


def _wait(error: Exception) -> bool | float:
    """Say whether to try again, and after how many seconds where the server said so."""
    if not isinstance(error, TransientDeliveryError):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= _LONGEST_WAIT else False


def refusal(response: httpx2.Response) -> DeliveryError:
    """Return the error that an answer other than 2xx means. It names issue codes and elements, nothing else."""
    status = response.status_code
    issues = _issues(response)
    message = f"the FHIR server answered {status}"
    if summary := "; ".join(_describe(issue) for issue in issues):
        message += f" ({summary})"
    if status in _CONFLICT:
        return VersionConflictError(message)
    if status == HTTPStatus.UNAUTHORIZED:
        # It is nobody's note that is at fault: all would be set aside until the credentials are right.
        return TransientDeliveryError(f"{message}; check the credentials for the FHIR server (setting server_auth)")
    if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TransientDeliveryError(message, retry_after=_retry_after(response))
    if response.is_redirect:
        return DeliveryError(f"{message}; redirects are not followed, set the server's final address")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or _TOO_MANY.search(json.dumps(issues)):
        return _TooManyEntriesError(f"{message}; the transaction has too many entries")
    return DeliveryError(message)


def _issues(response: httpx2.Response) -> list[Json]:
    """Return the issues of the OperationOutcome that the server sent, if it sent one."""
    try:
        outcome = response.json()
    except ValueError:
        return []
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    return [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []


def _describe(issue: Json) -> str:
    places = issue.get("expression") or issue.get("location") or []
    # A path has no spaces and no quotes; anything else could quote what was sent.
    safe = [place for place in places if isinstance(place, str) and re.fullmatch(r"[A-Za-z0-9_.\[\]:]+", place)]
    code = str(issue.get("code", "unknown"))
    code = code if re.fullmatch(r"[a-z-]{1,40}", code) else "unknown"
    return f"{code} at {', '.join(safe)}" if safe else code


def _retry_after(response: httpx2.Response) -> float | None:
    """Return the seconds of Retry-After, which holds a number or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _object(response: httpx2.Response) -> Json:
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DeliveryError("the FHIR server answered with something else than a resource")
    return found


def _places(response: httpx2.Response, count: int) -> list[Sent]:
    try:
        answer = response.json()
        entries = answer["entry"]
        places = [_sent(entry) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeliveryError("the FHIR server answered a transaction with something else than its response") from error
    if len(places) != count:
        raise DeliveryError(f"the FHIR server answered {len(places)} entries, sent were {count}")
    return places


def _sent(entry: Json) -> Sent:
    """Return place and version of one answered entry; servers give a location, a resource or both."""
    answer = entry["response"]
    location = answer.get("location", "")
    resource = entry.get("resource") or {}
    found = _LOCATION.search(location)
    place = found[1] if found else f"{resource['resourceType']}/{resource['id']}"
    history = _HISTORY.search(location)
    version = _version(resource, answer.get("etag", "")) or (history[1] if history else None)
    status = str(answer.get("status", ""))
    return Sent(place, version, status.startswith("201") if status else None)


def _version(resource: Json, etag: str) -> str | None:
    """Return the version that an ETag (W/"3") or the resource names."""
    tagged = _ETAG.fullmatch(etag.strip())
    return tagged[1] if tagged else resource.get("meta", {}).get("versionId")
