"""`fhir-coder code`: notes in files and folders, coded, printed, written and sent."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.errors import DeliveryError, FhirCoderError, TransientDeliveryError
from fhir_coder.journal import Journal
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain, print_json, print_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from fhir_coder.delivery.deliver import Deliverer
    from fhir_coder.delivery.dispatch import Dispatch
    from fhir_coder.delivery.effect import Effect
    from fhir_coder.delivery.reconcile import Lookup
    from fhir_coder.ingest.intake import Intake
    from fhir_coder.model import CodedNote, Note
    from fhir_coder.pipeline import Coder

_SUBJECT = "no patient is named; name the patient with --subject Patient/ID"
_BATCH = 32
_MOST_PLACES = 12  # of a summary


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    BUNDLE = "bundle"
    NONE = "none"


def code(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="A note (.txt, .html, .rtf, .pdf, .xml with CDA), a FHIR DocumentReference or Bundle (.json, or "
            "one on each line: .ndjson), HL7 v2 messages (.hl7), each also compressed (.gz); a folder or a quoted "
            "pattern of such files; or - for standard input.",
        ),
    ],
    output: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TABLE,
    out: Annotated[
        Path | None, typer.Option(help="Write the resources as NDJSON into this folder, one file per type.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Send the resources to the FHIR server with this base URL.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The patient (Patient/ID) of notes that do not name one themselves.")
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Below this score no coding is chosen.")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Instead of the table, print why each entity has its codes, step by step. It quotes the note.",
        ),
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(help="Note in this file which inputs are done; those that it says are done are left out."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a summary as JSON into this file: counts, failures, HL7 v2 fields not mapped."),
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Code notes: find what they mention, what they say of it, and the codes.

    Example: fhir-coder code visit.txt --explain
    """
    if explain and output is not Format.TABLE:
        raise typer.BadParameter("it takes the place of the table; JSON always has the reasons", param_hint="--explain")
    settings = Settings.load(settings_file, out=out, server=server, min_confidence=min_confidence)
    code_paths(
        paths, settings, settings, output=output, explain=explain, subject=subject, journal=journal, report=report
    )


def code_paths(
    paths: Sequence[Path],
    settings: Settings,
    target: Settings,
    *,
    output: Format,
    explain: bool = False,
    subject: str | None = None,
    journal: Path | None = None,
    report: Path | None = None,
) -> None:
    """Code what is in the files and folders, and deliver it to the folder and server of `target`.

    What came of them, and each failure, is told on stderr; raises `typer.Exit` 1 when there was a failure.
    """
    from fhir_coder.ingest.files import files_of
    from fhir_coder.pipeline import Coder

    files = list(files_of(paths))
    with ExitStack() as stack:
        run = _Run(
            settings=settings,
            output=output,
            explain=explain,
            subject=subject,
            sinks=_Sinks(target, stack, lambda system, text, top: coder.lookup(system, text, top)),
            journal=stack.enter_context(Journal(journal)) if journal else None,
            is_bulk=bool(journal or report) or len(files) > len(paths),
        )
        coder = Coder.from_settings(settings)
        run.code_all(files, coder, stack)
    if run.is_bulk:
        for line in run.tally.summary():
            complain(line)
    if report:
        _write(report, run.tally)
    if run.tally.failures:
        raise typer.Exit(1)


@dataclass(slots=True)
class _File:
    """An input that is being read and coded."""

    path: Path
    reading: bool = True
    waiting: int = 0  # notes that are read and not yet coded
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Tally:
    """What became of the inputs."""

    files: int = 0
    done_before: int = 0
    notes: int = 0
    records: int = 0
    remarks: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)  # of resources that stood before
    failures: list[dict[str, str]] = field(default_factory=list)

    def summary(self) -> Iterator[str]:
        """Yield the lines of a summary."""
        nothing = sum(self.remarks.values())
        yield (
            f"{self.files} files ({self.done_before} done before): {self.notes} notes coded, {self.records} records "
            f"written, {nothing} without a note, {len(self.failures)} failed"
        )
        for title, counts in (
            ("failed", Counter(f"{each['code']} at {each['place'] or 'the input'}" for each in self.failures)),
            ("not read", self.unread),
            ("not mapped", self.unmapped),
            ("of earlier versions", self.revisions),
        ):
            if counts:
                most = ", ".join(f"{name} ({number})" for name, number in counts.most_common(_MOST_PLACES))
                yield f"{title}: {most}{', ...' if len(counts) > _MOST_PLACES else ''}"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON data."""
        return {
            "files": self.files,
            "done_before": self.done_before,
            "notes": self.notes,
            "records": self.records,
            "without_a_note": dict(self.remarks.most_common()),
            "not_read": dict(self.unread.most_common()),
            "not_mapped": dict(self.unmapped.most_common()),
            "revisions": dict(self.revisions.most_common()),
            "failures": self.failures,
        }


@dataclass(kw_only=True)
class _Run:
    """One call of the command."""

    settings: Settings
    output: Format
    explain: bool
    subject: str | None
    sinks: _Sinks
    journal: Journal | None
    is_bulk: bool
    tally: _Tally = field(default_factory=_Tally)
    _waiting: deque[tuple[_File, str]] = field(default_factory=deque)  # of the notes that are read, in order

    def code_all(self, files: Sequence[Path], coder: Coder, stack: ExitStack) -> None:
        """Code what the files hold; what fails is named, and the rest goes on."""
        from fhir_coder.pipeline import code_each

        notes = self._notes(self._shown(files, stack))
        while batch := list(islice(notes, _BATCH)):
            for outcome in code_each(coder, batch):
                file, source = self._waiting.popleft()
                if isinstance(outcome, Exception):
                    self._fail(file, source, outcome)
                else:
                    self._put_out(file, source, outcome)
                file.waiting -= 1
                self._close(file)

    def _notes(self, files: Iterable[Path]) -> Iterator[Note]:
        from fhir_coder.ingest.files import read_path

        for path in files:
            self.tally.files += 1
            if self.journal and self.journal.is_done(path):
                self.tally.done_before += 1
                continue
            file = _File(path)
            for intake in read_path(path, self.settings):
                note = self._take(file, intake)
                if note is not None:
                    file.waiting += 1
                    self._waiting.append((file, intake.source))
                    yield note
            file.reading = False
            self._close(file)

    def _take(self, file: _File, intake: Intake) -> Note | None:
        """Return the note of an intake; write its records, and tell what else there is to it."""
        self.tally.unmapped.update(intake.unmapped)
        for error in intake.unread:
            self.tally.unread[f"{error.place}: {error}"] += 1
            complain(f"{intake.source} at {error.place}: not all of it was read: {error}")
        if intake.error is not None:
            self._fail(file, intake.source, intake.error)
        if intake.records:
            self._write_records(file, intake)
        if intake.remark:
            self._remark(intake.source, intake.remark)
        if intake.note is not None and not intake.note.text and not self.sinks.any:
            self._remark(intake.source, "a document is taken back, or has a new status; this is delivered, not printed")
            return None
        if intake.note is None or intake.note.subject or not self.subject:
            return intake.note
        return replace(intake.note, subject=self.subject)

    def _remark(self, source: str, remark: str) -> None:
        self.tally.remarks[remark] += 1
        if not self.is_bulk:
            complain(f"{source}: {remark}")

    def _write_records(self, file: _File, intake: Intake) -> None:
        from fhir_coder.delivery.dispatch import Dispatch
        from fhir_coder.fhir.checks import check

        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(intake.records)}
        try:
            check(bundle)
            if self.output is Format.BUNDLE:
                print_json(bundle)
            self._delivered(intake.source, Dispatch(bundle=bundle), has_subject=True)
        except FhirCoderError as error:
            self._fail(file, intake.source, error, "read, but not delivered: ")
        else:
            self.tally.records += len(intake.records)

    def _put_out(self, file: _File, source: str, coded: CodedNote) -> None:
        """Print, write and send a coded note."""
        from fhir_coder.delivery.dispatch import dispatch_of
        from fhir_coder.report import as_dict, table
        from fhir_coder.report_explain import explanation

        self.tally.notes += 1
        if self.output is Format.TABLE:
            print_table(explanation(coded) if self.explain else table(coded))
        elif self.output is Format.JSON:
            print_json(as_dict(coded))
        if self.output is not Format.BUNDLE and not self.sinks.any:
            return
        try:
            bundle = _bundle(coded, self.settings)
            if self.output is Format.BUNDLE:
                print_json(bundle)
            dispatch = dispatch_of(coded.note, bundle, self.settings)
            self._delivered(source, dispatch, has_subject=coded.note.subject is not None)
        except FhirCoderError as error:
            self._fail(file, source, error, "coded, but not delivered: ")

    def _delivered(self, source: str, dispatch: Dispatch, *, has_subject: bool) -> None:
        """Deliver, count what that did to what stood before, and tell what was left as others have it."""
        for effect in self.sinks.take(dispatch, has_subject=has_subject):
            self.tally.revisions[effect.what] += 1
            if effect.what in ("kept", "ignored", "waiting"):
                complain(f"{source}: {effect.place or 'not coded'}: {effect.reason}")

    def _fail(self, file: _File, source: str, error: Exception, before: str = "") -> None:
        place, code = getattr(error, "place", ""), getattr(error, "code", "processing")
        # Only errors of ours hold no text of the note.
        reason = f"{before}{error if isinstance(error, FhirCoderError) else type(error).__name__}"
        self.tally.failures.append({"source": source, "place": place, "code": code, "reason": reason})
        file.failures.append(reason)
        complain(f"{source}{f' at {place}' if place else ''}: {reason}")

    def _close(self, file: _File) -> None:
        if self.journal and not file.reading and file.waiting == 0:
            self.journal.write(file.path, file.failures)

    def _shown(self, files: Sequence[Path], stack: ExitStack) -> Iterable[Path]:
        """The files, with a progress bar where somebody looks and the results do not stand in its way."""
        quiet = self.output is Format.NONE or not sys.stdout.isatty()
        if not (self.is_bulk and quiet and sys.stderr.isatty()):
            return files
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("coding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
        return progress.track(files, total=len(files))


def _write(path: Path, tally: _Tally) -> None:
    import orjson

    try:
        path.write_bytes(orjson.dumps(tally.as_dict(), option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise DeliveryError(f"{path} cannot be written: {error.strerror}") from error


def _bundle(coded: CodedNote, settings: Settings) -> dict[str, Any]:
    from fhir_coder.fhir.bundle import to_bundle
    from fhir_coder.fhir.checks import check

    bundle = to_bundle(coded, ai_security_label=settings.ai_security_label)
    check(bundle)
    return bundle


class _Sinks:
    """Where resources go besides the terminal: a folder, a FHIR server, both or none."""

    def __init__(self, settings: Settings, stack: ExitStack, lookup: Lookup) -> None:
        self._needs_subject = settings.server is not None
        self._deliverer = _deliverer(settings, stack, lookup) if settings.out or settings.server else None

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return self._deliverer is not None

    def take(self, dispatch: Dispatch, *, has_subject: bool) -> tuple[Effect, ...]:
        """Write and send a dispatch, and return what that did to what stood before. Raises `DeliveryError`."""
        from sqlalchemy.exc import SQLAlchemyError

        if self._deliverer is None:
            return ()
        try:
            return self._deliverer.deliver(dispatch)
        except TransientDeliveryError:
            raise
        except DeliveryError as error:
            raise DeliveryError(_SUBJECT) if self._needs_subject and not has_subject else error from None
        except SQLAlchemyError as error:  # its message holds what was to be stored
            raise TransientDeliveryError(f"the delivery database is at fault ({type(error).__name__})") from None


def _deliverer(settings: Settings, stack: ExitStack, lookup: Lookup) -> Deliverer:
    from fhir_coder.delivery.database import open_database_of
    from fhir_coder.delivery.deliver import Deliverer

    try:
        engine = open_database_of(settings)
    except OSError as error:
        raise DeliveryError(f"{settings.data_dir}: cannot be written: {error.strerror}; set data_dir") from error
    stack.callback(engine.dispose)
    deliverer = Deliverer(settings, engine, lookup=lookup)
    stack.callback(deliverer.close)
    stack.callback(send_audits, engine, deliverer)
    return deliverer


def send_audits(engine: Engine, deliverer: Deliverer) -> None:
    """Send the AuditEvents of what was delivered, and those that an earlier run left; tell how many still wait."""
    if not deliverer.is_audited:
        return
    from fhir_coder.delivery.gate import Gate
    from fhir_coder.delivery.outbox import Outbox, is_audit
    from fhir_coder.delivery.sending import Sending

    def deliver(dispatch: Dispatch) -> None:
        deliverer.deliver(dispatch)

    outbox = Outbox(engine)
    sending = Sending(outbox, deliver, Gate(), deliverer.places, notes=False)
    while sending.step() == 0:
        pass
    waiting, _ = outbox.queue.waiting(is_audit())
    outbox.close()
    if waiting:
        complain(f"{waiting} AuditEvents wait in the outbox: see 'fhir-coder queue status'")
