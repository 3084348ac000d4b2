"""What is to be delivered: the resources of one note or message, and what becomes of those of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
