"""The desk: codes notes one at a time and delivers what came of them, for HTTP and for the worker alike."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from fhir_coder.delivery.client import FhirClient
from fhir_coder.delivery.ndjson import NdjsonWriter
from fhir_coder.errors import DeliveryError, InputError, TransientDeliveryError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.lookup.workers import candidates
from fhir_coder.model import Candidate, CodedNote, Note
from fhir_coder.service.metrics import Metrics
from fhir_coder.settings import Settings

if TYPE_CHECKING:  # it is given; importing it would take seconds
    from fhir_coder.pipeline import Coder
    from fhir_coder.terminology.store import ConceptStore


class Desk:
    """Wraps a Coder for use from several threads.

    Coding is work for the processor: a second thread would only make both slower, so there is one lock.
    Delivery has another, so that a slow FHIR server does not keep notes from being coded.
    """

    def __init__(self, coder: Coder, settings: Settings) -> None:
        """Open the places that `settings.out` and `settings.server` name."""
        self.settings = settings
        self.metrics = Metrics()
        self._coder = coder
        self._coding = Lock()
        self._delivering = Lock()
        self._writer = NdjsonWriter(settings.out) if settings.out else None
        self._client = FhirClient(str(settings.server), timeout=settings.delivery_timeout) if settings.server else None

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
        with self._coding, self.metrics.stage("code"):
            coded = self._coder(note) if min_confidence is None else self._coder(note, min_confidence=min_confidence)
        self.metrics.notes.inc()
        return coded

    def lookup(self, system: str, text: str, top: int) -> tuple[Candidate, ...]:
        """Return the ranked candidates for a text. Raises `InputError` for an unknown system."""
        with self._coding, self.metrics.stage("lookup"):
            return self._coder.lookup(system, text, top)

    def candidates(self, questions: Sequence[tuple[str, str]]) -> list[tuple[Candidate, ...]]:
        """Return the ranked candidates for each (code system, text)."""
        with self._coding, self.metrics.stage("lookup"):
            return candidates(self._coder, questions)

    def bundle(self, coded: CodedNote) -> dict[str, Any]:
        """Return the checked transaction Bundle of a coded note."""
        with self.metrics.stage("bundle"):
            bundle = to_bundle(coded, ai_security_label=self.settings.ai_security_label)
            check(bundle)
        return bundle

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

    def deliver(self, note: Note, bundle: dict[str, Any]) -> None:
        """Write and send the Bundle of a note. Raises `InputError`, `DeliveryError` and OSError."""
        self.require_deliverable(note)
        with self._delivering, self.metrics.stage("deliver"):
            if self.settings.out is not None:
                self._write(self.settings.out, bundle)
            if self._client is not None:
                self._client.send(bundle)

    def close(self) -> None:
        """Write files through to the disk and close the connections to the FHIR server."""
        with self._delivering:
            if self._writer is not None:
                self._writer.close()
            if self._client is not None:
                self._client.close()

    def _write(self, folder: Path, bundle: dict[str, Any]) -> None:
        writer = self._writer or NdjsonWriter(folder)
        # Forgotten until it has succeeded: after a fault, what it believes to be in the files may not be there.
        self._writer = None
        try:
            writer.write(bundle)
        except DeliveryError as error:
            with suppress(OSError):  # the first fault is the one to tell
                writer.close()
            if isinstance(error.__cause__, OSError):  # a full disk is not the note's fault
                raise TransientDeliveryError(str(error)) from error
            raise
        self._writer = writer
