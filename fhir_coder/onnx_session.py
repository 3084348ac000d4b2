"""How the models in ONNX are run: on one thread each, with the same result on every processor."""

from __future__ import annotations

from typing import Any

# Processors without VNNI instructions (AVX2 only) add pairs of 8-bit products in 16 bits, where they overflow: another
# tag in one of 200 tokens. This makes ONNX Runtime take 16 bits for the products there (a sixth slower), and changes
# nothing elsewhere (onnxruntime_session_options_config_keys.h: kOrtSessionOptionsAvx2PrecisionMode).
_PRECISION = "session.x64quantprecision"


def session_options() -> Any:
    """Return the `onnxruntime.SessionOptions` of all models; batches run side by side, so each has one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry(_PRECISION, "1")
    return options
