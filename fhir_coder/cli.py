"""The command line. Results go to stdout, everything else to stderr.

Exit status: 0 all is well, 1 some input failed (each is named with the reason), 2 the command was misused.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fhir_coder.cli_bulk import bulk
from fhir_coder.cli_code import code
from fhir_coder.cli_doctor import doctor
from fhir_coder.cli_evaluate import evaluate
from fhir_coder.cli_keys import keys
from fhir_coder.cli_lookup import benchmark, certificates, serve_lines
from fhir_coder.cli_queue import queue
from fhir_coder.cli_spark import spark
from fhir_coder.cli_subscribe import subscribe
from fhir_coder.cli_terminology import SettingsFile, terminology
from fhir_coder.cli_train import train
from fhir_coder.errors import FhirCoderError, SettingsError
from fhir_coder.settings import Settings, misspelt
from fhir_coder.terminal import complain, print_json, print_table

app = typer.Typer(
    help="Free-text clinical notes in, coded FHIR out.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command()(code)
app.add_typer(terminology, name="terminology")
app.command()(evaluate)
app.add_typer(train, name="train")
app.command("serve-lines")(serve_lines)
app.command()(certificates)
app.add_typer(keys, name="keys")
app.add_typer(benchmark, name="benchmark")
app.command()(spark)
app.command()(subscribe)
app.command()(bulk)
app.command()(doctor)
app.add_typer(queue, name="queue")


class LookupFormat(StrEnum):
    """How the candidates of a lookup are printed."""

    TABLE = "table"
    JSON = "json"


def main() -> None:
    """Run the command line; errors of this package become one line on stderr and exit status 1 (settings: 2)."""
    for remark in misspelt(os.environ):
        complain(remark)
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
    except Exception as error:  # Python would print its message, which may quote a note
        from fhir_coder.logs import describe

        told = describe(error)
        complain(f"an error that nobody foresaw, please report it: {told['error']}\n  " + "\n  ".join(told["frames"]))
        sys.exit(1)


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
    """Serve HTTP, MLLP and, where the settings switch it on, the line protocol, until stopped (Ctrl-C or SIGTERM).

    Example: fhir-coder serve --out coded --mllp-port 2575
    """
    from fhir_coder.service.server import run

    run(Settings.load(settings_file, host=host, port=port, mllp_port=mllp_port, out=out, server=server))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the coded resources.")] = Path("build/demo"),
    settings_file: SettingsFile = None,
) -> None:
    """Show the main job: start the service, send it two notes, show and write what it made of them, stop it.

    Example: fhir-coder demo --out build/demo
    """
    from fhir_coder.demo.run import run_demo

    run_demo(Settings.load(settings_file), out)
