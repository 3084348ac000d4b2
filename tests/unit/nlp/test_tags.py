"""Tags: only sequences that are some, and the best of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import SettingsError
from fhir_coder.model import EntityType
from fhir_coder.nlp.tags import Run, TagSet

BIO = ("O", "B-disease", "I-disease", "B-gene", "I-gene")
BIOES = ("O", "B-gene", "I-gene", "E-gene", "S-gene")


def _is_sequence(names: tuple[str, ...]) -> bool:
    """Tell, by the definition of BIO and BIOES, whether tags make a sequence."""
    closed = any(name.startswith("E") for name in BIOES if name in names) and names[0] in BIOES
    for before, after in zip(("O", *names), (*names, None), strict=True):
        goes_on = after is not None and after[0] in "IE"
        is_open = before[0] in "BI"
        if goes_on and not (is_open and before[2:] == after[2:]):
            return False
        if closed and is_open and not goes_on and after is not None:
            return False
    return True


@given(st.integers(0, 10_000))
def test_the_best_sequence_is_the_best_of_all(seed: int) -> None:
    scores = np.log(np.random.default_rng(seed).dirichlet(np.ones(5), size=4)).astype(np.float32)
    tags = TagSet(BIO, {})
    best = max(
        (way for way in product(range(5), repeat=4) if _is_sequence(tuple(BIO[tag] for tag in way))),
        key=lambda way: sum(scores[position, tag] for position, tag in enumerate(way)),
    )
    assert tuple(tags.best(scores)) == best


def test_bioes_is_closed() -> None:
    scores = np.log(np.array([[0.1, 0.6, 0.1, 0.1, 0.1], [0.5, 0.1, 0.1, 0.2, 0.1]], dtype=np.float32))
    assert [BIOES[tag] for tag in TagSet(BIOES, {}).best(scores)] == ["B-gene", "E-gene"]


@pytest.mark.parametrize(
    ("names", "tags", "expected"),
    [
        (BIO, (1, 2, 0, 3), [(0, 2, "disease"), (3, 4, "gene")]),
        (BIO, (1, 1, 3, 4), [(0, 1, "disease"), (1, 2, "disease"), (2, 4, "gene")]),
        (BIO, (), []),
        (BIOES, (4, 4, 1, 3, 0), [(0, 1, "gene"), (1, 2, "gene"), (2, 4, "gene")]),
        (("O", "gene"), (0, 1, 1, 0, 1), [(1, 3, "gene"), (4, 5, "gene")]),
    ],
)
def test_runs(names: tuple[str, ...], tags: tuple[int, ...], expected: list[tuple[int, int, str]]) -> None:
    runs = TagSet(names, {}).runs(np.array(tags, dtype=np.int64))
    assert runs == [Run(first, last, EntityType(type_)) for first, last, type_ in expected]


def test_labels_of_other_models_are_mapped_or_left_out() -> None:
    tags = TagSet(("O", "B-Chemical", "I-Chemical", "B-Species"), {"Chemical": EntityType.MEDICATION})
    assert tags.runs(np.array([1, 2, 3])) == [Run(0, 2, EntityType.MEDICATION)]
    with pytest.raises(SettingsError, match="none of the model's labels"):
        TagSet(("O", "B-PER", "I-PER"), {})
