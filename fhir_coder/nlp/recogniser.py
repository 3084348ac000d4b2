"""The trained recogniser: a transformer that finds entities by what is written around them, offline, on the CPU.

The embedded one is described in models/ner/MODEL_CARD.md. Any token classifier in a local Hugging Face folder will do
(BioBERT, ClinicalBERT, PubMedBERT, SciBERT, ...); `fhir-coder train ner` makes them.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhir_coder.errors import SettingsError
from fhir_coder.hugging_face import set_environment
from fhir_coder.model import EntityType
from fhir_coder.nlp.tags import Scores, TagSet
from fhir_coder.nlp.words import Pieces, Window, Words, blocks, is_readable, read_words, windows
from fhir_coder.onnx_session import session_options

Tokens = NDArray[np.int64]
Network = Callable[[Tokens, Tokens], Scores]
"""Token ids and their mask, both (windows, tokens) -> scores (windows, tokens, tags)."""

_BLOCKS = 10  # of a text, held in memory at once
_BATCH = 512  # tokens, with padding; larger ones fall out of the processor's cache, and took 30% longer
_WINDOW = 128  # tokens; what the embedded model was trained on
_OVERLAP = 32


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is an entity of this type; `score` (0..1) is how sure the model is, and not calibrated."""

    start: int
    end: int
    type: EntityType
    score: float


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was recognised in a text: spans in order, without overlaps, and how likely each word is in none.

    `outside[i]` (0..1) is of the word `text[starts[i]:ends[i]]`; words are in order, and all characters between two of
    them are white space.
    """

    spans: Sequence[Span]
    starts: Sequence[int]
    ends: Sequence[int]
    outside: Sequence[float]

    def outside_of(self, start: int, end: int) -> float:
        """Return how likely `text[start:end]` holds no word of an entity; 1 where there is no word."""
        words = range(bisect_right(self.ends, start), bisect_left(self.starts, end))
        return min((self.outside[word] for word in words), default=1.0)


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of a text that is judged on its own, with the windows in which the model reads it."""

    words: Words
    windows: list[Window]


@dataclass(frozen=True, slots=True)
class _Job:
    """A window of a part, with the pieces of its words."""

    part: int
    window: Window
    pieces: Sequence[tuple[int, ...]]
    size: int  # pieces in all


def embedded_recogniser() -> Path:
    """Return the folder of the embedded recogniser."""
    return Path(str(files("fhir_coder"))) / "models" / "ner"


def recogniser_folder(setting: str) -> Path | None:
    """Return the folder that the setting `recogniser` names, or None for 'none'. Raises `SettingsError`."""
    if setting == "none":
        return None
    if setting == "embedded":
        return embedded_recogniser()
    folder = Path(setting).expanduser()
    if not folder.is_dir():
        raise SettingsError(f"setting recogniser: {setting!r} is no folder; 'embedded' and 'none' are the other values")
    return folder


class Recogniser:
    """Finds entities in texts. Not to be shared between threads.

    It takes at most one token per character, 128 tokens at once; a text is taken apart in blocks, so that memory does
    not grow with it. Words longer than 50 characters and windows without a Latin letter are not read.
    """

    def __init__(self, pieces: Pieces, tags: TagSet, network: Network, *, mean: bool, workers: int = 1) -> None:
        self._pieces = pieces
        self._tags = tags
        self._network = network
        self._mean = mean  # a word is judged by all its pieces, else by the first
        self._map = ThreadPoolExecutor(workers).map if workers > 1 else map

    @classmethod
    def load(cls, folder: Path, types: Mapping[str, EntityType] | None = None) -> Recogniser:
        """Return the recogniser in a folder: model.onnx, or what transformers can load as a token classifier.

        `types` says what the model's labels are, where they are not ours. Raises `SettingsError`.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            names = [name for _, name in sorted((int(key), name) for key, name in config["id2label"].items())]
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise SettingsError(
                f"setting recogniser: {folder} holds no token classifier: config.json: {error!r}"
            ) from error
        has_onnx = (folder / "model.onnx").is_file()
        return cls(
            Pieces(folder),
            TagSet(names, types or {}),
            onnx_network(folder / "model.onnx") if has_onnx else _torch(folder),
            mean=config.get("word_pooling") == "mean",
            workers=(os.cpu_count() or 1) if has_onnx else 1,  # torch uses the cores by itself
        )

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each text, in order, without overlaps."""
        # Each on its own: the 8-bit model rounds by the largest value of a batch, so a text that shared its batch with
        # others could be read another way next time.
        return [list(self.read(text).spans) for text in texts]

    def read(self, text: str) -> Recognised:
        """Return what is recognised in a text."""
        spans: list[Span] = []
        starts: list[int] = []
        ends: list[int] = []
        outside: list[float] = []
        taken_apart = blocks(text)
        while some := list(islice(taken_apart, _BLOCKS)):
            parts = [part for start, end in some for part in self._parts(read_words(text, start, end))]
            for part, scores in zip(parts, self._scores(parts), strict=True):
                spans.extend(self._spans(part, scores))
                first, last = part.windows[0].own_first, part.windows[-1].own_last
                starts.extend(part.words.starts[first:last])
                ends.extend(part.words.ends[first:last])
                outside.extend(np.exp(scores[:, self._tags.outside]).tolist())
        return Recognised(spans, starts, ends, outside)

    def _parts(self, words: Words) -> list[_Part]:
        sizes = [len(self._pieces.of(word)) for word in words.texts]
        return [_Part(words, group) for group in windows(words, sizes, _WINDOW - 2, _OVERLAP)]

    def _scores(self, parts: Sequence[_Part]) -> list[Scores]:
        """Return the log-probabilities of each part's words, shape (words, tags)."""
        judged = [
            np.tile(self._tags.nothing, (part.windows[-1].own_last - part.windows[0].own_first, 1)) for part in parts
        ]
        jobs = []
        for number, part in enumerate(parts):
            for window in part.windows:
                if is_readable(part.words, window):
                    pieces = [self._pieces.of(word) for word in part.words.texts[window.first : window.last]]
                    jobs.append(_Job(number, window, pieces, sum(map(len, pieces))))
        jobs.sort(key=lambda job: job.size)
        batches = list(_batches(jobs))
        for batch, scores in zip(batches, self._map(self._judge, batches), strict=True):
            for job, of_window in zip(batch, scores, strict=True):
                window, origin = job.window, parts[job.part].windows[0].own_first
                judged[job.part][window.own_first - origin : window.own_last - origin] = of_window[
                    window.own_first - window.first : window.own_last - window.first
                ]
        return judged

    def _judge(self, batch: Sequence[_Job]) -> list[Scores]:
        """Return the log-probabilities of the words of each window."""
        ids = np.zeros((len(batch), max(job.size for job in batch) + 2), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, job in enumerate(batch):
            tokens = [self._pieces.begin, *(piece for word in job.pieces for piece in word), self._pieces.end]
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        scores = self._network(ids, mask)
        judged = []
        for row, job in enumerate(batch):
            sizes = np.array([len(word) for word in job.pieces])
            words = log_softmax(by_word(scores[row, 1 : job.size + 1], sizes, self._mean))
            words[sizes == 0] = self._tags.nothing
            judged.append(words)
        return judged

    def _spans(self, part: _Part, scores: Scores) -> Iterator[Span]:
        if not len(scores):
            return
        tags = self._tags.best(scores)
        runs = self._tags.runs(tags)
        if not runs:
            return
        certain = self._tags.certainty(np.exp(scores), tags)
        origin = part.windows[0].own_first
        for run in runs:
            yield Span(
                start=part.words.starts[origin + run.first],
                end=part.words.ends[origin + run.last - 1],
                type=run.type,
                score=float(min(1.0, certain[run.first : run.last].mean())),
            )


def _batches(jobs: Sequence[_Job]) -> Iterator[Sequence[_Job]]:
    """Yield windows of like length that are read at once."""
    start = 0
    while start < len(jobs):
        end = start + 1
        while end < len(jobs) and (end - start + 1) * (jobs[end].size + 2) <= _BATCH:
            end += 1
        yield jobs[start:end]
        start = end


def by_word(scores: Scores, sizes: Tokens, mean: bool) -> Scores:
    """Return the scores of words from those of their pieces; zeros for a word without any."""
    words = np.zeros((len(sizes), scores.shape[1]), dtype=np.float32)
    present = sizes > 0
    starts = (np.cumsum(sizes) - sizes)[present]
    if len(starts):
        words[present] = np.add.reduceat(scores, starts) / sizes[present, None] if mean else scores[starts]
    return words


def log_softmax(scores: Scores) -> Scores:
    """Return log-probabilities."""
    scores = scores - scores.max(axis=1, keepdims=True)
    normalised: Scores = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return normalised


def onnx_network(path: Path) -> Network:
    """Return what runs a model.onnx. Raises `SettingsError`."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise SettingsError(f"setting recogniser: {path} cannot be loaded: {error}") from error

    def run(ids: Tokens, mask: Tokens) -> Scores:
        scores: Scores = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return scores

    return run


def _torch(folder: Path) -> Network:
    set_environment()
    from transformers import AutoModelForTokenClassification
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise SettingsError(f"setting recogniser: no token classifier can be loaded from {folder}: {error}") from error
    return torch_network(model.eval())


def torch_network(model: Any) -> Network:
    """Return what runs a token classifier of transformers."""
    import torch

    bfloat16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def run(ids: Tokens, mask: Tokens) -> Scores:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            output = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        scores: Scores = output.logits.float().numpy()
        return scores

    return run
