"""Rounding of activations by ranges that are fixed once, so that a text's vector does not depend on its batch.

What ONNX Runtime's dynamic quantisation makes rounds the activations of a batch by the largest of them: a text beside
others gets another vector than alone. In BERT the range is set by the first token, nearly the same for every text, so
that fixed ranges lose nothing (measured on all-MiniLM-L6-v2: a cosine of 0.992 with the vectors of the model that was
not rounded, as before), and many texts can be encoded at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fhir_coder.linking.encoder import RANGES
from fhir_coder.onnx_session import session_options

_DYNAMIC = "DynamicQuantizeLinear"
_LEVELS = 255


def fix_ranges(folder: Path, texts: Sequence[str]) -> None:
    """Change model.onnx in a folder, which `quantize_dynamic` wrote; the ranges are those that hold all of `texts`."""
    import onnx
    from onnx import helper, numpy_helper

    model: Any = onnx.load(folder / "model.onnx")
    dynamic = [node for node in model.graph.node if node.op_type == _DYNAMIC]
    for node, (low, high) in zip(dynamic, _ranges(folder, model, dynamic, texts), strict=True):
        scale = np.float32((high - low) / _LEVELS)
        zero = np.uint8(round(-low / scale))
        quantised, *fixed = node.output
        for name, value in zip(fixed, (scale, zero), strict=True):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        node.CopyFrom(helper.make_node("QuantizeLinear", [node.input[0], *fixed], [quantised], node.name))
    helper.set_model_props(model, RANGES)
    onnx.save(model, folder / "model.onnx")


def _ranges(folder: Path, model: Any, dynamic: Sequence[Any], texts: Sequence[str]) -> list[tuple[float, float]]:
    """Return the least and the greatest activation of each node over all texts, each encoded alone."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper
    from tokenizers import Tokenizer

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for node in dynamic:
        for output, type_ in zip(node.output[1:], (TensorProto.FLOAT, TensorProto.UINT8), strict=True):
            watched.graph.output.append(helper.make_tensor_value_info(output, type_, None))
    options = session_options()
    # The optimiser would merge the nodes that are watched with others.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output for node in dynamic for output in node.output[1:]]
    low, high = np.zeros(len(dynamic)), np.zeros(len(dynamic))
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        found = session.run(names, {each.name: _as(given[each.name], each.type) for each in session.get_inputs()})
        scales, zeros = np.array(found[::2], dtype=float), np.array(found[1::2], dtype=float)
        low, high = np.minimum(low, -zeros * scales), np.maximum(high, (_LEVELS - zeros) * scales)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _as(numbers: Any, type_: str) -> Any:
    return numbers.astype(np.int32 if "int32" in type_ else np.int64)
