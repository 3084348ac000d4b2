"""`fhir-coder queue`: what waits, what failed, and what to do about it. It works while the service runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy import Engine

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.delivery.backlog import Backlog
from fhir_coder.report_queue import entry_table, status_table
from fhir_coder.service.jobs import job_counts, remove_expired
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain, print_json, print_table

queue = typer.Typer(
    help="What was taken in and what is to go out: what waits, what failed (was set aside), and what to do about it.",
    no_args_is_help=True,
)

AllFailed = Annotated[bool, typer.Option("--all-failed", help="All that failed.")]


class QueueFormat(StrEnum):
    """How the queue is printed."""

    TABLE = "table"
    JSON = "json"


Format = Annotated[QueueFormat, typer.Option("--format", help="What to print.")]


@queue.command()
def status(
    output: Format = QueueFormat.TABLE,
    failed: Annotated[
        int, typer.Option(min=0, help="How many to list of those that failed, the latest first, and of waiting parts.")
    ] = 20,
    settings_file: SettingsFile = None,
) -> None:
    """Show how much waits, is done and failed, and why.

    Messages that were taken in wait (in-...), are coded, or failed. What came of them waits to be delivered (out-...),
    is sent, or failed. What failed was set aside: it is at fault itself, and is tried again by 'queue replay' only.
    Parts of a message (DSC) wait for those that are missing (part-...), however long they take to come.

    Example: fhir-coder queue status
    """
    with _engine(settings_file) as engine:
        found, jobs = Backlog(engine).status(failed), job_counts(engine)
    if output is QueueFormat.JSON:
        print_json({**found.as_json(), "jobs": jobs})
    else:
        print_table(status_table(found, jobs))


@queue.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Such as in-12, out-7 or part-3.")],
    payload: Annotated[bool, typer.Option("--payload", help="Print the content alone: it holds patient data.")] = False,
    output: Format = QueueFormat.TABLE,
    settings_file: SettingsFile = None,
) -> None:
    """Show one message, part of one, or Bundle: its state, attempts, times and, if it failed, why.

    Example: fhir-coder queue show in-12
    """
    with _backlog(settings_file) as backlog:
        if payload:
            sys.stdout.buffer.write(backlog.payload(identifier))
            return
        found = backlog.entry(identifier)
    if output is QueueFormat.JSON:
        print_json(found.as_json())
    else:
        print_table(entry_table(found))


@queue.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Such as in-12 or out-7.")] = None,
    all_failed: AllFailed = False,
    settings_file: SettingsFile = None,
) -> None:
    """Have what failed tried again, or what is done coded or sent once more (which creates nothing twice).

    Example: fhir-coder queue replay --all-failed
    """
    with _backlog(settings_file) as backlog:
        count = backlog.replay_failed() if _is_all(ids, all_failed) else backlog.replay(ids or [])
    complain(f"{count} will be tried again")


@queue.command()
def discard(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Such as in-12, out-7 or part-3.")] = None,
    all_failed: AllFailed = False,
    settings_file: SettingsFile = None,
) -> None:
    """Delete what failed or waits, such as parts whose rest will not come.

    A message that was discarded and is sent again is taken in anew.

    Example: fhir-coder queue discard in-12 part-3
    """
    with _backlog(settings_file) as backlog:
        count = backlog.discard_failed() if _is_all(ids, all_failed) else backlog.discard(ids or [])
    complain(f"{count} discarded")


@queue.command()
def purge(
    days: Annotated[
        float | None, typer.Option("--older-than", min=0, help="Days since it was done; else queue_retention_days.")
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Remove the content of what is coded and sent, and asynchronous calls that have expired.

    The service does so by itself. Parts that wait for others stay: see 'queue discard'.

    Example: fhir-coder queue purge
    """
    settings = Settings.load(settings_file)
    with _engine(settings_file) as engine:
        count = Backlog(engine).purge(settings.queue_retention_days if days is None else days)
        expired = remove_expired(engine)
    complain(f"the content of {count} was removed, and {expired} asynchronous calls that have expired")


@contextmanager
def _backlog(settings_file: SettingsFile) -> Iterator[Backlog]:
    with _engine(settings_file) as engine:
        yield Backlog(engine)


@contextmanager
def _engine(settings_file: SettingsFile) -> Iterator[Engine]:
    from fhir_coder.delivery.database import open_database_of

    settings = Settings.load(settings_file)
    engine = open_database_of(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def _is_all(ids: list[str] | None, all_failed: bool) -> bool:
    if bool(ids) == all_failed:
        raise typer.BadParameter("give either IDs or --all-failed")
    return all_failed
