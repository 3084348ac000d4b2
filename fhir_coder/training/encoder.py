"""Train an encoder on names that mean the same, and export it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhir_coder.errors import TrainingError
from fhir_coder.training.align import Aligner, Recipe
from fhir_coder.training.export_encoder import export_encoder
from fhir_coder.training.synonyms import groups_of

_COMPARED = 64  # names by which the exported model is compared with the trained one


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to train on and from, and where to."""

    folders: Sequence[Path]  # of stored releases
    files: Sequence[Path]
    base: Path
    out: Path
    recipe: Recipe
    is_trained: bool = True  # False: the base is only exported


def train_encoder(job: Job, say: Callable[[str], None], advance: Callable[[float, int, float], None]) -> float:
    """Train and export; return the cosine that rounding leaves on average. The trained weights are in `out`/torch.

    Raises `TrainingError`.
    """
    if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
        raise TrainingError(f"{job.out} is there already: name a new folder")
    groups = groups_of(job.folders, job.files)
    say(f"{len(groups):,} concepts with {sum(map(len, groups)):,} names to train on")
    aligner = Aligner(job.base, job.recipe)
    if job.is_trained:
        steps = aligner.fit(groups, advance)
        say(f"{steps:,} steps")
        aligner.save(job.out / "torch")
    texts = [names[0] for names in groups[:: max(1, len(groups) // _COMPARED)]][:_COMPARED]
    return export_encoder(aligner.model, aligner.tokenizer, job.out, texts)
