"""A bulk export as the FHIR server makes it: asked for, waited for, listed, and removed when it was fetched.

Source: https://hl7.org/fhir/uv/bulkdata/export.html (FHIR Bulk Data Access 2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal

from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.upstream.rest import Json, Upstream, is_id

Level = Literal["system", "patient", "group"]
Part = Literal["output", "deleted", "error"]
PARTS: tuple[Part, ...] = ("output", "deleted", "error")

_STATUS_ACCEPT = {"Accept": "application/json"}
_SHORTEST_WAIT, _LONGEST_WAIT = 0.2, 300.0  # seconds
_MOST_PAGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be exported: the documents of all, of all patients, or of a group."""

    level: Level = "system"
    group: str | None = None  # the id of the Group
    since: str | None = None  # an instant
    types: tuple[str, ...] = ("DocumentReference",)

    def path(self) -> str:
        """Return where the export is asked for. Raises `DeliveryError` when the group is no FHIR id."""
        if self.level == "group":
            if self.group is None or not is_id(self.group):
                raise DeliveryError("the group is not a FHIR id; give the id of a Group, as in --group 7")
            return f"Group/{self.group}/$export"
        return "Patient/$export" if self.level == "patient" else "$export"

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the request."""
        wanted = {"_type": ",".join(self.types), "_outputFormat": "application/fhir+ndjson"}
        return wanted | ({"_since": self.since} if self.since else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of an export."""

    part: Part
    type: str  # of the resources in it
    url: str
    count: int | None = None  # of the resources, where the server says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a finished export consists of."""

    time: str  # the instant up to which it is whole
    needs_token: bool
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An export that is not finished."""

    progress: str  # in the server's words, such as "47%"; may be empty
    wait: float | None  # seconds that the server asks to wait


def kick_off(upstream: Upstream, request: Request) -> str:
    """Ask for an export and return the url at which it stands. Raises `DeliveryError` when the server refuses."""
    answer = upstream.ask("GET", request.path(), parameters=request.parameters(), headers={"Prefer": "respond-async"})
    if not answer.is_there:
        raise DeliveryError("the FHIR server has no $export, or no such group")
    place = answer.headers.get("content-location")
    if answer.status != HTTPStatus.ACCEPTED or not place:
        raise DeliveryError("the FHIR server did not begin an export (202 with Content-Location)")
    return str(upstream.own_url(place))


def look(upstream: Upstream, place: str) -> Running | Manifest | None:
    """Return how an export stands, or None when the server does not know it (any more).

    Raises `DeliveryError` when the export failed, `TransientDeliveryError` when the server cannot tell now.
    """
    answer = upstream.ask("GET", place, headers=_STATUS_ACCEPT)
    if not answer.is_there:
        return None
    if answer.status == HTTPStatus.ACCEPTED:
        return Running(progress=answer.headers.get("x-progress", ""), wait=_wait(answer.headers))
    manifest = _manifest(answer.body)
    page, pages = answer.body, 1
    while url := _next(page):
        page = upstream.ask("GET", url, headers=_STATUS_ACCEPT).body
        pages += 1
        if pages > _MOST_PAGES:
            raise DeliveryError(f"the manifest of the export has more than {_MOST_PAGES} pages")
        more = _manifest(page)
        manifest = Manifest(time=manifest.time, needs_token=manifest.needs_token, files=manifest.files + more.files)
    return manifest


def remove(upstream: Upstream, place: str) -> None:
    """Tell the server that the files are no longer needed. Raises `DeliveryError`."""
    upstream.ask("DELETE", place)


def _manifest(body: Json) -> Manifest:
    try:
        files = [
            File(part=part, type=str(each["type"]), url=str(each["url"]), count=each.get("count"))
            for part in PARTS
            for each in body.get(part, [])
        ]
        return Manifest(
            time=str(body["transactionTime"]), needs_token=body["requiresAccessToken"] is True, files=tuple(files)
        )
    except (KeyError, TypeError, AttributeError):
        raise TransientDeliveryError("the FHIR server answered with something else than the manifest") from None


def _next(body: Json) -> str | None:
    links: Any = body.get("link", [])
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return None


def _wait(headers: Mapping[str, str]) -> float | None:
    """The seconds of Retry-After, a number or a date (RFC 9110, 10.2.3), within reason."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value) if value.isascii() and value.isdigit() else _until(value)
    except ValueError:
        return None
    return min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)


def _until(value: str) -> float:
    moment = parsedate_to_datetime(value)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
