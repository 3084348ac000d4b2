"""Train an encoder so that names of one concept have one vector, on the CPU (self-alignment: Liu 2021, SapBERT).

Of each concept of a batch two names are encoded; each has to be nearer to its other one than to the names of all other
concepts of the batch (InfoNCE). Batches are put together of runs of concepts whose names share words, so that "type 1"
has to be told from "type 2". The recipe and what else was tried are in models/encoder/MODEL_CARD.md.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_coder.errors import TrainingError
from fhir_coder.hugging_face import set_environment
from fhir_coder.terminology.normalise import normalise
from fhir_coder.training.name_noise import rough
from fhir_coder.training.synonyms import Groups

_RUN = 6  # concepts whose names share a word, side by side in a batch
_LONGEST = 32  # tokens of a name
_PARTS = 4  # of a batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train."""

    minutes: float = 15.0
    steps: int | None = None  # stop after as many; None: after the minutes
    concepts: int = 96  # of a batch
    rate: float = 1e-4
    temperature: float = 0.05
    decay: float = 0.01
    warm_up: float = 0.05  # of the time
    kept: float = 0.5  # share of the weights it began with in the weights it ends with
    seed: int = 20261122
    threads: int = 2


class Aligner:
    """A model in training. Raises `TrainingError` when the base cannot be used."""

    def __init__(self, base: Path, recipe: Recipe) -> None:
        set_environment()
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._torch = torch
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(recipe.threads)
        self._random = random.Random(recipe.seed)  # noqa: S311  # nothing secret
        self._recipe = recipe
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True)
            self.model: Any = AutoModel.from_pretrained(base, local_files_only=True)
        except (OSError, ValueError) as error:
            raise TrainingError(f"no model can be loaded from {base}: {error}") from error
        # What a piece of a word means beside others is learnt above; names are too few to learn 30,000 pieces anew.
        self.model.get_input_embeddings().weight.requires_grad_(False)
        self._bfloat16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def fit(self, groups: Groups, advance: Callable[[float, int, float], None]) -> int:
        """Train, and return the number of steps. `advance` hears of the share that is done, the step and the loss.

        Raises `TrainingError` when there are too few concepts.
        """
        torch, recipe = self._torch, self._recipe
        if len(groups) < 2 * _RUN:
            raise TrainingError(f"only {len(groups)} concepts have two names: too few to train on")
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        begun_with = [weight.detach().clone() for weight in weights]
        optimiser = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=recipe.decay, fused=True)
        self.model.train()
        begun, step, done, smooth = time.monotonic(), 0, 0.0, 0.0
        for batch in self._batches(groups):
            share = max(min(1.0, (done + 1e-3) / recipe.warm_up) if done < recipe.warm_up else 1 - done, 0.01)
            for settings in optimiser.param_groups:
                settings["lr"] = recipe.rate * share
            loss = self._loss(batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            step += 1
            smooth = float(loss.detach()) if step == 1 else 0.98 * smooth + 0.02 * float(loss.detach())
            spent = (time.monotonic() - begun) / 60 / recipe.minutes
            done = step / recipe.steps if recipe.steps else spent
            advance(done, step, smooth)
            if done >= 1:
                break
        with torch.no_grad():
            # Half way between both knows the new and has not forgotten the old (Wortsman 2022, WiSE-FT).
            for weight, before in zip(weights, begun_with, strict=True):
                weight.lerp_(before, recipe.kept)
        self.model.eval()
        return step

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _batches(self, groups: Groups) -> Iterator[list[tuple[str, str]]]:
        """Yield pairs of names, without end."""
        orders = [sorted(range(len(groups)), key=lambda place: key[place]) for key in _keys(groups)]
        while True:
            order = self._random.choice(orders)
            shift = self._random.randrange(_RUN)
            runs = [order[start : start + _RUN] for start in range(shift, len(order), _RUN)]
            self._random.shuffle(runs)
            size = self._recipe.concepts // _RUN
            for start in range(0, len(runs), size):
                yield [self._pair(groups[place]) for run in runs[start : start + size] for place in run]

    def _pair(self, names: tuple[str, ...]) -> tuple[str, str]:
        one, other = self._random.sample(names, 2)
        return rough(one, self._random), other

    def _loss(self, batch: Sequence[tuple[str, str]]) -> Any:
        torch = self._torch
        vectors = self._encode([name for pair in zip(*batch, strict=True) for name in pair])
        one, other = vectors[: len(batch)], vectors[len(batch) :]
        scores = one @ other.T / self._recipe.temperature
        target = torch.arange(len(batch))
        cross = torch.nn.functional.cross_entropy
        return (cross(scores, target) + cross(scores.T, target)) / 2

    def _encode(self, texts: Sequence[str]) -> Any:
        """Return the unit vectors of texts, encoded in parts by length: short ones are not padded to the longest."""
        torch = self._torch
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        size = -(-len(texts) // _PARTS)
        parts = [by_length[start : start + size] for start in range(0, len(texts), size)]
        vectors = torch.cat([self._part([texts[place] for place in part]) for part in parts])
        return vectors[torch.argsort(torch.tensor(by_length))]

    def _part(self, texts: list[str]) -> Any:
        torch = self._torch
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16):
            hidden = self.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((hidden.float() * mask).sum(dim=1) / mask.sum(dim=1), dim=1)


def _keys(groups: Groups) -> list[list[str]]:
    """Return what to sort the concepts by so that like names stand together: their first, last and rarest words."""
    words = [normalise(names[0]).split() or [""] for names in groups]
    often = Counter(word for of_name in words for word in set(of_name))
    rare = [sorted(of_name, key=lambda word: (often[word], word)) for of_name in words]
    return [
        [" ".join(of_name) for of_name in words],
        [" ".join(of_name[::-1]) for of_name in words],
        # The rarest word stands alone; the second rarest is shared with some.
        [" ".join(of_name[1:] or of_name) for of_name in rare],
    ]
