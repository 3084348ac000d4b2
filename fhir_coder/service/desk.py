"""The desk: codes notes and puts what came of them into the outbox, for HTTP and for the inbox alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from fhir_coder.coding.abstention import abstention
from fhir_coder.delivery.capacity import Capacity
from fhir_coder.delivery.deliver import Deliverer
from fhir_coder.delivery.dispatch import Dispatch, dispatch_of
from fhir_coder.delivery.inbox import patient_key
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.queue import FAILED, WAITING
from fhir_coder.errors import DeliveryError, InputError, TransientDeliveryError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.lookup.workers import candidates
from fhir_coder.model import Candidate, CodedNote, Note
from fhir_coder.service.coding_pool import CodingPool
from fhir_coder.service.metrics import Metrics
from fhir_coder.settings import Settings

if TYPE_CHECKING:  # it is given; importing it would take seconds
    from fhir_coder.pipeline import Coder
    from fhir_coder.terminology.store import ConceptStore

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 10.0  # seconds, of a caller for the delivery of its Bundle


class Desk:
    """Wraps a Coder for use from several threads.

    Coding is work for the processor: a second thread would only make both slower, so there is one lock.
    What came of notes leaves through the outbox, so that a FHIR server that is away keeps none from being coded.
    """

    def __init__(
        self,
        coder: Coder,
        settings: Settings,
        outbox: Outbox,
        pool: CodingPool | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        """Open the places that `settings.out` and `settings.server` name.

        Notes are coded by the `pool`, if any; without `capacity` any number of Bundles may wait.
        """
        self.settings = settings
        self.outbox = outbox
        self.metrics = Metrics()
        self._coder = coder
        self._pool = pool
        self._capacity = capacity
        self._coding = Lock()
        # One attempt: the outbox knows when to make the next one.
        self._deliverer = Deliverer(settings, outbox.queue.engine, attempts=1, lookup=self.lookup)

    @property
    def store(self) -> ConceptStore:
        """The concepts, names and maps; safe to be read by several threads."""
        return self._coder.store

    @property
    def delivers(self) -> bool:
        """Whether there is any place to deliver to."""
        return self.settings.out is not None or self.settings.server is not None

    def code(self, note: Note, min_confidence: float | None = None) -> CodedNote:
        """Return the coded note."""
        try:
            with self.metrics.stage("code"):
                if self._pool is not None:
                    coded = self._pool(note, min_confidence)
                else:
                    with self._coding:
                        coded = self._coder(note, min_confidence=min_confidence)
        except Exception as error:
            self.metrics.coding_failures.labels(type(error).__name__).inc()
            raise
        self.metrics.notes.inc()
        for entity in coded.entities:
            outcome = "coded" if entity.abstained is None else abstention(entity.abstained)
            self.metrics.entities.labels(entity.type, outcome).inc()
        return coded

    def lookup(self, system: str, text: str, top: int) -> tuple[Candidate, ...]:
        """Return the ranked candidates for a text. Raises `InputError` for an unknown system."""
        with self._coding, self.metrics.stage("lookup"):
            return self._coder.lookup(system, text, top)

    def candidates(self, questions: Sequence[tuple[str, str]]) -> list[tuple[Candidate, ...]]:
        """Return the ranked candidates for each (code system, text)."""
        with self._coding, self.metrics.stage("lookup"):
            return candidates(self._coder.linker, questions)

    def bundle(self, coded: CodedNote) -> dict[str, Any]:
        """Return the checked transaction Bundle of a coded note."""
        with self.metrics.stage("bundle"):
            bundle = to_bundle(coded, ai_security_label=self.settings.ai_security_label)
            check(bundle)
        return bundle

    def require_room(self) -> None:
        """Raise `QueueFullError` when as much waits as may."""
        if self._capacity is not None:
            self._capacity.require_room()

    def require_deliverable(self, note: Note) -> None:
        """Raise `InputError` when there is no place to deliver to, or it is a server and the note names no patient."""
        if not self.delivers:
            raise InputError(
                "there is no place to deliver to; start the service with --out or --server, or leave out persist",
                place="Parameters.parameter.where(name='persist')",
                code="value",
            )
        if note.subject is None and self.settings.server is not None:
            raise InputError(
                "the note names no patient and cannot be sent to a server; refer to the Patient in subject",
                place="DocumentReference.subject",
                code="required",
            )

    def dispatch(self, note: Note, bundle: dict[str, Any], act: str | None = None) -> Dispatch:
        """Return what is to be delivered for a note. Raises `InputError` when it cannot be.

        `act` is what tells this delivery from every other one, where there is such a name already.
        """
        self.require_deliverable(note)
        made = dispatch_of(note, bundle, self.settings)
        return replace(made, act=act) if act else made

    def keep_audits(self, audits: Sequence[Dispatch]) -> None:
        """Put AuditEvents into the outbox, synced to the disk. Raises SQLAlchemyError when they cannot be stored."""
        if audits:
            self.outbox.store(audits)

    def deliver(self, note: Note, bundle: dict[str, Any], act: str | None = None) -> None:
        """Put the Bundle of a note into the outbox, synced to the disk, and wait until it is delivered.

        Raises `InputError` when it cannot be delivered, `DeliveryError` when it was refused (it is set aside), and
        `TransientDeliveryError` when it could not be delivered within `delivery_timeout`, or ten seconds: it stays in
        the outbox, and is delivered later. Raises `QueueFullError` when as much waits as may, and SQLAlchemyError when
        it cannot be stored.
        """
        self.require_room()
        number = self.outbox.store([self.dispatch(note, bundle, act)], patient_key(note.subject))[0]
        _log.debug("outbox item %d is stored", number)
        outcome = self.outbox.wait_for(number, min(self.settings.delivery_timeout, _LONGEST_WAIT))
        reason = (outcome.reason or "it waits for others").partition("Error: ")
        if outcome.state == FAILED:
            raise DeliveryError(reason[2] or reason[0])
        if outcome.state == WAITING:
            raise TransientDeliveryError(
                f"the Bundle is stored and will be delivered; so far it could not be: {reason[2] or reason[0]}"
            )

    def send(self, dispatch: Dispatch) -> None:
        """Write and send a dispatch of the outbox. Raises `DeliveryError`, SQLAlchemyError and OSError."""
        counted = self.metrics.deliveries if dispatch.audit_of is None else self.metrics.audits
        try:
            with self.metrics.stage("deliver" if dispatch.audit_of is None else "audit"):
                effects = self._deliverer.deliver(dispatch)
        except TransientDeliveryError:
            counted.labels("retry").inc()
            raise
        except DeliveryError:
            counted.labels("refused").inc()
            raise
        counted.labels("delivered").inc()
        for effect in effects:
            self.metrics.revisions.labels(effect.target, effect.what).inc()

    def close(self) -> None:
        """Write files through to the disk and close the connections to the FHIR server."""
        self._deliverer.close()
