"""Figures of a load, worked out by hand."""

from __future__ import annotations

import pytest

from fhir_coder.lookup.figures import Way, accuracies, speed
from fhir_coder.lookup.load import Load, Sent
from fhir_coder.lookup.queries import Kind, Query
from fhir_coder.lookup.report import accuracy_table, speed_table, ways_table


def test_speed() -> None:
    answered = [Sent(number, "I10", number / 1000) for number in range(1, 101)]
    failed = [Sent(101, None, 0.0), Sent(102, "!failed", 0.5)]
    found = speed("icd10cm", 7, Load((*reversed(answered), *failed), 2.0), 10)
    assert (found.per_second, found.requests, found.names) == (50, 102, 7)
    assert (found.mean, found.p50, found.p95, found.p99) == pytest.approx((50.5, 50, 95, 99))
    assert found.success == pytest.approx(100 / 102)


def test_nothing_answered() -> None:
    found = speed("icd10cm", 7, Load((Sent(0, None, 0.0),), 2.0), 1)
    assert (found.per_second, found.p99, found.success) == (0, 0, 0)


def test_accuracy() -> None:
    queries = [Query(Kind.EXACT, "snomed", "a", "1")] * 3 + [Query(Kind.MISSPELT, "snomed", "b", "2")] * 2
    answers = ["1", "9", "", "!failed", None]
    ranked = [["1"], ["9", "1"], ["9", "8", "7", "6", "5", "1"], [], ["2"]]
    exact, misspelt, together = accuracies(queries, answers, ranked)
    assert (exact.kind, exact.queries, exact.right, exact.answered, exact.right_of_answered) == (
        "exact",
        3,
        1 / 3,
        2 / 3,
        1 / 2,
    )
    assert (exact.first, exact.in_five) == (1 / 3, 2 / 3)
    assert (misspelt.right, misspelt.answered, misspelt.right_of_answered, misspelt.first) == (0, 0, None, 1 / 2)
    assert (together.kind, together.queries, together.right) == ("all", 5, 1 / 5)
    assert accuracies(queries, answers)[0].first is None
    nearest = accuracies(queries, answers, ranked, ["1", "", "1", "2", "1"])
    assert [each.dense_first for each in nearest] == [2 / 3, 1 / 2, 3 / 5]


def test_tables() -> None:
    load = Load((Sent(0, "I10", 0.1),), 1.0)
    assert speed_table([speed("icd10cm", 7, load, 1), speed("all together", 7, load, 1)]).row_count == 3
    found = accuracies([Query(Kind.EXACT, "snomed", "a", "1")], ["1"], [["1"]])
    assert len(accuracy_table(found).columns) == 8
    with_baseline = accuracies([Query(Kind.EXACT, "snomed", "a", "1")], ["1"], [["1"]], ["2"])
    assert len(accuracy_table(with_baseline).columns) == 9
    assert ways_table([Way("the cascade", 7, 0.5)]).row_count == 1
