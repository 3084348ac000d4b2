"""The intake of HL7 v2 messages: looked at, stored, acknowledged; coded later by the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from fhir_coder.delivery.inbox import Inbox, Item
from fhir_coder.errors import InputError
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.acknowledgement import acknowledge
from fhir_coder.ingest.hl7v2 import message_key
from fhir_coder.ingest.hl7v2_intake import read_raw, require_default_charset
from fhir_coder.ingest.hl7v2_unmapped import counted_place, unmapped_fields
from fhir_coder.model import Note
from fhir_coder.service.desk import Desk
from fhir_coder.service.metrics import Metrics
from fhir_coder.settings import Settings

KIND = "hl7v2"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a message is answered with, and when: not before `stored` is done, where it is to be stored."""

    acknowledgement: bytes | None  # None when the message asks for none
    stored: Future[int] | None = None


class Receiver:
    """Takes messages in, whichever way they came."""

    def __init__(self, inbox: Inbox, wake: Callable[[], None], settings: Settings, metrics: Metrics) -> None:
        """`wake` is called after a message was stored. Raises `SettingsError` for a wrong hl7v2_charset."""
        require_default_charset(settings)
        self._inbox = inbox
        self._wake = wake
        self._settings = settings
        self._metrics = metrics

    def receive(self, raw: bytes) -> bytes | None:
        """Return the acknowledgement of a message, or None when it asks for none. An AA means: stored and synced.

        A permanent fault is answered with AE or AR. A transient one (the disk) raises SQLAlchemyError or OSError
        and must not be answered: engines send again what was not answered, and give up on an AE.
        """
        receipt = self.begin(raw)
        if receipt.stored is not None:
            receipt.stored.result()
        return self.finish(receipt)

    def begin(self, raw: bytes) -> Receipt:
        """Look at a message and have it stored, for a caller that waits for many at once."""
        try:
            message, _ = read_raw(raw, self._settings)
        except InputError as error:
            return self.refuse(raw, error)
        return Receipt(acknowledge(raw, None), self._inbox.submit(KIND, raw, message_key(message, raw)))

    def refuse(self, raw: bytes, error: InputError) -> Receipt:
        """Return the receipt that says why a message is not taken."""
        self._metrics.errors.labels(error.code).inc()
        return Receipt(acknowledge(raw, error))

    def finish(self, receipt: Receipt) -> bytes | None:
        """Return the acknowledgement, now that what was to be stored is."""
        if receipt.stored is not None:
            self._wake()
        answer = receipt.acknowledgement
        code = answer.split(b"\rMSA|", 1)[1][:2].decode("ascii") if answer else "none"
        self._metrics.acknowledgements.labels(code).inc()
        return answer


def code_item(item: Item, desk: Desk) -> None:
    """Write the records of a message of the inbox, and code and deliver its notes.

    A message that is tried again after some of it was delivered writes that once: its resources are known by their
    identifiers. Raises what reading, checking and delivering raise.
    """
    message, content = read_raw(item.payload, desk.settings)
    for place in unmapped_fields(message):
        desk.metrics.unmapped.labels(counted_place(place)).inc()
    if content.records:
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "transaction", "entry": list(content.records)}
        check(bundle)
        desk.deliver(Note(text="", subject=_patient_of(content.records)), bundle)
    for note in content.notes:
        desk.deliver(note, desk.bundle(desk.code(note)))


def _patient_of(records: tuple[Mapping[str, Any], ...]) -> str:
    return next(str(entry["fullUrl"]) for entry in records if entry["resource"]["resourceType"] == "Patient")
