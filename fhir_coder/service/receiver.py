"""The intake of HL7 v2 messages: looked at, stored, acknowledged; coded later by the worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from fhir_coder.attachments.fetch import ANYTHING, Permit
from fhir_coder.delivery.capacity import Capacity
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.delivery.message_parts import MessageParts
from fhir_coder.errors import AccessError, InputError, TransientDeliveryError
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.acknowledgement import acknowledge
from fhir_coder.ingest.hl7v2 import Message, message_key, parse, read_header
from fhir_coder.ingest.hl7v2_content import Content, kind_of_message
from fhir_coder.ingest.hl7v2_data import require_permitted
from fhir_coder.ingest.hl7v2_intake import Look, look_at_raw, read_raw, require_default_charset
from fhir_coder.ingest.hl7v2_part import Part, part_of, whole_message
from fhir_coder.ingest.hl7v2_unmapped import counted_place, unmapped_fields
from fhir_coder.logs import correlated, correlation
from fhir_coder.service.desk import Desk
from fhir_coder.service.metrics import Metrics
from fhir_coder.settings import Settings

_log = logging.getLogger(__name__)

KIND = "hl7v2"
_TRANSIENT = "transient"  # of an InputError: the fault is of another server, and may pass


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a message is answered with, and when: not before all of `stored` are done."""

    acknowledgement: bytes | None  # None when the message asks for none
    stored: Sequence[Future[int]] = ()  # one for each patient


class Receiver:
    """Takes messages in, whichever way they came."""

    def __init__(
        self,
        inbox: Inbox,
        wake: Callable[[], None],
        settings: Settings,
        metrics: Metrics,
        capacity: Capacity | None = None,
    ) -> None:
        """`wake` is called after a message was stored; without `capacity` any number may wait.

        Raises `SettingsError` for a wrong hl7v2_charset.
        """
        require_default_charset(settings)
        self._inbox = inbox
        self._wake = wake
        self._settings = settings
        self._metrics = metrics
        self._capacity = capacity
        self._parts = MessageParts(inbox.queue.engine)
        metrics.parts.set(self._parts.waiting())

    def receive(self, raw: bytes, permit: Permit | None = None) -> bytes | None:
        """Return the acknowledgement of a message, or None when it asks for none. An AA means: stored and synced.

        A permanent fault is answered with AE or AR. A transient one (the disk) raises SQLAlchemyError or OSError
        and must not be answered: engines send again what was not answered, and give up on an AE. Raises
        `QueueFullError` when as much waits as may, and what `permit` does (see `begin`).
        """
        if self._capacity is not None:
            self._capacity.require_room()
        receipt = self.begin(raw, permit)
        for stored in receipt.stored:
            stored.result()
        return self.finish(receipt)

    @property
    def has_room(self) -> bool:
        """Whether messages may be read: one that was, is stored by `begin` in any case."""
        return self._capacity is None or not self._capacity.is_full

    def begin(self, raw: bytes, permit: Permit | None = None) -> Receipt:
        """Look at a message and have it stored, for a caller that waits for many at once.

        `permit` says what may be read of the FHIR server for the sender (`attachments.fetch`), where the message points
        at it; without it, all: senders over MLLP have no scopes. Raises what it raises; then nothing is stored.
        """
        try:
            if permit is not None:
                self._require_permitted(raw, permit)
            part = part_of(raw)
            if part is not None:
                return self._begin_part(raw, part, permit)
            look = look_at_raw(raw, self._settings)
        except InputError as error:
            return self.refuse(raw, error)
        return Receipt(acknowledge(raw, None), self._submit(look, raw))

    def _submit(self, look: Look, raw: bytes) -> Sequence[Future[int]]:
        """Have the shares of a message stored, in their order.

        Should the program end between two of them, the message was not acknowledged, and by their keys those that are
        there are known when it comes again.
        """
        key = message_key(look.message, raw)
        return [
            self._inbox.submit(KIND, share.raw, f"{key}-{number}" if number else key, patient=share.patient)
            for number, share in enumerate(look.shares)
        ]

    def _require_permitted(self, raw: bytes, permit: Permit) -> None:
        try:
            message = parse(raw, self._settings.hl7v2_charset)
        except InputError:
            if part_of(raw) is None:
                raise
            permit(ANYTHING)  # a part that cannot be looked at by itself
        else:
            require_permitted(message, self._settings, permit)

    def _begin_part(self, raw: bytes, part: Part, permit: Permit | None) -> Receipt:
        """Store a part of a message and, with the last one to come, the message. It waits for the disk.

        Raises `InputError` when the message is refused, and what `permit` raises of the whole (a pointer may go on in
        the next part); the part that completed it is forgotten, so that it may come again corrected.
        """
        header = read_header(raw)
        if not part.continues and header.value("MSH", 9, 2):
            kind_of_message(header)  # what is not read is refused with its first part
        key = message_key(header, raw)
        if not self._parts.store(key, part.sender, part.continues, part.pointer, part.raw):
            return Receipt(acknowledge(raw, None))
        try:
            parts = self._parts.message(key, self._settings.max_body_bytes)
            if parts is not None:
                whole = whole_message(list(parts.values()))
                look = look_at_raw(whole, self._settings)
                if permit is not None:
                    require_permitted(look.message, self._settings, permit)
        except (InputError, AccessError):
            self._parts.forget(key)
            raise
        submitted: Sequence[Future[int]] = ()
        if parts is not None:
            submitted = self._submit(look, whole)
            for stored in submitted:
                stored.result()
            self._parts.release(parts)
        self._metrics.parts.set(self._parts.waiting())
        return Receipt(acknowledge(raw, None), submitted)

    def refuse(self, raw: bytes, error: InputError) -> Receipt:
        """Return the receipt that says why a message is not taken."""
        self._metrics.errors.labels(error.code).inc()
        return Receipt(acknowledge(raw, error))

    def finish(self, receipt: Receipt) -> bytes | None:
        """Return the acknowledgement, now that what was to be stored is."""
        if receipt.stored:
            numbers = [stored.result() for stored in receipt.stored]
            self._wake()
            if _log.isEnabledFor(logging.DEBUG):
                with correlated(correlation() or f"inbox-{numbers[0]}"):  # a call over HTTP has a name already
                    _log.debug("inbox item %d is stored", numbers[0])
        answer = receipt.acknowledgement
        code = answer.split(b"\rMSA|", 1)[1][:2].decode("ascii") if answer else "none"
        self._metrics.acknowledgements.labels(code).inc()
        return answer


def code_item(item: Item, desk: Desk) -> Coded:
    """Return what is to be delivered for a message of the inbox: its records, and its notes, coded.

    Raises what reading, coding and checking raise.
    """
    message, content = _read_whole(item.payload, desk.settings)
    for place in unmapped_fields(message):
        desk.metrics.unmapped.labels(counted_place(place)).inc()
    dispatches: list[Dispatch] = []
    if content.records:
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "transaction", "entry": list(content.records)}
        check(bundle)
        dispatches.append(Dispatch(bundle=bundle))
    dispatches += [desk.dispatch(note, desk.bundle(desk.code(note))) for note in content.notes]
    return Coded(dispatches=dispatches)


def _read_whole(raw: bytes, settings: Settings) -> tuple[Message, Content]:
    """Return a message with the documents behind its pointers; when one cannot be had now, the message is tried again.

    Raises `TransientDeliveryError` for that, and `InputError`.
    """
    try:
        message, content = read_raw(raw, settings)
    except InputError as error:
        if error.code == _TRANSIENT:
            raise TransientDeliveryError(str(error)) from error
        raise
    later = next((error for error in content.unread if error.code == _TRANSIENT), None)
    if later is not None:
        raise TransientDeliveryError(str(later))
    return message, content
