"""A trained model as int8 ONNX: a quarter of the size, and more than twice as fast as the floating-point model.

The weights of a matrix are rounded per column. torch.onnx.export(dynamo=True) was seen to write a graph that is
silently wrong for this model, so the older exporter is used, and what it wrote is compared with the model before it
counts.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fhir_coder.errors import TrainingError
from fhir_coder.nlp.recogniser import onnx_network
from fhir_coder.nlp.tags import Scores

_OPSET = 17
_CLOSE = 1e-3  # of scores; seen: 1e-5
_MOVED = 0.1  # of the probability of a token's tags, which rounding may move on average; text of no sense is used


def export(model: Any, folder: Path) -> Path:
    """Write `model.onnx` into a folder that the model was saved to, and return its path.

    Raises `TrainingError` when the package onnx is not installed, or the graph does not do what the model does.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise TrainingError(f"int8 needs the package onnx: run 'pip install fhir-coder[train]' ({error})") from error
    import torch

    class Scorer(torch.nn.Module):
        """The model as a function of two tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    generator = torch.Generator().manual_seed(1)
    vocabulary = model.config.vocab_size
    ids = torch.randint(min(1000, vocabulary // 2), vocabulary, (4, 48), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, 20:] = 0
    model.eval()
    model.set_attn_implementation("eager")  # the other ways become more operations; seen: a tenth slower
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).logits.numpy()
    axes = {0: "batch", 1: "tokens"}
    path = folder / "model.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        plain, small = Path(scratch) / "plain.onnx", folder / ".model.onnx.partial"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing; what it wrote is checked below
            torch.onnx.export(
                Scorer(),
                (ids[:2], mask[:2]),
                str(plain),
                input_names=["input_ids", "attention_mask"],
                output_names=["scores"],
                dynamic_axes={"input_ids": axes, "attention_mask": axes, "scores": axes},
                opset_version=_OPSET,
                dynamo=False,
            )
        seen = mask.bool().numpy()
        exact = onnx_network(plain)(ids.numpy(), mask.numpy())
        if not np.abs(exact - expected)[seen].max() < _CLOSE:
            raise TrainingError("the exported model does not do what the model does: report this with your versions")
        logging.getLogger().setLevel(logging.ERROR)  # the quantiser recommends, on the root logger, what we do not do
        quantize_dynamic(plain, small, per_channel=True, weight_type=QuantType.QInt8)
        rounded = onnx_network(small)(ids.numpy(), mask.numpy())
        moved = np.abs(_probabilities(rounded) - _probabilities(expected)).sum(-1)[seen].mean() / 2
        if moved > _MOVED:
            small.unlink()
            raise TrainingError(f"rounding to int8 moves the model's probabilities by {moved:.2f}: use it as it is")
        small.replace(path)
    return path


def _probabilities(scores: Scores) -> Scores:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities: Scores = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
