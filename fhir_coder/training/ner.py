"""READ FIRST. From corpora to a recogniser in a folder: what `fhir-coder train ner` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import TrainingError
from fhir_coder.model import EntityType
from fhir_coder.training.export import export
from fhir_coder.training.fit import Recipe, Trainer
from fhir_coder.training.score import Score
from fhir_coder.training.shorthand import notes as shorthand_notes
from fhir_coder.training.targets import TYPES, Corpus, Targets, corpus

Scores = Mapping[str, Mapping[str, tuple[Score, Score]]]
"""Corpus -> kind of span -> strict and relaxed score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to train on and from, and where to."""

    corpora: Sequence[Path]
    dev: Sequence[Path] = ()
    out: Path
    base: Path
    recipe: Recipe
    format: str | None = None
    labels: Mapping[str, EntityType | None] | None = None
    shorthand: int = 0  # notes in telegraphic style to add
    unannotated: Callable[[Sequence[Corpus]], Corpus] | None = None  # what adds notes that the dictionary marks
    int8: bool = False


@dataclass(frozen=True, slots=True)
class Epoch:
    """What came of an epoch."""

    number: int
    loss: float
    scores: Scores


def train_ner(job: Job, say: Callable[[str], None], advance: Callable[[int, int], None]) -> list[Epoch]:
    """Train a recogniser and return how it did after each epoch.

    The folder always holds the last whole epoch, so that an interruption loses no more than the one it was in.
    Raises `CorpusError`, `TrainingError` or `SettingsError`.
    """
    if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
        raise TrainingError(f"{job.out} is there already: name a new folder")
    dev = [_read(path, job, say) for path in job.dev]
    train = _without([_read(path, job, say) for path in job.corpora], dev, say)
    if job.shorthand:
        train.append(corpus("shorthand", shorthand_notes(job.shorthand), TYPES))
    if job.unannotated:
        train.append(job.unannotated(train))
    occurring = frozenset().union(*(source.types for source in train))
    types = [type_ for type_ in EntityType if type_ in occurring]
    if not types:
        raise TrainingError(
            "no label of these corpora is a known type: name their types in mappings/corpus_labels.csv or with --label"
        )
    trainer = Trainer(job.base, Targets(types), job.recipe)
    done: list[Epoch] = []

    def after_epoch(number: int, loss: float) -> None:
        scores = {source.name: _scores(trainer, source) for source in dev}
        trainer.save(job.out)
        done.append(Epoch(number, loss, scores))
        figures = ", ".join(f"{name} {kinds['all'][0].f1:.3f}" for name, kinds in scores.items())
        say(f"epoch {number}: loss {loss:.4f}{', strict F1 ' + figures if figures else ''}; kept in {job.out}")

    trainer.fit(train, after_epoch, advance)
    if job.int8:
        export(trainer.model, job.out)
    return done


def _read(path: Path, job: Job, say: Callable[[str], None]) -> Corpus:
    """Return the corpus in a file or folder; annotations that contradict their text are left out, and named."""
    faults: list[str] = []
    notes = list(read_corpus(path, job.format, job.labels, faults=faults))
    if faults:
        say(f"{path.name}: {len(faults)} annotations are left out; the first: {faults[0]}")
    return corpus(path.stem, notes)


def _scores(trainer: Trainer, source: Corpus) -> dict[str, tuple[Score, Score]]:
    strict, relaxed = trainer.score(source)
    return {kind: (strict[kind], relaxed[kind]) for kind in strict if kind in relaxed}


def _without(train: Sequence[Corpus], dev: Sequence[Corpus], say: Callable[[str], None]) -> list[Corpus]:
    """Return the corpora without the notes that are to be measured on: public corpora share abstracts."""
    measured = {_essence(note) for source in dev for note in source.notes}
    kept = []
    for source in train:
        notes = [note for note in source.notes if _essence(note) not in measured]
        if len(notes) < len(source.notes):
            say(f"{source.name}: {len(source.notes) - len(notes)} notes are left out, for they are measured on")
        kept.append(Corpus(name=source.name, notes=notes, types=source.types))
    return kept


def _essence(note: AnnotatedNote) -> str:
    return "".join(note.text.split())
