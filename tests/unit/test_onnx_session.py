"""Models in ONNX give the same on every processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fhir_coder.onnx_session import session_options

onnx = pytest.importorskip("onnx", reason="the package onnx, of the extra 'train', is not installed")


def test_products_of_8_bits_do_not_overflow(tmp_path: Path) -> None:
    """255 * 127 twice is more than 16 bits hold."""
    import onnxruntime

    helper, types = onnx.helper, onnx.TensorProto
    weights = np.full((64, 32), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["given", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("given", types.UINT8, [1, 64])],
        [helper.make_tensor_value_info("product", types.INT32, [1, 32])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", session_options(), providers=["CPUExecutionProvider"]
    )
    given = np.full((1, 64), 255, np.uint8)
    (product,) = session.run(None, {"given": given})
    assert (product == 64 * 255 * 127).all()
