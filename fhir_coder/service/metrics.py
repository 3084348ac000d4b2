"""What the service counts, for Prometheus. Labels are names of our own, never anything that came in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fhir_coder.lookup.metrics import LineMetrics
from fhir_coder.tracing import span

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.notes = Counter("fhir_coder_notes", "Notes coded.", registry=self._registry)
        self.errors = Counter(
            "fhir_coder_errors", "Inputs refused or failed, by FHIR issue type.", ["code"], registry=self._registry
        )
        self.acknowledgements = Counter(
            "fhir_coder_acknowledgements", "HL7 v2 acknowledgements by code.", ["code"], registry=self._registry
        )
        self.unmapped = Counter(
            "fhir_coder_hl7v2_unmapped",
            "HL7 v2 fields with values that nothing is made of.",
            ["place"],
            registry=self._registry,
        )
        self.notifications = Counter(
            "fhir_coder_notifications", "Notifications of Subscriptions by kind.", ["kind"], registry=self._registry
        )
        self.other_types = Counter(
            "fhir_coder_notified_other_types",
            "Resources that were notified and are no documents.",
            registry=self._registry,
        )
        self.documents = Counter(
            "fhir_coder_documents",
            "Documents of the FHIR server by what became of them.",
            ["outcome"],
            registry=self._registry,
        )
        self.revisions = Counter(
            "fhir_coder_revisions",
            "Resources that a later version of a document changed, took back or left to others.",
            ["target", "what"],
            registry=self._registry,
        )
        self.parts = Gauge(
            "fhir_coder_hl7v2_parts", "Parts of HL7 v2 messages that wait for the others.", registry=self._registry
        )
        self.inbox = Gauge("fhir_coder_inbox_messages", "Messages by state.", ["state"], registry=self._registry)
        self.outbox = Gauge("fhir_coder_outbox_bundles", "Bundles by state.", ["state"], registry=self._registry)
        self.oldest = Gauge(
            "fhir_coder_queue_oldest_seconds",
            "Age of the oldest that waits.",
            ["queue"],
            registry=self._registry,
        )
        self.entities = Counter(
            "fhir_coder_entities",
            "Entities by type and by whether a code was chosen, or else by the class of the reason.",
            ["type", "outcome"],
            registry=self._registry,
        )
        self.coding_failures = Counter(
            "fhir_coder_coding_failures", "Notes that could not be coded, by error.", ["error"], registry=self._registry
        )
        self.deliveries = Counter(
            "fhir_coder_deliveries",
            "Attempts to deliver: delivered, to be tried again, refused for good.",
            ["outcome"],
            registry=self._registry,
        )
        self.audits = Counter(
            "fhir_coder_audit_events",
            "Attempts to deliver AuditEvents: delivered, to be tried again, refused for good.",
            ["outcome"],
            registry=self._registry,
        )
        self.requests = Histogram(
            "fhir_coder_request_seconds",
            "Time to answer an HTTP request.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "fhir_coder_stage_seconds", "Time in a stage.", ["stage"], buckets=_SECONDS, registry=self._registry
        )
        self.lines = LineMetrics(self._registry)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure and trace what is done inside as one pass of the stage."""
        start = perf_counter()
        try:
            with span(name):
                yield
        finally:
            self._stages.labels(name).observe(perf_counter() - start)

    def exposition(self) -> bytes:
        """Return the Prometheus text format."""
        return generate_latest(self._registry)
