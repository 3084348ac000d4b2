"""The command `fhir-coder evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.errors import FhirCoderError
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain, print_table

if TYPE_CHECKING:
    from fhir_coder.corpora.annotated import AnnotatedNote
    from fhir_coder.evaluation.evaluate import Evaluation
    from fhir_coder.model import EntityType
    from fhir_coder.pipeline import Coder

_SHOWN_FAULTS = 10


class CorpusFormat(StrEnum):
    """The formats of annotated notes."""

    PUBTATOR = "pubtator"
    BRAT = "brat"
    CONLL = "conll"
    LABEL_STUDIO = "label-studio"
    PRODIGY = "prodigy"
    NEGEX = "negex"
    CODIESP = "codiesp"


class Problems(StrEnum):
    """Whether disease and symptom are counted as one type."""

    AUTO = "auto"
    ONE = "one"
    APART = "apart"


def evaluate(
    corpora: Annotated[
        list[Path],
        typer.Argument(
            metavar="CORPUS...",
            help="Annotated notes: a PubTator, CoNLL, Prodigy (.jsonl) or Label Studio (.json) file, a NegEx/ConText "
            "table, a folder of brat files, or CodiEsp's folder or table. Each is measured on its own.",
        ),
    ],
    format_: Annotated[
        CorpusFormat | None, typer.Option("--format", help="The format, where it is not recognised.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a report with pictures (HTML, one file). It HOLDS WORDS OF THE NOTES, on purpose, to show "
            "where the mistakes are; only you can read the file (mode 0600)."
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the figures as JSON, without words of the notes."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure the first N notes of each corpus.")] = None,
    problems: Annotated[
        Problems,
        typer.Option(help="Count disease and symptom as one type; auto: where the corpus annotates only one of them."),
    ] = Problems.AUTO,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=TYPE", help="What a label of your own means; LABEL= for none of our types. Repeatable."
        ),
    ] = None,
    lenient: Annotated[
        bool,
        typer.Option("--lenient", help="Leave annotations that are wrong out, and count them, instead of stopping."),
    ] = False,
    settings_file: SettingsFile = None,
) -> None:
    """Measure what is found by what people annotated: spans, what is asserted of them, and codes.

    The mistakes that are printed, and the report, hold words of the notes.

    Example: fhir-coder evaluate CDR_DevelopmentSet.PubTator.txt --report report.html
    """
    from fhir_coder.pipeline import Coder

    labels = _labels(label or [])
    for path in (report, json_file):
        if path and not path.absolute().parent.is_dir():
            raise typer.BadParameter(f"the folder of {path} is not there")
    read = []
    failed = False
    for corpus in corpora:
        try:
            read.append((corpus, _read(corpus, format_, labels, lenient)))
        except FhirCoderError as error:
            failed = True
            complain(str(error))
    if not read:
        raise typer.Exit(1)
    coder = Coder.from_settings(Settings.load(settings_file))
    evaluations = []
    for corpus, notes in read:
        evaluation, skipped = _measure(corpus, notes, coder, limit, problems)
        evaluations.append(evaluation)
        failed = failed or skipped > 0
    _put_out(evaluations, coder, report, json_file)
    if failed:
        raise typer.Exit(1)


def _labels(given: Sequence[str]) -> dict[str, EntityType | None]:
    from fhir_coder.model import EntityType

    labels: dict[str, EntityType | None] = {}
    for one in given:
        name, equals, type_ = one.rpartition("=")
        if not name or not equals or (type_ and type_ not in list(EntityType)):
            raise typer.BadParameter(
                f"{one!r} is not LABEL=TYPE, TYPE one of {', '.join(EntityType)}", param_hint="--label"
            )
        labels[name] = EntityType(type_) if type_ else None
    return labels


def _read(
    corpus: Path, format_: CorpusFormat | None, labels: dict[str, EntityType | None], lenient: bool
) -> list[AnnotatedNote]:
    from fhir_coder.corpora.read import read_corpus
    from fhir_coder.errors import CorpusError

    faults: list[str] | None = [] if lenient else None
    notes = list(read_corpus(corpus, format_.value if format_ else None, labels, faults=faults))
    if faults:
        complain(f"{corpus.name}: {len(faults):,} annotations are wrong and left out:")
        for fault in faults[:_SHOWN_FAULTS]:
            complain(fault)
    if not notes:
        raise CorpusError("no notes are in it", place=corpus.name)
    return notes


def _measure(
    corpus: Path, notes: list[AnnotatedNote], coder: Coder, limit: int | None, problems: Problems
) -> tuple[Evaluation, int]:
    """Code the notes of a corpus; return the figures, and how many notes were too long."""
    from rich.console import Console
    from rich.progress import track

    from fhir_coder.evaluation.counted import counted_types
    from fhir_coder.evaluation.document import document
    from fhir_coder.evaluation.evaluate import evaluate as measure
    from fhir_coder.model import ICD10CM, Note

    name = "/".join(corpus.absolute().parts[-2:])  # files of many corpora are called train and dev
    counted = counted_types(notes, problems.value)
    chosen = notes[:limit]
    fit = [note for note in chosen if len(note.text) <= coder.settings.max_note_chars]
    if skipped := len(chosen) - len(fit):
        complain(f"{name}: {skipped:,} notes are longer than max_note_chars allows; they are not measured")
    coded = coder.many(Note(text=note.text, id=note.id) for note in fit)
    console = Console(stderr=True)
    progress = track(
        zip(fit, coded, strict=True),
        description=name,
        total=len(fit),
        console=console,
        disable=not console.is_terminal,
    )
    documents = [document(note, found, counted) for note, found in progress]
    codes = {code for one in documents for code in one.codes}
    known = {code for code in codes if (concept := coder.store.concept(ICD10CM, code)) and concept.codable}
    return measure(name, documents, counted, known.__contains__), skipped


def _put_out(evaluations: list[Evaluation], coder: Coder, report: Path | None, json_file: Path | None) -> None:
    import orjson

    from fhir_coder.evaluation.report import render, write_private
    from fhir_coder.evaluation.summary import as_dict, tables

    for evaluation in evaluations:
        for table in tables(evaluation):
            print_table(table)
    setup = _setup(coder)
    figures = {"setup": setup, "evaluations": [as_dict(evaluation) for evaluation in evaluations]}
    try:
        if json_file:
            write_private(json_file, orjson.dumps(figures, option=orjson.OPT_INDENT_2))
        if report:
            write_private(report, render(evaluations, setup).encode())
    except OSError as error:
        raise FhirCoderError(f"{error.filename or report or json_file} cannot be written: {error.strerror}") from error


def _setup(coder: Coder) -> dict[str, str]:
    """Return what was measured: the program, its releases, its settings."""
    from datetime import UTC, datetime
    from importlib.metadata import version

    releases = [
        f"{base.head.title} {base.head.version}" for system in coder.store.systems if (base := coder.store.base(system))
    ]
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "fhir-coder": version("fhir-coder"),
        "encoder": str(coder.settings.encoder),
        "min_confidence": str(coder.settings.min_confidence or "of each code system"),
        "releases": ", ".join(releases),
    }
