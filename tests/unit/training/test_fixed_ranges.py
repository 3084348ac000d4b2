"""Fixed ranges: the same vector in every batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from fhir_coder.linking.encoder import RANGES, Encoder

onnx = pytest.importorskip("onnx", reason="the package onnx, of the extra 'train', is not installed")
quantization = pytest.importorskip("onnxruntime.quantization")

WORDS = ["pad", "gout", "pain", "fever", "cough"]
TEXTS = ["gout", "pain fever", "fever cough gout", "cough"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny encoder, as dynamic quantisation makes it."""
    chance = np.random.default_rng(3)
    table = chance.normal(size=(len(WORDS), 8)).astype(np.float32) * np.array([[1], [1], [2], [4], [8]], np.float32)
    weights = chance.normal(size=(8, 8)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
            onnx.helper.make_node("MatMul", ["embedded", "weights"], ["hidden"]),
        ],
        "encoder",
        [onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["batch", "tokens"])],
        [onnx.helper.make_tensor_value_info("hidden", onnx.TensorProto.FLOAT, ["batch", "tokens", 8])],
        [onnx.numpy_helper.from_array(table, "table"), onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "plain.onnx")
    quantization.quantize_dynamic(
        tmp_path / "plain.onnx",
        tmp_path / "model.onnx",
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
    )
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_vector_does_not_depend_on_its_batch(folder: Path) -> None:
    from fhir_coder.training.fixed_ranges import fix_ranges

    before = Encoder(folder, "mean")
    assert before._query_batch == 1
    alone = before.encode(TEXTS)
    assert not np.array_equal(before._encode(TEXTS, 4), alone)
    fix_ranges(folder, TEXTS)
    after = Encoder(folder, "mean")
    assert after._query_batch > 1
    assert np.array_equal(after.encode(TEXTS), np.concatenate([after.encode([text]) for text in TEXTS]))
    assert (after.encode(TEXTS) * alone).sum(axis=1).min() > 0.98
    said = {each.key: each.value for each in onnx.load(folder / "model.onnx").metadata_props}
    assert said == RANGES
