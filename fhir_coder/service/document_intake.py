"""Documents of the FHIR server: put into the inbox when they are heard of, read, coded and delivered once a version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

import orjson
from sqlalchemy import Engine

from fhir_coder.delivery.dispatch import Dispatch, dispatch_of_deleted
from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.delivery.written import Ledger
from fhir_coder.errors import (
    CodingFailedError,
    CodingStoppedError,
    FhirCoderError,
    InputError,
    TransientDeliveryError,
)
from fhir_coder.fhir.identity import digest
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.model import Note
from fhir_coder.service.audited import audits_of_document
from fhir_coder.service.desk import Desk
from fhir_coder.upstream.documents import Documents, Known, content_digest
from fhir_coder.upstream.notification import DOCUMENT, Named, Notification, version_of
from fhir_coder.upstream.rest import Json, Upstream

KIND = "document"

_LOOKS = 3  # for a document that was notified, and that the server does not show
_TRANSIENT = "transient"  # of an InputError: the server of an attachment is away


class DocumentIntake:
    """Takes in which documents are new, and deals with each of them later, when the worker hands it over."""

    def __init__(self, upstream: Upstream, engine: Engine, inbox: Inbox, desk: Desk) -> None:
        self._upstream = upstream
        self._documents = Documents(engine, upstream.base)
        self._ledger = Ledger(engine)
        self._inbox = inbox
        self._desk = desk

    def notified(self, notification: Notification) -> None:
        """Store what a notification names; when this returns, it is on the disk. Raises SQLAlchemyError."""
        subscription = notification.subscription or ""
        self._store([(each, self._key_of(each, subscription)) for each in notification.documents])

    def found(self, documents: Sequence[Named]) -> None:
        """Store what a sweep found, but for what was dealt with already.

        Raises SQLAlchemyError, and `QueueFullError` when as much waits as may.

        The keys are others than those of notifications: what was notified too early, when the server did not show it
        yet, or untruly, is looked at again.
        """
        self._desk.require_room()
        known = self._documents.all_known([each.id for each in documents])
        new = [each for each in documents if each.id not in known or not _is_same(known[each.id], each.version)]
        self._store([(each, self._key("swept", each.id, each.version or uuid4().hex)) for each in new])

    def code(self, item: Item) -> Coded:
        """Read the document that an item names, and return what is to be delivered for it: nothing, when this version
        was coded before.

        Raises what reading, coding and checking raise.
        """
        named = orjson.loads(item.payload)
        known = self._documents.known(named["id"])
        if known is not None and known.outcome == "coded" and _is_same(known, named["version"]):
            self._count("known")
            return Coded()
        answer = self._upstream.read(DOCUMENT, named["id"], item.act)
        if not answer.is_there:
            return self._gone(named["id"], known, item)
        note: Note | None = None

        def read() -> Note:
            nonlocal note
            note = note_from_document_reference(answer.body, self._desk.settings)
            return note

        try:
            coded = self._coded(named["id"], answer.body, known, read, item.act)
        except (TransientDeliveryError, CodingFailedError, CodingStoppedError):
            raise  # it is read again, and told of then
        except FhirCoderError:
            self._desk.keep_audits(self._audits(item, named["id"], answer.body, note))
            raise
        return replace(coded, audits=self._audits(item, named["id"], answer.body, note))

    def _audits(self, item: Item, identifier: str, document: Json, note: Note | None) -> list[Dispatch]:
        return audits_of_document(self._desk.settings, item.act, {**document, "id": identifier}, note)

    def _coded(self, identifier: str, document: Json, known: Known | None, read: Callable[[], Note], act: str) -> Coded:
        new = Known(version=version_of(document), digest=content_digest(document), outcome="coded")
        if known is not None and known.outcome == "coded" and _is_unchanged(known, new):
            return self._done(identifier, new, "known")
        if self._ledger.wrote(self._upstream.base, f"{DOCUMENT}/{identifier}"):
            # A note that came by HL7 v2, or as bare text: it was coded before it was written there.
            return self._done(identifier, new, "own")
        try:
            note = read()
            dispatch = self._desk.dispatch(note, self._desk.bundle(self._desk.code(note)), act)
        except (TransientDeliveryError, CodingFailedError, CodingStoppedError):
            raise
        except FhirCoderError as error:
            if isinstance(error, InputError) and error.code == _TRANSIENT:
                raise TransientDeliveryError(str(error)) from error
            self._documents.record(identifier, replace(new, outcome="refused"))
            self._count("refused")
            raise
        return self._done(identifier, new, "coded", dispatch)

    def _gone(self, identifier: str, known: Known | None, item: Item) -> Coded:
        """The outcome for a document that the server does not have: never had, or no longer."""
        if known is None or known.outcome != "coded":
            if item.row.values["delays"] < _LOOKS:  # notified before the server shows it
                raise TransientDeliveryError("the FHIR server does not show the document (yet)")
            self._count("gone")
            raise InputError("gone: the FHIR server has no such document", place=f"{DOCUMENT}.id", code="not-found")
        known = Known(version=None, digest=None, outcome="gone")
        return self._done(identifier, known, "gone", dispatch_of_deleted(f"{DOCUMENT}/{identifier}"))

    def _done(self, identifier: str, known: Known, outcome: str, *dispatches: Dispatch) -> Coded:
        self._count(outcome)
        return Coded(dispatches=dispatches, record=partial(self._documents.put, identifier=identifier, known=known))

    def _count(self, outcome: str) -> None:
        self._desk.metrics.documents.labels(outcome).inc()

    def _store(self, documents: Sequence[tuple[Named, str]]) -> None:
        stored = [
            self._inbox.submit(
                KIND,
                orjson.dumps({"id": each.id, "version": each.version}),
                key,
                # Not the patient, who is known only when the document is read: versions are coded in order.
                patient=f"{self._documents.server}/{DOCUMENT}/{each.id}",
            )
            for each, key in documents
        ]
        for each in stored:
            each.result()
        if stored:
            self._inbox.queue.bell.ring()

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
