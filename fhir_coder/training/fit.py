"""The training loop: a pretrained encoder with a layer of tags on top, on the CPU.

The recipe and what else was tried are in models/ner/MODEL_CARD.md.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fhir_coder.errors import TrainingError
from fhir_coder.hugging_face import set_environment
from fhir_coder.nlp.recogniser import Recogniser, torch_network
from fhir_coder.nlp.tags import TagSet
from fhir_coder.nlp.words import Pieces
from fhir_coder.training.noise import roughened
from fhir_coder.training.score import Score, score
from fhir_coder.training.targets import Corpus, Marked, Targets

_LONGEST = 126  # pieces of a chunk; with its ends, what the recogniser reads at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train."""

    epochs: int = 6
    steps: int | None = None  # stop after as many; None: after the epochs
    rate: float = 3e-4
    head_rate: float = 1e-3
    decay: float = 0.01
    warm_up: float = 0.1
    dropout: float = 0.1
    tokens: int = 768  # of a batch, with padding
    rough: float = 0.15  # of the chunks are made untidy
    seed: int = 20261122
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """Words that are read at once: their pieces, and their targets."""

    pieces: Sequence[tuple[int, ...]]
    targets: Sequence[int]
    size: int


class Trainer:
    """A model in training. Raises `TrainingError` or `SettingsError` when the base cannot be used."""

    def __init__(self, base: Path, targets: Targets, recipe: Recipe) -> None:
        set_environment()
        import torch
        from transformers import AutoConfig, AutoModelForTokenClassification
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._torch = torch
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(recipe.threads)
        self._random = random.Random(recipe.seed)  # noqa: S311  # nothing secret
        self.recipe = recipe
        self.targets = targets
        self.pieces = Pieces(base)
        try:
            config = AutoConfig.from_pretrained(
                base,
                local_files_only=True,
                id2label=dict(enumerate(targets.names)),
                label2id={name: number for number, name in enumerate(targets.names)},
            )
            if hasattr(config, "hidden_dropout_prob"):
                config.hidden_dropout_prob = recipe.dropout
            self.model: Any = AutoModelForTokenClassification.from_pretrained(
                base, config=config, local_files_only=True, ignore_mismatched_sizes=True
            )
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"no model can be loaded from {base}: {error}") from error
        self._bfloat16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def fit(
        self,
        corpora: Sequence[Corpus],
        after_epoch: Callable[[int, float], None],
        advance: Callable[[int, int], None],
    ) -> None:
        """Train. `advance` hears of every step (steps done, steps in all), `after_epoch` of the epoch and its loss."""
        torch = self._torch
        marked = [part for source in corpora for note in source.notes for part in self.targets.of(note, source)]
        weights = torch.from_numpy(self.targets.table())
        plan = [self._batches(marked) for _ in range(self.recipe.epochs)]
        total = sum(map(len, plan))
        if total == 0:
            raise TrainingError("the corpora hold no text to train on")
        if self.recipe.steps:
            total = min(total, self.recipe.steps)
        head = [weight for name, weight in self.model.named_parameters() if name.startswith("classifier")]
        trunk = [weight for name, weight in self.model.named_parameters() if not name.startswith("classifier")]
        optimiser = torch.optim.AdamW(
            [{"params": trunk, "lr": self.recipe.rate}, {"params": head, "lr": self.recipe.head_rate}],
            weight_decay=self.recipe.decay,
            fused=True,
        )
        warm = max(1, int(total * self.recipe.warm_up))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / warm, max(0.0, (total - step) / max(1, total - warm)))
        )
        done = 0
        for epoch, batches in enumerate(plan, 1):
            self.model.train()
            losses = 0.0
            for batch in batches:
                loss = self._loss(batch, weights)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                losses += float(loss.detach())
                done += 1
                advance(done, total)
                if done >= total:
                    break
            self.model.eval()
            after_epoch(epoch, losses / len(batches))
            if done >= total:
                return

    def recogniser(self) -> Recogniser:
        """Return the model as it is now, as a recogniser."""
        return Recogniser(self.pieces, TagSet(self.targets.names, {}), torch_network(self.model.eval()), mean=True)

    def score(self, source: Corpus) -> tuple[dict[str, Score], dict[str, Score]]:
        """Return how well the model as it is now does on a corpus, strictly and relaxed."""
        found = self.recogniser().find([note.text for note in source.notes])
        pairs = [(source.gold(note), spans) for note, spans in zip(source.notes, found, strict=True)]
        return score(pairs, source.silent, strict=True), score(pairs, source.silent, strict=False)

    def save(self, folder: Path) -> None:
        """Write the model into a folder, each file whole or not at all."""
        partial = folder / ".partial"
        partial.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(partial)
        self.pieces.save(partial)
        config = json.loads((partial / "config.json").read_text(encoding="utf-8"))
        config["word_pooling"] = "mean"
        (partial / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        for path in partial.iterdir():
            path.replace(folder / path.name)
        partial.rmdir()

    def _batches(self, marked: Sequence[Marked]) -> list[list[Chunk]]:
        chunks = [chunk for part in marked for chunk in self._chunks(part)]
        self._random.shuffle(chunks)
        chunks.sort(key=lambda chunk: chunk.size + self._random.randint(0, 8))
        batches: list[list[Chunk]] = []
        batch: list[Chunk] = []
        longest = 0
        for chunk in chunks:
            longest = max(longest, chunk.size + 2)
            if batch and longest * (len(batch) + 1) > self.recipe.tokens:
                batches.append(batch)
                batch, longest = [], chunk.size + 2
            batch.append(chunk)
        if batch:
            batches.append(batch)
        self._random.shuffle(batches)
        return batches

    def _chunks(self, part: Marked) -> list[Chunk]:
        """Return runs of sentences, at most as long as a length that is drawn anew for each."""
        bounds = [0, *part.words.breaks, len(part.words.starts)]
        chunks: list[Chunk] = []
        words: list[str] = []
        targets: list[int] = []
        goal = self._goal()
        for first, last in pairwise(bounds):
            size = sum(len(self.pieces.of(word)) for word in (*words, *part.words.texts[first:last]))
            if words and size > goal:
                chunks.extend(self._cut(words, targets))
                words, targets = [], []
                goal = self._goal()
            words.extend(part.words.texts[first:last])
            targets.extend(part.targets[first:last])
        return [*chunks, *self._cut(words, targets)]

    def _goal(self) -> int:
        return self._random.choice((24, 48, 72, 96, _LONGEST))

    def _cut(self, words: Sequence[str], targets: Sequence[int]) -> list[Chunk]:
        """Return the words as chunks that are not too long, some of them roughened."""
        if self._random.random() < self.recipe.rough:
            words, targets = roughened(words, targets, self._random)
        chunks: list[Chunk] = []
        pieces: list[tuple[int, ...]] = []
        size = start = 0
        for position, word in enumerate(words):
            ids = self.pieces.of(word)
            if size + len(ids) > _LONGEST:
                chunks.append(Chunk(pieces, targets[start:position], size))
                pieces, size, start = [], 0, position
            pieces.append(ids)
            size += len(ids)
        return [*chunks, Chunk(pieces, targets[start:], size)] if size else chunks

    def _loss(self, batch: Sequence[Chunk], weights: Any) -> Any:
        torch = self._torch
        length = max(chunk.size for chunk in batch) + 2
        ids = torch.zeros((len(batch), length), dtype=torch.long)
        mask = torch.zeros_like(ids)
        word_of = torch.full_like(ids, -1)  # the number of the word that a piece belongs to
        targets: list[int] = []
        for row, chunk in enumerate(batch):
            tokens = [self.pieces.begin, *(piece for word in chunk.pieces for piece in word), self.pieces.end]
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
            numbers = [len(targets) + at for at, word in enumerate(chunk.pieces) for _ in word]
            word_of[row, 1 : len(numbers) + 1] = torch.tensor(numbers)
            targets.extend(chunk.targets)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16):
            logits = self.model(input_ids=ids, attention_mask=mask).logits
        present = word_of >= 0
        words = torch.zeros((len(targets), logits.shape[-1])).index_add(0, word_of[present], logits[present].float())
        counts = torch.bincount(word_of[present], minlength=len(targets)).clamp(min=1)
        probable = torch.log_softmax(words / counts[:, None], dim=-1)
        return -torch.logsumexp(probable + weights[torch.tensor(targets)], dim=-1).mean()
