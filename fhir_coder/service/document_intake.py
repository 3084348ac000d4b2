"""Documents of the FHIR server: put into the inbox when they are heard of, read, coded and delivered once a version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import uuid4

import orjson
from sqlalchemy import Engine

from fhir_coder.delivery.inbox import Inbox, Item
from fhir_coder.errors import FhirCoderError, InputError, TransientDeliveryError
from fhir_coder.fhir.identity import digest
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.service.desk import Desk
from fhir_coder.upstream.documents import Documents, Known, Outcome, content_digest
from fhir_coder.upstream.notification import DOCUMENT, Named, Notification, version_of
from fhir_coder.upstream.rest import Json, Upstream

KIND = "document"


class DocumentIntake:
    """Takes in which documents are new, and deals with each of them later, when the worker hands it over."""

    def __init__(self, upstream: Upstream, engine: Engine, inbox: Inbox, wake: Callable[[], None], desk: Desk) -> None:
        """`wake` is called after documents were stored."""
        self._upstream = upstream
        self._documents = Documents(engine, upstream.base)
        self._inbox = inbox
        self._wake = wake
        self._desk = desk

    def notified(self, notification: Notification) -> None:
        """Store what a notification names; when this returns, it is on the disk. Raises SQLAlchemyError."""
        subscription = notification.subscription or ""
        self._store([(each, self._key_of(each, subscription)) for each in notification.documents])

    def found(self, documents: Sequence[Named]) -> None:
        """Store what a sweep found, but for what was dealt with already. Raises SQLAlchemyError.

        The keys are others than those of notifications: what was notified too early, when the server did not show it
        yet, or untruly, is looked at again.
        """
        known = self._documents.all_known([each.id for each in documents])
        new = [each for each in documents if each.id not in known or not _is_same(known[each.id], each.version)]
        self._store([(each, self._key("swept", each.id, each.version or uuid4().hex)) for each in new])

    def take(self, item: Item) -> None:
        """Read the document that an item names, and code and deliver it unless this version was before.

        Raises what reading, checking and delivering raise.
        """
        named = orjson.loads(item.payload)
        known = self._documents.known(named["id"])
        if known is not None and known.outcome == "coded" and _is_same(known, named["version"]):
            self._count("known")
            return
        answer = self._upstream.read(DOCUMENT, named["id"])
        if answer.is_there:
            self._code(named["id"], answer.body, known)
        else:
            self._gone(named["id"], known)

    def _code(self, identifier: str, document: Json, known: Known | None) -> None:
        new = Known(version=version_of(document), digest=content_digest(document), outcome="coded")
        if known is not None and known.outcome == "coded" and _is_unchanged(known, new):
            self._documents.record(identifier, new)
            self._count("known")
            return
        try:
            note = note_from_document_reference(document, self._desk.settings)
            self._desk.deliver(note, self._desk.bundle(self._desk.code(note)))
        except TransientDeliveryError:
            raise
        except FhirCoderError:
            self._record(identifier, new, "refused")
            raise
        self._record(identifier, new, "coded")

    def _gone(self, identifier: str, known: Known | None) -> None:
        if known is None or known.outcome != "coded":
            self._count("gone")
            raise InputError("gone: the FHIR server has no such document", place=f"{DOCUMENT}.id", code="not-found")
        self._record(identifier, Known(version=None, digest=None, outcome="gone"), "gone")

    def _record(self, identifier: str, known: Known, outcome: Outcome) -> None:
        self._documents.record(identifier, Known(version=known.version, digest=known.digest, outcome=outcome))
        self._count(outcome)

    def _count(self, outcome: str) -> None:
        self._desk.metrics.documents.labels(outcome).inc()

    def _store(self, documents: Sequence[tuple[Named, str]]) -> None:
        stored = [
            self._inbox.submit(KIND, orjson.dumps({"id": each.id, "version": each.version}), key)
            for each, key in documents
        ]
        for each in stored:
            each.result()
        if stored:
            self._wake()

    def _key_of(self, named: Named, subscription: str) -> str:
        if named.version is not None:
            return self._key("version", named.id, named.version)
        if named.event is not None:
            return self._key("event", named.id, subscription, str(named.event))
        return self._key("notified", named.id, uuid4().hex)

    def _key(self, *parts: str) -> str:
        return f"{KIND}:{digest(self._documents.server, *parts)}"


def _is_same(known: Known, version: str | None) -> bool:
    return version is not None and known.version == version


def _is_unchanged(known: Known, new: Known) -> bool:
    """Whether a document says what it said: a new version may differ in its meta alone, a tag or a label."""
    return _is_same(known, new.version) or (new.digest is not None and known.digest == new.digest)
