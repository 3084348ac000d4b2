"""`fhir-coder bulk`: the notes of a FHIR server, exported, coded, and written to a folder or back to the server."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_coder.cli_code import Format, code_paths, send_audits
from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.errors import DeliveryError, InputError, SettingsError, TransientDeliveryError
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from fhir_coder.upstream.download import ExportFolder, State
    from fhir_coder.upstream.export import File, Manifest, Request
    from fhir_coder.upstream.rest import Upstream

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds between looks at an export whose server names no time
_FAILED_LOOKS = 20  # in a row


def bulk(
    server: Annotated[str | None, typer.Option(help="Base URL of the FHIR server.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the resources as NDJSON into this folder, one file per type.")
    ] = None,
    server_out: Annotated[bool, typer.Option("--server-out", help="Send the resources to the server.")] = False,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of the exported files, and of how far it is; OUT/export, unless given."),
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="ID", help="Export the documents of this Group.")] = None,
    patient: Annotated[bool, typer.Option("--patient", help="Export the documents of all patients.")] = False,
    system: Annotated[bool, typer.Option("--system", help="Export all documents (the default).")] = False,
    since: Annotated[str | None, typer.Option(help="Only what changed since this time (2026-03-01).")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Another server from which files may be fetched (without credentials)."),
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Code all notes of a FHIR server by its bulk export ($export).

    A run that was interrupted goes on where it stopped when the same command is given again.

    Example: fhir-coder bulk --server http://fhir.example.org/fhir --out coded
    """
    from fhir_coder.upstream.download import ExportFolder
    from fhir_coder.upstream.rest import Upstream

    if out is None and not server_out:
        raise typer.BadParameter("give --out DIR, --server-out or both", param_hint="--out")
    folder = work or (out / "export" if out else None)
    if folder is None:
        raise typer.BadParameter("name a folder for the exported files", param_hint="--work")
    request = _request(group, patient=patient, system=system, since=since)
    settings = Settings.load(settings_file, server=server)
    upstream = Upstream.of(settings)
    if upstream is None:
        raise SettingsError("name the FHIR server with --server (or in the settings)")
    with upstream, ExitStack() as stack:
        files = _exported(upstream, ExportFolder(folder), request, allow or [], _progress(stack))
    for line in _remarks(files):
        complain(line)
    target = settings.model_copy(update={"out": out, "server": settings.server if server_out else None})
    _take_back(_deleted(files), target)
    documents = [path for file, path in files if file.part == "output" and file.type == "DocumentReference"]
    if not documents:
        complain("the export has no documents")
        return
    code_paths(documents, settings, target, output=Format.NONE, journal=folder / "coded.journal")


def _take_back(deleted: Sequence[str], target: Settings) -> None:
    """Take back what documents gave that were deleted on the server since; again and again changes nothing more."""
    from fhir_coder.delivery.database import open_database_of
    from fhir_coder.delivery.deliver import Deliverer
    from fhir_coder.delivery.dispatch import dispatch_of_deleted

    if not deleted:
        return
    with ExitStack() as stack:
        engine = open_database_of(target)
        stack.callback(engine.dispose)
        deliverer = Deliverer(target, engine)
        stack.callback(deliverer.close)
        stack.callback(send_audits, engine, deliverer)
        number = sum(len(deliverer.deliver(dispatch_of_deleted(place))) for place in deleted)
    complain(f"{len(deleted)} documents were deleted on the server; {number} resources that they gave are taken back")


def _deleted(files: Iterable[tuple[File, Path]]) -> list[str]:
    """Return the places of the documents that the export says were deleted: Bundles of DELETE requests."""
    from fhir_coder.upstream.download import read_resources
    from fhir_coder.upstream.rest import entries

    bundles = (each for file, path in files if file.part == "deleted" for each in read_resources(path))
    requests = (entry.get("request") for bundle in bundles for entry in entries(bundle))
    urls = (each.get("url") for each in requests if isinstance(each, dict))
    return [
        url for url in urls if isinstance(url, str) and re.fullmatch(r"DocumentReference/[A-Za-z0-9\-.]{1,64}", url)
    ]


def _request(group: str | None, *, patient: bool, system: bool, since: str | None) -> Request:
    from fhir_coder.upstream.export import Request
    from fhir_coder.upstream.sweep import instant

    if (group is not None) + patient + system > 1:
        raise typer.BadParameter("give one of --group, --patient and --system", param_hint="--group")
    try:
        start = None if since is None else instant(since)
    except ValueError:
        raise InputError("this is no date or time; give 2026-03-01 or 2026-03-01T08:00:00Z", place="--since") from None
    level = "group" if group is not None else "patient" if patient else "system"
    return Request(level=level, group=group, since=start)  # type: ignore[arg-type]


def _exported(
    upstream: Upstream, folder: ExportFolder, request: Request, allowed: Sequence[str], progress: Progress
) -> list[tuple[File, Path]]:
    """Return the files of the export, which is begun or gone on with."""
    from fhir_coder.upstream import export
    from fhir_coder.upstream.download import State

    state = folder.state() or State(server=upstream.base, request=request)
    if (state.server, state.request) != (upstream.base, request):
        raise InputError("the folder holds another export; choose another one (--work, --out), or remove it")
    state = _finished(upstream, folder, state, progress)
    manifest = state.manifest
    assert manifest is not None  # noqa: S101 - told to the type checker: it is finished
    task = progress.add_task("fetching", total=len(manifest.files))
    files = folder.fetch(upstream, manifest, allowed, lambda _: progress.advance(task))
    if state.place is not None:
        try:
            export.remove(upstream, state.place)
        except DeliveryError as error:  # they expire anyhow
            complain(f"the server keeps its files: {error}")
        folder.save(State(server=state.server, request=state.request, manifest=manifest))
    complain(f"exported: {len(files)} files, whole up to {manifest.time} (next time: --since {manifest.time})")
    return files


def _finished(upstream: Upstream, folder: ExportFolder, state: State, progress: Progress) -> State:
    """Wait for the export, and return its state with the manifest."""
    from dataclasses import replace

    from fhir_coder.upstream import export

    if state.manifest is not None:
        return state
    if state.place is None:
        state = replace(state, place=export.kick_off(upstream, state.request))
        folder.save(state)
    task = progress.add_task("exporting", total=100)
    assert state.place is not None  # noqa: S101 - told to the type checker: it was asked for
    manifest = _waited(upstream, state.place, progress, task)
    if manifest is None:
        complain("the server does not know the export any more; asking for a new one")
        state = replace(state, place=None)
        folder.save(state)
        return _finished(upstream, folder, state, progress)
    state = replace(state, manifest=manifest)
    folder.save(state)
    return state


def _waited(upstream: Upstream, place: str, progress: Progress, task: TaskID) -> Manifest | None:
    from fhir_coder.upstream.export import Manifest, look

    wait, failed = _FIRST_WAIT, 0
    while True:
        asked = None
        try:
            found = look(upstream, place)
        except TransientDeliveryError as error:
            failed += 1
            if failed >= _FAILED_LOOKS:
                raise
            asked = error.retry_after
        else:
            if found is None or isinstance(found, Manifest):
                progress.update(task, completed=100)
                return found
            failed, asked = 0, found.wait
            _show(progress, task, found.progress)
        time.sleep(wait if asked is None else asked)
        wait = min(wait * 1.5, _LONGEST_WAIT)


def _show(progress: Progress, task: TaskID, text: str) -> None:
    """Show what the server says of its progress: a percentage moves the bar, words stand beside it."""
    number = text.strip().rstrip("%")
    if number.isascii() and number.isdigit():
        progress.update(task, completed=min(int(number), 100))
    elif text.isprintable():
        progress.update(task, description=f"exporting ({text[:40]})")


def _progress(stack: ExitStack) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    return stack.enter_context(Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()))


def _remarks(files: Iterable[tuple[File, Path]]) -> list[str]:
    """Say what an export tells beside its resources: what it could not export."""
    from fhir_coder.upstream.download import read_resources

    outcomes = (each for file, path in files if file.part == "error" for each in read_resources(path))
    problems = Counter(
        f"{issue.get('severity')}: {issue.get('code')}" for outcome in outcomes for issue in outcome.get("issue", [])
    )
    # What a server writes in diagnostics may quote a document, so only the codes are told.
    return [f"the server says of its export: {name} ({number})" for name, number in problems.most_common()]
