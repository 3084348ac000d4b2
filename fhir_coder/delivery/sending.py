"""The sending of what the outbox holds: in order of each patient, with patience for a server that is away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.gate import Gate
from fhir_coder.delivery.outbox import Outbox, Outgoing
from fhir_coder.delivery.queue import utc_now
from fhir_coder.delivery.worker import is_storage_fault, told
from fhir_coder.errors import DeliveryError, FhirCoderError, TransientDeliveryError
from fhir_coder.logs import correlated
from fhir_coder.tracing import span

_log = logging.getLogger(__name__)

TRIES = 20
"""A dispatch that fails so often while the server takes others is set aside."""
_UNFORESEEN_TRIES = 3


class Sending:
    """Takes dispatches one by one. Several may work at the same time, each in a thread of its own.

    What the server refuses for good is set aside at once, and the patient's later notes go on. What may succeed later
    is tried again, after the time that the server asked for or with growing pauses; meanwhile those of other patients
    go on. While the server takes nothing at all, one dispatch at a time asks whether it is there again (`gate`).

    AuditEvents have a gate of their own: while they are not taken, one at a time asks, and notes go on.
    """

    def __init__(
        self,
        outbox: Outbox,
        deliver: Callable[[Dispatch], None],
        gate: Gate,
        audits_of: Sequence[str] | None = None,
        *,
        notes: bool = True,
    ) -> None:
        """`deliver` raises `DeliveryError` or `TransientDeliveryError`; `gate` is shared by all who send.

        `audits_of` names the places (base URL, folder) whose AuditEvents are sent; None: all are. Without `notes`,
        nothing else is sent.
        """
        self._notes = notes
        self._outbox = outbox
        self._deliver = deliver
        self._gate = gate
        self._audits_of = audits_of
        self._audit_gate = Gate(gate.clock, "the log of AuditEvents")
        self._note_taken = datetime.min  # when the server last took something else than an AuditEvent

    def step(self) -> float | None:
        """Deliver one dispatch, if there is one. Return the seconds to wait, or None when there is nothing to send.

        Raises SQLAlchemyError and OSError when the database or the disk is at fault.
        """
        wait = self._gate.enter()
        if wait:
            return wait
        audits = not self._audit_gate.enter()
        outgoing = None
        try:
            outgoing = self._outbox.take(notes=self._notes, audits_of=self._audits_of if audits else ())
        finally:
            is_audit = outgoing is not None and outgoing.dispatch.audit_of is not None
            if audits and not is_audit:
                self._audit_gate.leave()
            if outgoing is None:
                self._gate.leave()
        if outgoing is None:
            return None
        try:
            with correlated(_correlation(outgoing)), span("delivery", attempt=outgoing.attempts):
                self._send(outgoing)
        except Exception as error:
            if is_storage_fault(error):
                with suppress(SQLAlchemyError):  # else it is given back when the database is there again
                    self._outbox.queue.give_back(outgoing.row)
            raise
        finally:
            self._gate.leave()
            if is_audit:
                self._audit_gate.leave()
            self._outbox.queue.release(outgoing.row)
        return 0.0

    def _send(self, outgoing: Outgoing) -> None:
        try:
            self._deliver(outgoing.dispatch)
        except TransientDeliveryError as error:
            self._try_again(outgoing, error, alone=self._failed(outgoing, error))
        except (DeliveryError, FhirCoderError) as error:
            self._succeeded(outgoing)  # a refusal is an answer, too
            self._set_aside(outgoing, told(error))
        except Exception as error:
            if is_storage_fault(error):
                raise
            self._unforeseen(outgoing, error)
        else:
            self._succeeded(outgoing)
            self._outbox.sent(outgoing)
            _log.info("outbox item %d is delivered", outgoing.id)

    def _succeeded(self, outgoing: Outgoing) -> None:
        self._gate.succeeded()
        if outgoing.dispatch.audit_of is None:
            self._note_taken = utc_now()
        else:
            self._audit_gate.succeeded()

    def _failed(self, outgoing: Outgoing, error: TransientDeliveryError) -> bool:
        """Tell the gate, and return whether the server took others, so that the fault may be of this one."""
        if outgoing.dispatch.audit_of is None:
            return self._gate.failed(error.retry_after)
        self._audit_gate.failed(error.retry_after)
        tried: datetime = outgoing.row.values["changed"]  # the time before
        return self._note_taken > tried

    def _try_again(self, outgoing: Outgoing, error: TransientDeliveryError, *, alone: bool) -> None:
        """`alone`: the server took others just before, so that the fault may be of this one."""
        if alone and outgoing.attempts >= TRIES:
            self._set_aside(outgoing, f"{told(error)} (tried {TRIES} times while the server took others)")
            return
        seconds = self._outbox.queue.put_back(outgoing.row, told(error), counts=alone, after=error.retry_after)
        _log.warning("outbox item %d is tried again in %.1f s: %s", outgoing.id, seconds, told(error))

    def _unforeseen(self, outgoing: Outgoing, error: Exception) -> None:
        if outgoing.attempts >= _UNFORESEEN_TRIES:
            self._set_aside(outgoing, told(error))
            return
        self._outbox.queue.put_back(outgoing.row, told(error), counts=True)
        _log.warning("outbox item %d is tried again: %s", outgoing.id, told(error))

    def _set_aside(self, outgoing: Outgoing, reason: str) -> None:
        self._outbox.queue.fail(outgoing.row, reason)
        _log.error("outbox item %d is set aside: %s", outgoing.id, reason)


def _correlation(outgoing: Outgoing) -> str:
    """Under the name of the inbox item that it came of; what a caller waits for has one of its own."""
    item = outgoing.row.values["item"]
    return f"outbox-{outgoing.id}" if item is None else f"inbox-{item}"
