"""The queues as tables that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_coder.delivery.backlog import Entry, QueueStatus, Status

_MEGABYTE = 1_000_000


def status_table(status: Status, jobs: Mapping[str, int]) -> RenderableType:
    """Return how much is in the queues, the number of asynchronous calls by their state, and below it what failed."""
    counts = Table(header_style="bold")
    counts.add_column("")
    for column in ("Waiting", "Tried again later", "In hand", "MB", "Oldest", "Coded / sent", "Failed"):
        counts.add_column(column, justify="right")
    counts.add_row("Inbox: to be coded", *_counted(status.inbox))
    counts.add_row("Outbox: to be delivered", *_counted(status.outbox))
    parts = status.parts
    if parts.parts:
        told = (f"{parts.messages:,}", "", "", f"{parts.bytes / _MEGABYTE:,.1f}", _age(parts.oldest_seconds))
        counts.add_row("Messages in parts, of which some are missing", *told)
    below: list[RenderableType] = []
    if any(jobs.values()):
        below.append(Text(f"Asynchronous calls: {', '.join(f'{number:,} {state}' for state, number in jobs.items())}"))
    if status.incomplete:
        waiting = [(entry.id, _time(entry.added), f"{entry.bytes:,}") for entry in status.incomplete]
        below.append(_listed("Wait for other parts of their message", ("ID", "Since (UTC)", "Bytes"), waiting))
    if status.failed:
        columns = ("ID", "Kind", "Since (UTC)", "Attempts", "Reason")
        rows = [
            (entry.id, entry.kind, _time(entry.changed), str(entry.attempts), entry.reason or "")
            for entry in status.failed
        ]
        below.append(_listed("Failed", columns, rows))
    return Group(counts, *below)


def _listed(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    result = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        result.add_column(column, overflow="fold", justify="right" if column in ("Attempts", "Bytes") else "left")
    for row in rows:
        result.add_row(*map(Text, row))
    return result


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
    numbers = (queue.waiting, queue.delayed, queue.in_hand)
    return [
        *(f"{number:,}" for number in numbers),
        f"{queue.bytes / _MEGABYTE:,.1f}",
        _age(queue.oldest_seconds),
        f"{queue.done:,}",
        f"{queue.failed:,}",
    ]


def _age(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.0f} s"


def _time(value: datetime) -> str:
    return value.isoformat(sep=" ", timespec="seconds")
