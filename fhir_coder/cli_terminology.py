"""The commands of `fhir-coder terminology`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain, print_table

terminology = typer.Typer(
    help="The code systems that codes are chosen from: what is loaded, and how to load your own releases.",
    no_args_is_help=True,
)

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file with settings; the environment and options go first.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The release, as 'fhir-coder terminology list' calls it.")]


@terminology.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A file, a folder, or the zip as the publisher ships it.")],
    format_: Annotated[str | None, typer.Option("--format", help="The format, where it is not recognised.")] = None,
    version: Annotated[str | None, typer.Option(help="The version, where the files do not state it.")] = None,
    system: Annotated[
        str | None,
        typer.Option(help="The code system (icd10cm, snomed, rxnorm, loinc, hcpcs or a URI), for formats without one."),
    ] = None,
    activate: Annotated[
        bool, typer.Option(help="Use the release from now on, in place of the active one of its system.")
    ] = True,
    settings_file: SettingsFile = None,
) -> None:
    """Import a release of a code system, whole or not at all.

    Takes ICD-10-CM (order file, tabular and index XML), SNOMED CT RF2, RxNorm RRF and RxTerms, LOINC, HCPCS, UMLS,
    OMOP/Athena, OBO, SSSOM, FHIR CodeSystem and ConceptMap, and plain CSV (system,code,name,type).

    Example: fhir-coder terminology import SnomedCT_ManagedServiceUS_PRODUCTION_US1000124_20260301T120000Z.zip
    """
    from fhir_coder.imports import import_releases
    from fhir_coder.report_terminology import import_table
    from fhir_coder.terminology.release import Options

    settings = Settings.load(settings_file)
    uri = CODE_SYSTEMS.get(system, system) if system else None
    options = Options(version=version, system=uri)
    done = import_releases(settings, path, format_=format_, options=options, activate=activate)
    if not done.is_new:
        complain("these files were imported before; nothing was changed")
    print_table(import_table(done.manifests))


@terminology.command("list")
def list_(settings_file: SettingsFile = None) -> None:
    """List the releases: those that come with the program, and those imported.

    Example: fhir-coder terminology list
    """
    from fhir_coder.prepare import installed
    from fhir_coder.report_terminology import release_table

    print_table(release_table(installed(Settings.load(settings_file))))


@terminology.command()
def info(settings_file: SettingsFile = None) -> None:
    """Show exactly what is loaded: versions, counts, sources and their SHA-256, what was left out, vectors, disk.

    Example: fhir-coder terminology info
    """
    from fhir_coder.prepare import installed
    from fhir_coder.report_terminology import release_details

    settings = Settings.load(settings_file)
    for release in installed(settings):
        print_table(release_details(release))


@terminology.command()
def activate(id_: Id, settings_file: SettingsFile = None) -> None:
    """Use an imported release from now on, in place of the active one of its system.

    Example: fhir-coder terminology activate icd10cm-2026-04-01
    """
    from fhir_coder.imports import activate as make_active

    complain(f"{make_active(Settings.load(settings_file), id_).id} is active; restart a running service to use it")


@terminology.command()
def remove(id_: Id, settings_file: SettingsFile = None) -> None:
    """Delete an imported release; the one imported before it, or the one of the program, takes its place.

    Example: fhir-coder terminology remove icd10cm-2025-10-01
    """
    from fhir_coder.imports import remove as delete

    successor = delete(Settings.load(settings_file), id_)
    complain(f"{id_} is removed" + (f"; {successor.id} is active again" if successor else ""))


@terminology.command()
def vectors(settings_file: SettingsFile = None) -> None:
    """Make the vectors of the active releases, for the stage that compares meanings.

    Minutes per 100,000 names. Safe to interrupt: what is made is kept, and the next call goes on from there.

    Example: fhir-coder terminology vectors
    """
    from fhir_coder.imports import make_vectors

    make_vectors(Settings.load(settings_file))


@terminology.command()
def prepare(settings_file: SettingsFile = None) -> None:
    """Make the terminology ready for use: what comes with the program is stored and indexed, if it is not yet.

    Example: fhir-coder terminology prepare
    """
    from fhir_coder.prepare import prepare as make_ready
    from fhir_coder.prepare import terminology_root

    settings = Settings.load(settings_file)
    make_ready(settings)
    typer.echo(terminology_root(settings))
