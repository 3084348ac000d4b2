"""What the line protocol counts, for Prometheus. Labels are names of our own, never anything that came in."""

from __future__ import annotations

from collections import Counter as Counted

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LINES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class LineMetrics:
    """The counters, in the registry that is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "fhir_coder_lines",
            "Lines answered, by code system and by what was answered: a code, none, or why not.",
            ["system", "answer"],
            registry=registry,
        )
        self.connections = Gauge("fhir_coder_line_connections", "Open connections.", registry=registry)
        self._dropped = Counter(
            "fhir_coder_line_connections_dropped", "Connections dropped, by reason.", ["reason"], registry=registry
        )
        self._sizes = Histogram("fhir_coder_line_batch", "Lines in a batch.", buckets=_LINES, registry=registry)
        self._seconds = Histogram(
            "fhir_coder_line_batch_seconds", "Time to answer a batch.", buckets=_SECONDS, registry=registry
        )

    def answered(self, system: str, answers: Counted[str]) -> None:
        """Count answers: "coded", "abstained" or a refusal."""
        for answer, count in answers.items():
            self._answers.labels(system, answer).inc(count)

    def dropped(self, reason: str) -> None:
        """Count a connection that was dropped."""
        self._dropped.labels(reason).inc()

    def batch(self, lines: int, seconds: float) -> None:
        """Count a batch."""
        self._sizes.observe(lines)
        self._seconds.observe(seconds)
