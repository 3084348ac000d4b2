"""The AuditEvents of what is read and written, as dispatches: they leave through the outbox, like all else.

Each is stored in the transaction that records what it tells of, so that a crash leaves both or neither, and goes to the
place where that happened: the FHIR server, or the folder (AuditEvent.ndjson), where its references hold.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.entries import transaction
from fhir_coder.fhir.audit_event import Act, Outcome, Peer, User, audit_entry
from fhir_coder.fhir.checks import check
from fhir_coder.settings import Settings

Json = Mapping[str, Any]

_SUBJECTS = ("subject", "patient")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a delivery did to one place, by references there."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    patient: str | None = None
    source: str | None = None  # the document


def audits_of_delivery(place: str, request: str, changes: Changes) -> list[Dispatch]:
    """Return the AuditEvents of a delivery to `place` (the base URL of a server, or a folder): none when nothing
    changed. `request` is the X-Request-Id that the server was sent.
    """
    server = _peer_of(place)
    common: dict[str, Any] = {
        "request": request,
        "recorded": _now(),
        "client": ourselves(),
        "server": server,
        "patient": changes.patient,
        "source": changes.source,
    }
    if server.network is None:
        written = (*changes.created, *changes.updated)
        return [_dispatch(place, Act(interaction="export", data=written, **common))] if written else []
    acts = []
    if changes.created:
        acts.append(Act(interaction="create", data=changes.created, **common))
    if changes.updated:
        acts.append(Act(interaction="update", data=changes.updated, **common))
    return [_dispatch(place, act) for act in acts]


def audit_of_reading(
    server: str, request: str, places: Sequence[str], *, patient: str | None, user: User | None = None
) -> Dispatch:
    """Return the AuditEvent of reading what stands at `places` ("DocumentReference/7", "Binary/9") on a FHIR server."""
    act = Act(
        interaction="read",
        request=request,
        recorded=_now(),
        client=ourselves(),
        server=_peer_of(server),
        data=tuple(places),
        patient=literal_patient(patient),
        user=user,
    )
    return _dispatch(server, act)


def audit_of_operation(
    settings: Settings,
    request: str,
    operation: str,
    *,
    client: str,
    document: str | None,
    patient: str | None,
    user: User | None,
    outcome: Outcome,
) -> Dispatch | None:
    """Return the AuditEvent of a call of an operation of ours; None where nothing can be delivered to.

    `client` is the address of the caller.
    """
    kept = places(settings)
    if not kept:
        return None
    act = Act(
        interaction="operation",
        request=request,
        recorded=_now(),
        client=Peer(name=client or "unknown", address=client or "unknown", network="2" if _is_ip(client) else "1"),
        server=ourselves(),
        data=(document,) if document else (),
        patient=literal_patient(patient),
        operation=operation,
        user=user,
        outcome=outcome,
    )
    return _dispatch(kept[-1], act)


def places(settings: Settings) -> list[str]:
    """Return the places that are delivered to, by the names they have in the ledger; the FHIR server is the last."""
    found = [] if settings.out is None else [str(settings.out.resolve())]
    return found if settings.server is None else [*found, str(settings.server).rstrip("/")]


def patient_in(resources: Sequence[Json], known: Mapping[str, str]) -> str | None:
    """Return the reference to the patient that resources are about; `known` has the places of full URLs."""
    for resource in resources:
        for element in _SUBJECTS:
            stated = resource.get(element)
            reference = stated.get("reference") if isinstance(stated, Mapping) else None
            found = literal_patient(known.get(reference, reference)) if isinstance(reference, str) else None
            if found is not None:
                return found
    return None


def literal_patient(reference: str | None) -> str | None:
    """Return a reference that leads to one Patient, and None for every other."""
    if reference is None or reference.startswith(("urn:", "#")) or "?" in reference:
        return None
    return reference if f"/{reference}".rsplit("/", 2)[-2] == "Patient" else None


@cache
def ourselves() -> Peer:
    """Return this software on this machine."""
    return Peer(name="", address=socket.gethostname() or "localhost", network="1")


def _dispatch(place: str, act: Act) -> Dispatch:
    bundle = transaction([audit_entry(act)])
    check(bundle)
    return Dispatch(bundle=bundle, act=act.request, audit_of=place)


def _peer_of(place: str) -> Peer:
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return Peer(name="a folder of NDJSON files", address="folder")
    # Without the password that a URL may hold.
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Peer(name=parts.hostname, address=address, network="5")


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
