"""Texts become vectors: the same for the same text, whatever else is asked at once."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from fhir_coder.errors import SettingsError
from fhir_coder.linking.encoder import Encoder, embedded_encoder, minilm_folder

TEXTS = ["heart attack", "myocardial infarction", "x", "fracture of the shaft of the left femur, closed", ""]


@pytest.fixture(scope="module")
def embedded() -> Encoder:
    """The embedded encoder."""
    return Encoder(embedded_encoder(), "mean")


@pytest.fixture(scope="module")
def by_torch() -> Encoder:
    """An encoder that transformers loads."""
    return Encoder(minilm_folder(), "mean")


def test_the_embedded_model_is_the_one_that_the_card_describes() -> None:
    folder = embedded_encoder()
    digest = sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["sha256"] == digest
    assert digest in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert (folder / "model.onnx").stat().st_size < 25_000_000


@pytest.mark.parametrize("name", ["embedded", "by_torch"])
def test_vectors(name: str, request: pytest.FixtureRequest) -> None:
    encoder = request.getfixturevalue(name)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.width)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    same, other = vectors[0] @ vectors[1], vectors[0] @ vectors[3]
    assert same > other
    assert encoder.encode([]).shape == (0, encoder.width)


def test_a_query_does_not_depend_on_those_beside_it(embedded: Encoder) -> None:
    together = embedded.encode(TEXTS * 3)
    for place, text in enumerate(TEXTS):
        assert np.array_equal(together[place], embedded.encode([text])[0])


def test_names_are_near_their_queries(embedded: Encoder) -> None:
    done: list[int] = []
    names = embedded.encode_names(TEXTS, done.append)
    assert sum(done) == len(TEXTS)
    assert (names * embedded.encode(TEXTS)).sum(axis=1).min() > 0.95


def test_long_texts_are_cut(embedded: Encoder) -> None:
    assert embedded.encode(["pain " * 5000]).shape == (1, embedded.width)


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_pooling(pooling: str, by_torch: Encoder) -> None:
    pooled = Encoder(minilm_folder(), pooling)  # type: ignore[arg-type]
    assert not np.allclose(pooled.encode(["gout"]), by_torch.encode(["gout"]), atol=1e-2)
    # What pads a batch is no token of a text.
    together = pooled.encode_names(["gout", "fracture of the shaft of the left femur"], lambda _: None)
    assert together[0] @ pooled.encode(["gout"])[0] > 0.999


def test_an_instruction_is_put_before_queries_only(embedded: Encoder) -> None:
    told = Encoder(embedded_encoder(), "mean", "query: ")
    assert np.array_equal(told.encode(["gout"]), embedded.encode(["query: gout"]))
    assert np.array_equal(told.encode_names(["gout"], lambda _: None), embedded.encode_names(["gout"], lambda _: None))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="setting encoder"):
        Encoder(tmp_path, "mean")


def test_a_folder_with_half_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"half")
    with pytest.raises(SettingsError, match="setting encoder"):
        Encoder(tmp_path, "mean")
