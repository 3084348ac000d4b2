"""A FHIR server of a few resources, behind the transport of the HTTP client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from fhir_coder.upstream.rest import Upstream

BASE = "http://fhir.example.org/fhir"
DATE = "Fri, 01 Mar 2024 10:00:00 GMT"


class FakeServer:
    """Reads, searches all of a type, creates and updates. `answers` take the place of what it would say."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}  # "Type/id" -> resource
        self.answers: list[Callable[[httpx2.Request], httpx2.Response | None]] = []
        self.requests: list[httpx2.Request] = []

    def upstream(self, **options: Any) -> Upstream:
        """Return a client of it."""
        return Upstream(BASE, transport=httpx2.MockTransport(self.handle), **options)

    def asked(self) -> list[str]:
        """Return method and path of each request."""
        return [f"{each.method} {urlsplit(str(each.url)).path.removeprefix('/fhir/')}" for each in self.requests]

    def add(self, resource: dict[str, Any]) -> None:
        """Hold a resource."""
        self.resources[f"{resource['resourceType']}/{resource['id']}"] = resource

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        self.requests.append(request)
        for answer in self.answers:
            if (response := answer(request)) is not None:
                return response
        place = urlsplit(str(request.url)).path.removeprefix("/fhir/")
        if request.method == "POST":
            resource = json.loads(request.content) | {"id": f"new-{len(self.resources)}"}
            self.add(resource)
            return said(resource, 201)
        if request.method == "PUT":
            self.add(json.loads(request.content))
            return said(self.resources[place])
        if request.method == "DELETE":
            self.resources.pop(place)
            return httpx2.Response(204)
        if "/" in place:
            return said(self.resources[place]) if place in self.resources else httpx2.Response(404)
        return said(bundle(*(each for each in self.resources.values() if each["resourceType"] == place)))


def said(resource: dict[str, Any], status: int = 200) -> httpx2.Response:
    """Return an answer with a resource."""
    return httpx2.Response(status, json=resource, headers={"date": DATE})


def bundle(*resources: dict[str, Any], following: str | None = None, **elements: Any) -> dict[str, Any]:
    """Return a page of a search."""
    links = [{"relation": "next", "url": following}] if following else []
    entries = [{"resource": each} for each in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries, "link": links, **elements}


def document(identifier: str, version: str = "1", updated: str = "2024-03-01T10:00:00.000Z") -> dict[str, Any]:
    """Return a DocumentReference as a search for ids gives it."""
    meta = {"versionId": version, "lastUpdated": updated}
    return {"resourceType": "DocumentReference", "id": identifier, "meta": meta}


def parameters(request: httpx2.Request) -> dict[str, str]:
    """Return the parameters of a request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(str(request.url)).query).items()}
