"""`fhir-coder doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.doctor.finding import Finding, failure
from fhir_coder.errors import SettingsError
from fhir_coder.settings import Settings
from fhir_coder.terminal import print_json, print_table

_COLOURS = {"ok": "green", "warning": "yellow", "failure": "bold red"}


class DoctorFormat(StrEnum):
    """How the findings are printed."""

    TABLE = "table"
    JSON = "json"


def doctor(
    output: Annotated[
        DoctorFormat, typer.Option("--format", help="A table, or JSON: one finding on each line.")
    ] = DoctorFormat.TABLE,
    server: Annotated[str | None, typer.Option(help="FHIR server, in place of the setting.")] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Look at settings, data folder, releases, models, database, FHIR server, ports and certificates; change nothing.

    Exit status: 0 nothing keeps the program from its work (there may be warnings), 1 something does.

    Example: fhir-coder doctor --server http://127.0.0.1:8080/fhir
    """
    findings = _findings(settings_file, server)
    if output is DoctorFormat.JSON:
        for finding in findings:
            print_json(asdict(finding))
    else:
        table = Table("", "what", "found", "what to do")
        for finding in findings:
            state = f"[{_COLOURS[finding.state]}]{finding.state}[/]"
            table.add_row(state, *(_plain(each) for each in (finding.subject, finding.found, finding.advice)))
        print_table(table)
    if any(finding.state == "failure" for finding in findings):
        raise typer.Exit(1)


def _findings(settings_file: SettingsFile, server: str | None) -> list[Finding]:
    from fhir_coder.doctor.examine import examine

    try:
        settings = Settings.load(settings_file, server=server)
    except SettingsError as error:
        return [failure("settings", str(error), "see the table of settings in the README")]
    return list(examine(settings))


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
