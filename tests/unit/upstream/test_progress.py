"""The events of a Subscription: which are known, and whether some are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder.delivery.database import open_database
from fhir_coder.upstream.progress import Counted, Progress

ONE = "Subscription/1"


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    """What is known of a server: nothing."""
    return Progress(open_database(tmp_path), "http://fhir.example.org/fhir")


def counted(filled: int, seen: int) -> Counted:
    return Counted(subscription=ONE, filled=filled, seen=seen)


@pytest.mark.parametrize(
    ("notifications", "filled", "seen"),
    [
        ([((1,), 1)], 1, 1),
        ([((1,), 1), ((2,), 2), ((3,), 3)], 3, 3),
        ([((1, 2, 3), 3)], 3, 3),
        ([((1,), 1), ((3,), 3)], 1, 3),  # 2 is lost
        ([((2,), 2)], 0, 2),  # the first one is lost
        ([((1,), 1), ((3,), 3), ((2,), 3)], 2, 3),  # 3 overtook 2, and is asked for again
        ([((1,), 1), ((1,), 1)], 1, 1),  # sent twice
        ([((1,), 1), ((), 4)], 1, 4),  # a heartbeat tells of more
        ([((1,), None)], 1, 1),
    ],
)
def test_counting(progress: Progress, notifications: list[tuple[tuple[int, ...], int]], filled: int, seen: int) -> None:
    for numbers, events in notifications:
        known = progress.count(ONE, numbers, events)
    assert known == counted(filled, seen)
    assert known.has_gap is (filled < seen)
    assert progress.subscriptions() == [known]


def test_filling_a_gap_leaves_what_came_since(progress: Progress) -> None:
    gap = progress.count(ONE, (3,), 3)
    progress.count(ONE, (6,), 6)
    progress.fill(gap)
    assert progress.subscriptions() == [counted(3, 6)]


def test_a_handshake_begins_with_what_was_before(progress: Progress) -> None:
    assert progress.begin(ONE, 7) == counted(7, 7)
    assert progress.count(ONE, (8,), 8) == counted(8, 8)


def test_a_renewed_subscription_goes_on(progress: Progress) -> None:
    progress.begin(ONE, 0)
    progress.count(ONE, (1,), 1)
    assert progress.begin(ONE, 3) == counted(1, 3)  # two happened in between


def test_a_subscription_that_counts_anew(progress: Progress) -> None:
    progress.begin(ONE, 0)
    progress.count(ONE, (1, 2, 3), 3)
    assert progress.begin(ONE, 0) == counted(0, 0)
    assert not progress.count(ONE, (1,), 1).has_gap


def test_forgotten(progress: Progress) -> None:
    progress.count(ONE, (1,), 1)
    progress.forget(ONE)
    assert progress.subscriptions() == []


def test_searched(progress: Progress) -> None:
    assert progress.searched_until() is None
    for until in ("2026-03-01T10:00:00.000+00:00", "2026-03-01T11:00:00.000+00:00"):
        progress.set_searched(until)
    assert progress.searched_until() == "2026-03-01T11:00:00.000+00:00"
