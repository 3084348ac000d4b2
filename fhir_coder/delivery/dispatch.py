"""What is to be delivered: the resources of one note or message, and what becomes of those of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from fhir_coder.fhir.identity import document_identity, identity_of
from fhir_coder.model import Note
from fhir_coder.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One delivery. It can be written as JSON and read again: it waits in the outbox."""

    bundle: Mapping[str, Any]  # a FHIR R4 transaction
    # The document's identity (fhir.identity.document_identity), by which what it gave is known; None for records of
    # a message that belong to no document.
    document: str | None = None
    # Identities of documents whose resources this one takes back: those it replaces, and itself when it is cancelled.
    # Resources of an earlier version of the same document that are no longer in the Bundle are taken back in any case.
    retracts: tuple[str, ...] = ()
    # Identities under which other documents may refer to this one: its masterIdentifier, its identifiers.
    names: tuple[str, ...] = ()
    # Identities of documents that say the same: where one of them was delivered, nothing derived is delivered again.
    repeats: tuple[str, ...] = ()
    # Preliminary, where that is to wait: the document alone is delivered, and nothing is taken back.
    waits: bool = False
    # The docStatus that a document has from now on; what it says came before, and stays.
    status_alone: str | None = None
    # What tells this delivery from every other one; sent with it as X-Request-Id, however often that is tried.
    act: str = field(default_factory=lambda: uuid4().hex, compare=False)
    # The place (base URL or folder) that an AuditEvent is for; None for everything else.
    audit_of: str | None = None


def dispatch_of(note: Note, bundle: Mapping[str, Any], settings: Settings) -> Dispatch:
    """Return the dispatch of a note's Bundle. A document that is withdrawn takes its own resources back."""
    document = document_identity(note)
    replaced = tuple(identity_of(each) for each in note.replaces)
    return Dispatch(
        bundle=bundle,
        document=document,
        retracts=(document,) if note.withdrawn else tuple(each for each in replaced if each != document),
        repeats=tuple(identity_of(each) for each in note.repeats),
        status_alone=note.doc_status if note.is_status_alone else None,
        waits=settings.preliminary == "wait" and note.doc_status == "preliminary" and not note.is_status_alone,
        names=tuple(each for name in note.names if (each := identity_of(name)) != document),
    )


def dispatch_of_deleted(place: str) -> Dispatch:
    """Return the dispatch of a document that is no more ("DocumentReference/7"): what it gave is taken back."""
    document = identity_of(place)
    return Dispatch(bundle={"resourceType": "Bundle", "type": "transaction"}, document=document, retracts=(document,))
