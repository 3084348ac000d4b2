"""The intake of HL7 v2 messages: looked at, stored, acknowledged; coded later by the worker."""

from __future__ import annotations

from collections.abc import Callable

from fhir_coder.delivery.inbox import Inbox, Item
from fhir_coder.errors import InputError
from fhir_coder.ingest.acknowledgement import acknowledge
from fhir_coder.ingest.hl7v2 import message_key, parse
from fhir_coder.ingest.mdm import note_from_message
from fhir_coder.service.desk import Desk
from fhir_coder.service.metrics import Metrics
from fhir_coder.settings import Settings

KIND = "hl7v2"


class Receiver:
    """Takes messages in, whichever way they came."""

    def __init__(self, inbox: Inbox, wake: Callable[[], None], settings: Settings, metrics: Metrics) -> None:
        """`wake` is called after a message was stored."""
        self._inbox = inbox
        self._wake = wake
        self._settings = settings
        self._metrics = metrics

    def receive(self, raw: bytes) -> bytes | None:
        """Return the acknowledgement of a message, or None when it asks for none. An AA means: stored and synced.

        A permanent fault is answered with AE or AR. A transient one (the disk) raises SQLAlchemyError or OSError
        and must not be answered: engines send again what was not answered, and give up on an AE.
        """
        try:
            message = parse(raw)
            note_from_message(message, self._settings)
        except InputError as error:
            return self.refuse(raw, error)
        self._inbox.store(KIND, raw, message_key(message, raw))
        self._wake()
        return self._counted(acknowledge(raw, None))

    def refuse(self, raw: bytes, error: InputError) -> bytes | None:
        """Return the acknowledgement that says why a message is not taken."""
        self._metrics.errors.labels(error.code).inc()
        return self._counted(acknowledge(raw, error))

    def _counted(self, acknowledgement: bytes | None) -> bytes | None:
        code = acknowledgement.split(b"\rMSA|", 1)[1][:2].decode("ascii") if acknowledgement else "none"
        self._metrics.acknowledgements.labels(code).inc()
        return acknowledgement


def code_item(item: Item, desk: Desk) -> None:
    """Code and deliver a message of the inbox. Raises what reading, checking and delivering raise."""
    note = note_from_message(parse(item.payload), desk.settings)
    desk.deliver(note, desk.bundle(desk.code(note)))
