"""Rows of many senders in one commit."""

from collections.abc import Sequence
from threading import Event

import pytest

from fhir_coder.delivery.group_commit import GroupCommit


class Disk:
    """Takes rows, and can be held up."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.ready = Event()
        self.ready.set()
        self.error: Exception | None = None

    def write(self, rows: Sequence[str]) -> list[int]:
        """Store rows; their ids are their lengths."""
        self.ready.wait(10)
        self.groups.append(list(rows))
        if self.error:
            raise self.error
        return [len(row) for row in rows]


def test_what_waits_while_the_disk_is_busy_goes_together() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    disk.ready.clear()
    waiting = [commits.submit("x" * number, number) for number in range(1, 11)]
    disk.ready.set()
    assert [each.result(10) for each in waiting] == list(range(1, 11))
    commits.close()
    assert sum(map(len, disk.groups)) == 10
    assert len(disk.groups) <= 2


def test_a_group_is_bounded_by_its_bytes() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    disk.ready.clear()
    waiting = [commits.submit("x", 40_000_000) for _ in range(5)]
    disk.ready.set()
    for each in waiting:
        each.result(10)
    commits.close()
    assert max(map(len, disk.groups)) <= 2


def test_a_fault_of_the_disk_is_told_to_all_and_the_next_row_is_tried() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    disk.error = OSError("no space left")
    with pytest.raises(OSError, match="no space"):
        commits.submit("a", 1).result(10)
    disk.error = None
    assert commits.submit("ab", 2).result(10) == 2
    commits.close()


def test_a_sender_that_no_longer_waits_does_not_harm_the_others() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    disk.ready.clear()
    first, second = commits.submit("a", 1), commits.submit("ab", 2)
    assert not first.cancel()
    disk.ready.set()
    assert (first.result(10), second.result(10)) == (1, 2)
    commits.close()


def test_closing_stores_what_waits() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    waiting = [commits.submit("a", 1) for _ in range(100)]
    commits.close()
    assert all(each.done() for each in waiting)
    commits.close()
