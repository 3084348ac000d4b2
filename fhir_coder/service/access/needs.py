"""What each route asks of its caller. A route that is not here is closed to everybody whom somebody must let in.

SMART scopes speak of resources and not of operations. Coding a note reads a DocumentReference; whatever brings a note
to stay or writes what came of it (`persist`, HL7 v2 messages, notifications) creates and updates them. What a document
or message only points at is asked for when it is to be read (`Caller.permit_reading`).
"""

from __future__ import annotations

from fhir_coder.service.access.scopes import Need

READ_NOTE = Need("DocumentReference", "r")
WRITE_NOTE = Need("DocumentReference", "cu")
NOTIFY = Need("DocumentReference", "cru")
"""A notification names documents that the service then reads with its own credentials."""

OPEN = frozenset({"/health/live", "/.well-known/jwks.json"})
"""Paths that nobody is asked anything for: an orchestrator's probe has no credentials, and a public key is public."""

_CALLER_ONLY: frozenset[str] = frozenset(
    {
        "/fhir/metadata",
        "/fhir/OperationDefinition/code-note",
        "/fhir/jobs/{job}",  # and shown to their owner alone
        "/health/ready",
        "/metrics",
        "/openapi.json",
    }
)
_NEEDS = {
    "/fhir/$code-note": READ_NOTE,
    "/fhir/DocumentReference/$code-note": READ_NOTE,
    "/fhir/DocumentReference/{identifier}/$code-note": READ_NOTE,
    "/v1/code": READ_NOTE,
    "/v1/lookup": Need("CodeSystem", "r"),
    "/hl7v2": WRITE_NOTE,
    "/fhir/CodeSystem/$lookup": Need("CodeSystem", "r"),
    "/fhir/CodeSystem/$validate-code": Need("CodeSystem", "r"),
    "/fhir/ValueSet/$validate-code": Need("ValueSet", "r"),
    "/fhir/ValueSet/$expand": Need("ValueSet", "r"),
    "/fhir/ConceptMap/$translate": Need("ConceptMap", "r"),
}
_NOTIFICATIONS = "/fhir/subscription"


def is_notification(path: str) -> bool:
    """Return whether a path is one that a FHIR server's Subscriptions notify."""
    return path == _NOTIFICATIONS or path.startswith(f"{_NOTIFICATIONS}/")


def need_of(route: str) -> tuple[bool, Need | None]:
    """Return whether a route (its path as declared) is known, and what it needs: None is any known caller."""
    if is_notification(route):
        return True, NOTIFY
    if route in _CALLER_ONLY or route in OPEN:
        return True, None
    return route in _NEEDS, _NEEDS.get(route)
