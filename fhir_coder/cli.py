"""The command line. Results go to stdout, everything else to stderr.

Exit status: 0 all is well, 1 some input failed (each is named with the reason), 2 the command was misused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhir_coder.cli_evaluate import evaluate
from fhir_coder.cli_terminology import SettingsFile, terminology
from fhir_coder.cli_train import train
from fhir_coder.errors import DeliveryError, FhirCoderError, SettingsError
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain, print_json, print_table

if TYPE_CHECKING:
    from fhir_coder.model import CodedNote, Note

_SUBJECT = "no patient is named; name the patient with --subject Patient/ID"

app = typer.Typer(
    help="Free-text clinical notes in, coded FHIR out.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(terminology, name="terminology")
app.command()(evaluate)
app.add_typer(train, name="train")


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    BUNDLE = "bundle"


class LookupFormat(StrEnum):
    """How the candidates of a lookup are printed."""

    TABLE = "table"
    JSON = "json"


def main() -> None:
    """Run the command line; errors of this package become one line on stderr and exit status 1 (settings: 2)."""
    try:
        app()
    except SettingsError as error:
        complain(str(error))
        sys.exit(2)
    except FhirCoderError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        sys.stderr.close()
        sys.exit(0)


@app.command()
def code(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="A text note (.txt), a FHIR DocumentReference or Bundle (.json), HL7 v2 messages (.hl7), "
            "or - for standard input.",
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
    settings_file: SettingsFile = None,
) -> None:
    """Code notes: find what they mention, what they say of it, and the codes.

    Example: fhir-coder code visit.txt --format table
    """
    from fhir_coder.pipeline import Coder

    settings = Settings.load(settings_file, out=out, server=server, min_confidence=min_confidence)
    failures: list[str] = []
    with ExitStack() as stack:
        sinks = _Sinks(settings, stack)
        coder = Coder.from_settings(settings)
        for coded in coder.many(_notes(paths, settings, subject, failures)):
            failure = _put_out(coded, output, settings, sinks)
            if failure:
                failures.append(failure)
                complain(failure)
    if failures:
        raise typer.Exit(1)


def _notes(paths: Iterable[Path], settings: Settings, subject: str | None, failures: list[str]) -> Iterator[Note]:
    from fhir_coder.ingest.files import read_path

    for path in paths:
        for intake in read_path(path, settings):
            if intake.note is None:
                place = f" at {intake.error.place}" if intake.error and intake.error.place else ""
                failures.append(f"{intake.source}{place}: {intake.error}")
                complain(failures[-1])
            elif intake.note.subject is None and subject:
                yield replace(intake.note, subject=subject)
            else:
                yield intake.note


def _put_out(coded: CodedNote, output: Format, settings: Settings, sinks: _Sinks) -> str | None:
    """Print, write and send a coded note; return what went wrong, or None."""
    from fhir_coder.report import as_dict, table

    if output is Format.TABLE:
        print_table(table(coded))
    elif output is Format.JSON:
        print_json(as_dict(coded))
    if output is not Format.BUNDLE and not sinks.any:
        return None
    name = coded.note.id or "note"
    try:
        bundle = _bundle(coded, settings)
        if output is Format.BUNDLE:
            print_json(bundle)
        sinks.take(bundle, has_subject=coded.note.subject is not None)
    except FhirCoderError as error:
        return f"{name}: coded, but not delivered: {error}"
    return None


def _bundle(coded: CodedNote, settings: Settings) -> dict[str, Any]:
    from fhir_coder.fhir.bundle import to_bundle
    from fhir_coder.fhir.checks import check

    bundle = to_bundle(coded, ai_security_label=settings.ai_security_label)
    check(bundle)
    return bundle


class _Sinks:
    """Where resources go besides the terminal: a folder, a FHIR server, both or none."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        from fhir_coder.delivery.client import FhirClient
        from fhir_coder.delivery.ndjson import NdjsonWriter

        self._writer = stack.enter_context(NdjsonWriter(settings.out)) if settings.out else None
        self._client = (
            stack.enter_context(FhirClient(str(settings.server), timeout=settings.delivery_timeout))
            if settings.server
            else None
        )

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return self._writer is not None or self._client is not None

    def take(self, bundle: dict[str, Any], *, has_subject: bool) -> None:
        """Write and send a Bundle. Raises `DeliveryError`."""
        if self._writer:
            self._writer.write(bundle)
        if self._client and not has_subject:
            raise DeliveryError(_SUBJECT)
        if self._client:
            self._client.send(bundle)


@app.command()
def lookup(
    system: Annotated[str, typer.Argument(help="icd10cm, snomed, rxnorm, loinc or hcpcs.")],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Descriptions, each to be looked up.")],
    output: Annotated[LookupFormat, typer.Option("--format", help="What to print.")] = LookupFormat.TABLE,
    top: Annotated[int, typer.Option(min=1, max=100, help="Candidates to show.")] = 5,
    settings_file: SettingsFile = None,
) -> None:
    """Look short descriptions up in a code system.

    Example: fhir-coder lookup icd10cm "high blood pressure" "sugar diabetes"
    """
    from dataclasses import asdict

    from fhir_coder.model import CODE_SYSTEMS
    from fhir_coder.pipeline import Coder
    from fhir_coder.report import candidate_table

    if system not in CODE_SYSTEMS:
        raise typer.BadParameter(f"{system!r} is none of {', '.join(CODE_SYSTEMS)}", param_hint="SYSTEM")
    coder = Coder.from_settings(Settings.load(settings_file))
    for text in texts:
        candidates = coder.lookup(system, text, top)
        if output is LookupFormat.JSON:
            print_json({"text": text, "candidates": [asdict(candidate) for candidate in candidates]})
        else:
            print_table(candidate_table(text, candidates))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HTTP port; 0 takes a free one.")] = None,
    mllp_port: Annotated[int | None, typer.Option(min=0, max=65535, help="MLLP port; 0 takes a free one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write coded resources as NDJSON into this folder.")] = None,
    server: Annotated[str | None, typer.Option(help="Send coded resources to this FHIR server.")] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Serve HTTP and MLLP until stopped (Ctrl-C or SIGTERM)."""
    from fhir_coder.service.server import run

    run(Settings.load(settings_file, host=host, port=port, mllp_port=mllp_port, out=out, server=server))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the coded resources.")] = Path("build/demo"),
    settings_file: SettingsFile = None,
) -> None:
    """Show the main job: start the service, send it two notes, show and write what it made of them, stop it."""
    from fhir_coder.demo.run import run_demo

    run_demo(Settings.load(settings_file), out)
