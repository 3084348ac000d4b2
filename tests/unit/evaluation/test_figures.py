"""Shares and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.evaluation.figures import SAMPLES, Share, resampled, score, share

ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)).map(lambda n: (n[0], n[0] + n[1], n[0] + n[2])),
    min_size=1,
    max_size=30,
)


def test_score() -> None:
    result = score("disease", np.array([(2, 4, 2), (1, 1, 3)]))
    assert (result.correct, result.found, result.annotated) == (3, 5, 5)
    assert (result.precision.value, result.recall.value, result.f1.value) == (0.6, 0.6, 0.6)
    assert result.precision.low == 0.5
    assert result.precision.high == 1.0


def test_nothing_to_divide_by() -> None:
    result = score("disease", np.array([(0, 0, 2), (0, 0, 0)]))
    assert result.precision == Share(None, None, None)
    assert result.recall == Share(0.0, 0.0, 0.0)


def test_the_same_every_time_and_as_drawn_one_by_one() -> None:
    counts = np.array([(3, 4), (0, 2), (5, 5), (1, 7)])
    first = resampled(counts)
    assert first.shape == (SAMPLES, 2)
    assert (first == resampled(counts)).all()
    # 4 notes drawn with replacement: the mean of the sums is the sum, their deviation that of drawing (known closely).
    assert first[:, 0].mean() == pytest.approx(9, abs=0.4)
    assert first[:, 0].std() == pytest.approx((4 * counts[:, 0].var()) ** 0.5, rel=0.1)


@given(ROWS)
def test_shares_are_shares_and_in_order(rows: list[tuple[int, int, int]]) -> None:
    result = score("x", np.array(rows))
    for one in (result.precision, result.recall, result.f1):
        if one.value is not None:
            assert one.low is not None
            assert one.high is not None
            assert 0 <= one.low <= one.high <= 1
            assert 0 <= one.value <= 1


def test_share_of_perfect() -> None:
    assert share(np.array([(3, 3), (1, 1)])) == Share(1.0, 1.0, 1.0)
