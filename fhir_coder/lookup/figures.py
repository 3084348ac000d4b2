"""What a benchmark of the line protocol found: how fast, how right, and what the ancestor published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from fhir_coder.lookup.load import Load
from fhir_coder.lookup.queries import Kind, Query

TOGETHER = "all together"


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast requests were answered."""

    name: str  # a code system's short name, or `TOGETHER`
    names: int  # in the release that codes are chosen from
    requests: int
    concurrent: int
    per_second: float
    mean: float  # milliseconds, as the next three
    p50: float
    p95: float
    p99: float
    success: float  # share that was answered, be it that no code is sure enough
    cpu_ms: float | None  # of the server's processor for a request, where the server was started here


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How right the answers were: of a kind of query in a code system, or of all of them (`kind` "all")."""

    system: str
    kind: str
    queries: int
    right: float  # share of the queries whose answer is the code
    answered: float  # share of the queries that were answered with a code; the others got none
    right_of_answered: float | None
    first: float | None = None  # share of the queries whose code is ranked first, before abstention
    in_five: float | None = None  # ... among the first five
    dense_first: float | None = None  # share of the queries whose code has the nearest vector: the baseline


@dataclass(frozen=True, slots=True)
class Cost:
    """What the server took that the benchmark started."""

    start_seconds: float
    megabytes: float | None  # of all its processes; pages that they share are counted once


@dataclass(frozen=True, slots=True)
class Way:
    """What a way to find codes costs, without the protocol."""

    name: str
    queries: int
    cpu_ms: float  # a query


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it."""

    speeds: tuple[Speed, ...]
    accuracies: tuple[Accuracy, ...]
    cost: Cost | None
    ways: tuple[Way, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What the ancestor's authors measured."""

    names: int
    per_second: float
    mean: float
    p95: float


ANCESTOR: Mapping[str, Published] = MappingProxyType(
    {
        "icd10cm": Published(559_940, 160, 607, 687),
        "snomed": Published(350_000, 189, 516, 613),
        "loinc": Published(104_000, 304, 320, 417),
        "rxnorm": Published(270_000, 203, 481, 588),
        "hcpcs": Published(8_725, 398, 245, 327),
    }
)
"""1,000 requests, 100 concurrent, one code system at a time, on an Apple M2 Max; no accuracy is published."""


def speed(name: str, names: int, load: Load, concurrent: int, cpu: float | None = None) -> Speed:
    """Return how fast a load was answered, with `cpu` seconds; times are those of the answered requests."""
    times = sorted(1000 * sent.seconds for sent in load.sent if sent.succeeded)
    return Speed(
        name=name,
        names=names,
        requests=len(load.sent),
        concurrent=concurrent,
        per_second=len(times) / load.seconds,
        mean=sum(times) / len(times) if times else 0.0,
        p50=_percentile(times, 50),
        p95=_percentile(times, 95),
        p99=_percentile(times, 99),
        success=len(times) / len(load.sent),
        cpu_ms=None if cpu is None else 1000 * cpu / len(load.sent),
    )


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of the values do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0


def accuracies(
    queries: Sequence[Query],
    answers: Sequence[str | None],
    ranked: Sequence[Sequence[str]] | None = None,
    dense: Sequence[str] | None = None,
) -> list[Accuracy]:
    """Return how right the answers were, per code system and kind, and of each system as a whole.

    `ranked` holds for each query the codes of the first candidates, and `dense` the code of the nearest vector, where
    they are known.
    """
    unknown = [None] * len(queries)
    rows = [
        _Row(query, answer, of_query, nearest)
        for query, answer, of_query, nearest in zip(queries, answers, ranked or unknown, dense or unknown, strict=True)
    ]
    found = []
    for system in dict.fromkeys(query.system for query in queries):
        for kind in (*Kind, "all"):
            some = [row for row in rows if row.query.system == system and kind in (row.query.kind, "all")]
            if some:
                found.append(_accuracy(system, kind, some))
    return found


class _Row(NamedTuple):
    query: Query
    answer: str | None
    ranked: Sequence[str] | None
    nearest: str | None


def _accuracy(system: str, kind: str, rows: Sequence[_Row]) -> Accuracy:
    count = len(rows)
    answered = sum(bool(row.answer) and not str(row.answer).startswith("!") for row in rows)
    right = sum(row.answer == row.query.code for row in rows)
    codes = [(row.query.code, row.ranked) for row in rows if row.ranked is not None]
    nearest = [row.nearest == row.query.code for row in rows if row.nearest is not None]
    return Accuracy(
        system=system,
        kind=str(kind),
        queries=count,
        right=right / count,
        answered=answered / count,
        right_of_answered=right / answered if answered else None,
        first=sum(code in ranked[:1] for code, ranked in codes) / count if codes else None,
        in_five=sum(code in ranked[:5] for code, ranked in codes) / count if codes else None,
        dense_first=sum(nearest) / count if nearest else None,
    )
