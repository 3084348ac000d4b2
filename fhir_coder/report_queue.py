"""The queues as tables that people read."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_coder.delivery.backlog import Entry, QueueStatus, Status

_MEGABYTE = 1_000_000


def status_table(status: Status) -> RenderableType:
    """Return how much is in the queues, and below it the latest that failed."""
    counts = Table(header_style="bold")
    counts.add_column("")
    for column in ("Waiting", "Tried again later", "In hand", "MB", "Oldest", "Coded / sent", "Failed"):
        counts.add_column(column, justify="right")
    counts.add_row("Inbox: to be coded", *_counted(status.inbox))
    counts.add_row("Outbox: to be delivered", *_counted(status.outbox))
    if not status.failed:
        return counts
    failed = Table(title="Failed", title_justify="left", header_style="bold")
    for column in ("ID", "Kind", "Since (UTC)", "Attempts", "Reason"):
        failed.add_column(column, overflow="fold", justify="right" if column == "Attempts" else "left")
    for entry in status.failed:
        told = (entry.id, entry.kind, _time(entry.changed), str(entry.attempts), entry.reason or "")
        failed.add_row(*map(Text, told))
    return Group(counts, failed)


def entry_table(entry: Entry) -> Table:
    """Return one entry, a line for each of its properties."""
    result = Table(show_header=False)
    result.add_column(style="bold")
    result.add_column(overflow="fold")
    for name, value in (
        ("ID", entry.id),
        ("Kind", entry.kind),
        ("State", entry.state + (", in hand" if entry.in_hand else "")),
        ("Bytes", f"{entry.bytes:,}" + (" (purged)" if entry.purged else "")),
        ("Attempts", str(entry.attempts)),
        ("Added (UTC)", _time(entry.added)),
        ("Changed (UTC)", _time(entry.changed)),
        ("Not before (UTC)", _time(entry.not_before) if entry.not_before else ""),
        ("Came of", entry.came_of or ""),
        ("Reason", entry.reason or ""),
    ):
        if value:
            result.add_row(name, Text(value))
    return result


def _counted(queue: QueueStatus) -> list[str]:
    oldest = "" if queue.oldest_seconds is None else f"{queue.oldest_seconds:,.0f} s"
    numbers = (queue.waiting, queue.delayed, queue.in_hand)
    return [
        *(f"{number:,}" for number in numbers),
        f"{queue.bytes / _MEGABYTE:,.1f}",
        oldest,
        f"{queue.done:,}",
        f"{queue.failed:,}",
    ]


def _time(value: datetime) -> str:
    return value.isoformat(sep=" ", timespec="seconds")
