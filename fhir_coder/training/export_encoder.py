"""An encoder as int8 ONNX: fused attention, weights rounded per column; a quarter of the size, twice as fast.

torch.onnx.export(dynamo=True) was seen to write graphs that are silently wrong, so the older exporter is used, and what
it wrote is compared with the model before it counts.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fhir_coder.errors import TrainingError
from fhir_coder.linking.encoder import Encoder
from fhir_coder.training.fixed_ranges import fix_ranges

_OPSET = 17
_CLOSE = 1e-3  # of the numbers of vectors; seen: 1e-5
_MOVED = 0.03  # of the cosine with the vector that was not rounded, on average; seen: 0.007


def export_encoder(model: Any, tokenizer: Any, folder: Path, texts: Sequence[str]) -> float:
    """Write model.onnx, config.json and tokenizer.json into a folder; return the cosine that rounding leaves (mean).

    `texts` are encoded to compare. Raises `TrainingError` when the package onnx is not installed, the model is not of
    BERT's kind, or what was written does not do what the model does.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.transformers import optimizer
    except ImportError as error:
        raise TrainingError(f"int8 needs the package onnx: run 'pip install fhir-coder[train]' ({error})") from error
    if model.config.model_type != "bert":
        raise TrainingError(f"only models of BERT's kind are exported, not {model.config.model_type}: use it as it is")
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser recommends, on the root logger, what we do not do
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain"
        plain.mkdir()
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        tokenizer.backend_tokenizer.save(str(plain / "tokenizer.json"))
        expected = _trace(model, tokenizer, plain / "traced.onnx", texts)
        fused = optimizer.optimize_model(
            str(plain / "traced.onnx"),
            model_type="bert",
            num_heads=model.config.num_attention_heads,
            hidden_size=model.config.hidden_size,
            opt_level=0,
        )
        fused.save_model_to_file(str(plain / "model.onnx"))
        if not np.abs(Encoder(plain, "mean").encode(texts) - expected).max() < _CLOSE:
            raise TrainingError("the exported model does not do what the model does: report this with your versions")
        quantize_dynamic(
            plain / "model.onnx",
            folder / "model.onnx",
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # of what the fused operators give
        )
        fix_ranges(folder, texts)
    kept = float((Encoder(folder, "mean").encode(texts) * expected).sum(axis=1).mean())
    if kept < 1 - _MOVED:
        raise TrainingError(f"rounding to int8 leaves the vectors a cosine of {kept:.3f} only: use the model as it is")
    config = {
        "model_type": "bert",
        "hidden_size": model.config.hidden_size,
        "num_hidden_layers": model.config.num_hidden_layers,
        "pooling": "mean",
        "sha256": sha256((folder / "model.onnx").read_bytes()).hexdigest(),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return kept


def _trace(model: Any, tokenizer: Any, path: Path, texts: Sequence[str]) -> Any:
    """Write the graph of a model; return the unit vectors that the model itself gives."""
    import torch

    class Hidden(torch.nn.Module):
        """The model as a function of two tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    model.eval()
    model.set_attn_implementation("eager")  # the operators that the optimiser knows how to fuse
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    with torch.inference_mode():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    pooled = (hidden * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing; what it wrote is checked
        torch.onnx.export(
            Hidden(),
            (ids[:2], mask[:2]),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["hidden"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "hidden": axes},
            opset_version=_OPSET,
            dynamo=False,
        )
    return torch.nn.functional.normalize(pooled, dim=1).numpy()
