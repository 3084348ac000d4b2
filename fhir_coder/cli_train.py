"""The commands of `fhir-coder train`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_coder.model import EntityType
from fhir_coder.terminal import complain, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from fhir_coder.nlp.reader import Reader
    from fhir_coder.training.ner import Epoch

train = typer.Typer(help="Train models on your own annotations, on the CPU, offline.", no_args_is_help=True)


@train.command()
def ner(
    corpora: Annotated[
        list[Path],
        typer.Argument(
            metavar="CORPUS...",
            help="Annotated notes: CoNLL, BRAT (a folder), PubTator, Label Studio JSON or Prodigy JSONL.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the model; the setting 'recogniser' takes it.")],
    base: Annotated[
        Path | None,
        typer.Option(help="Folder of the Hugging Face model to start from (BioBERT, ...); default: all-MiniLM-L6-v2."),
    ] = None,
    dev: Annotated[
        list[Path] | None, typer.Option(help="A corpus to measure on after every epoch; never trained on.")
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="The corpora's format, where not recognised.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=TYPE", help="What a label means: --label Drug=medication --label Place=none."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times to go through the corpora.")] = 6,
    rate: Annotated[float, typer.Option(min=1e-7, max=1e-1, help="Learning rate; 3e-5 for models of BERT's size.")] = (
        3e-4
    ),
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many batches.")] = None,
    shorthand: Annotated[
        int, typer.Option(min=0, help="Made notes in telegraphic style to add, with all types marked.")
    ] = 0,
    texts: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Notes without annotations (*.txt) to add; the dictionary marks them."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write model.onnx: a quarter of the size, twice as fast.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 2,
) -> None:
    """Train a recogniser of entities. Ctrl-C keeps the last whole epoch.

    Types that a corpus never marks are not held against the model there, so corpora may differ in what they annotate.

    Example: fhir-coder train ner notes.conll --dev more.conll --base models/biobert --rate 3e-5 --out models/ours
    """
    from rich.console import Console
    from rich.progress import Progress

    from fhir_coder.linking.encoder import minilm_folder
    from fhir_coder.training.fit import Recipe
    from fhir_coder.training.ner import Job, train_ner
    from fhir_coder.training.silver import silver

    job = Job(
        corpora=corpora,
        dev=dev or (),
        out=out,
        base=base or minilm_folder(),
        recipe=Recipe(epochs=epochs, rate=rate, steps=steps, threads=threads),
        format=format_,
        labels=_labels(label or ()),
        shorthand=shorthand,
        unannotated=partial(silver, texts, _dictionary()) if texts else None,
        int8=int8,
    )
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=None)
        done = train_ner(job, complain, lambda step, total: progress.update(task, completed=step, total=total))
    if dev and done:
        print_table(_table(done[-1]))


def _dictionary() -> Reader:
    """Return a reader that knows what the dictionary knows."""
    from fhir_coder.pipeline import Coder
    from fhir_coder.settings import Settings

    return Coder.from_settings(Settings.load(encoder="none", recogniser="none")).reader


@train.command()
def encoder(
    out: Annotated[Path, typer.Option(help="New folder for the model; the setting 'encoder' takes it.")],
    names: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="NAMES...",
            help="More names beside those of the loaded releases: SSSOM, PubTator, or tables with the columns "
            "concept,name.",
        ),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="Folder of the Hugging Face model to start from; default: all-MiniLM-L6-v2.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train.")] = 15.0,
    rate: Annotated[float, typer.Option(min=1e-7, max=1e-1, help="Learning rate.")] = 1e-4,
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the weights to start from in those that are exported.")
    ] = 0.5,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many batches.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 2,
    untrained: Annotated[bool, typer.Option("--untrained", help="Only export the base, as int8.")] = False,
    settings_file: Annotated[Path | None, typer.Option("--settings", help="TOML file with settings.")] = None,
) -> None:
    """Train an encoder so that the names of one concept are near each other, and export it as int8 ONNX.

    One concept in ten is kept out, to be measured on.

    Example: fhir-coder train encoder mondo_exactmatch_mesh.sssom.tsv --minutes 15 --out models/ours
    """
    from rich.console import Console
    from rich.progress import Progress

    from fhir_coder.linking.encoder import minilm_folder
    from fhir_coder.prepare import prepare
    from fhir_coder.settings import Settings
    from fhir_coder.training.align import Recipe
    from fhir_coder.training.encoder import Job, train_encoder

    folders = prepare(Settings.load(settings_file, encoder="none"))
    job = Job(
        folders=folders,
        files=names or (),
        base=base or minilm_folder(),
        out=out,
        recipe=Recipe(minutes=minutes, rate=rate, kept=keep, steps=steps, threads=threads),
        is_trained=not untrained,
    )
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=1.0)
        kept = train_encoder(
            job,
            complain,
            lambda share, step, loss: progress.update(
                task, completed=share, description=f"step {step}, loss {loss:.3f}"
            ),
        )
    complain(f"{out} holds the encoder; rounding to int8 left its vectors a cosine of {kept:.4f}")


def _labels(given: list[str] | tuple[()]) -> dict[str, EntityType | None]:
    labels: dict[str, EntityType | None] = {}
    for pair in given:
        name, _, type_ = pair.rpartition("=")
        if not name or type_ not in (*EntityType, "none"):
            raise typer.BadParameter(
                f"{pair!r} is no LABEL=TYPE; types: {', '.join(EntityType)}, none", param_hint="--label"
            )
        labels[name] = None if type_ == "none" else EntityType(type_)
    return labels


def _table(epoch: Epoch) -> Table:
    from rich.table import Table

    table = Table(title=f"Epoch {epoch.number}", title_justify="left", header_style="bold")
    for column in ("Corpus", "Type"):
        table.add_column(column)
    for column in ("Marked", "Precision", "Recall", "F1", "Relaxed F1"):
        table.add_column(column, justify="right")
    for name, kinds in epoch.scores.items():
        for kind, (strict, relaxed) in kinds.items():
            figures = (strict.precision, strict.recall, strict.f1, relaxed.f1)
            table.add_row(name, kind, str(strict.there), *(f"{figure:.3f}" for figure in figures))
    return table
