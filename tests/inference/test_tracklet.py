"""Frames read as one: against Bayes by hand where frames are independent, and what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jersey.inference.tracklet import confidence_weight, effective_frames, pool_frames

EVEN = np.full(4, 0.25)
SURE = np.array([0.7, 0.1, 0.1, 0.1])

some_frames = arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(2, 6)), elements=st.floats(0.01, 1)).map(
    lambda shares_FK: shares_FK / shares_FK.sum(axis=1, keepdims=True)
)


def test_independent_frames_multiply_as_bayes_says() -> None:
    # Equally sure, so equally weighted: 0.7 * 0.1, 0.1 * 0.7, 0.1 * 0.1, 0.1 * 0.1, over their sum of 0.16.
    frames_FK = np.stack([SURE, SURE[[1, 0, 2, 3]]])
    np.testing.assert_allclose(pool_frames(frames_FK, correlation=0), np.array([7, 7, 1, 1]) / 16)
    # 0.343 against three times 0.001.
    np.testing.assert_allclose(pool_frames(np.stack([SURE] * 3), correlation=0)[0], 343 / 346)


@pytest.mark.parametrize(("frames", "correlation", "count"), [(9, 0, 9), (9, 1, 1), (4, 0.5, 1.6), (1, 0.5, 1)])
def test_correlated_frames_count_as_fewer(frames: int, correlation: float, count: float) -> None:
    assert effective_frames(np.full(frames, 0.3), correlation=correlation) == pytest.approx(count)
    odds = math.log(0.7 / 0.1) * count
    together_K = pool_frames(np.stack([SURE] * frames), correlation=correlation)
    assert math.log(together_K[0] / together_K[1]) == pytest.approx(odds)


@given(some_frames)
def test_one_frame_says_what_it_says(frames_FK: np.ndarray) -> None:
    # The weight of an almost even frame is the difference of two almost equal numbers.
    np.testing.assert_allclose(pool_frames(frames_FK[:1]), frames_FK[0], rtol=1e-6, atol=1e-5)


@given(some_frames, st.randoms())
def test_the_order_of_frames_does_not_matter(frames_FK: np.ndarray, random: object) -> None:
    shuffled_FK = np.random.default_rng(random.getrandbits(32)).permutation(frames_FK)  # type: ignore[attr-defined]
    np.testing.assert_allclose(pool_frames(shuffled_FK), pool_frames(frames_FK), rtol=1e-6)


@given(some_frames, st.integers(1, 20))
def test_even_frames_are_ignored(frames_FK: np.ndarray, count: int) -> None:
    classes = frames_FK.shape[1]
    more_FK = np.concatenate([np.full((count, classes), 1 / classes), frames_FK])
    np.testing.assert_allclose(pool_frames(more_FK), pool_frames(frames_FK), rtol=1e-4, atol=1e-6)


@given(some_frames, st.floats(0, 1), st.floats(0, 1))
def test_the_likeliest_number_does_not_depend_on_the_correlation(
    frames_FK: np.ndarray, one: float, other: float
) -> None:
    top_two = np.sort(pool_frames(frames_FK, correlation=1))[-2:]
    if top_two[1] - top_two[0] > 1e-6:
        assert pool_frames(frames_FK, correlation=one).argmax() == pool_frames(frames_FK, correlation=other).argmax()


def test_the_weight_of_a_frame_is_what_its_entropy_leaves() -> None:
    half = np.array([0.5, 0.5, 0, 0])
    np.testing.assert_allclose(confidence_weight(np.stack([EVEN, half, np.eye(4)[2]])), [0, 0.5, 1], atol=1e-6)


def test_a_sure_frame_outweighs_unsure_ones_of_another_number() -> None:
    unsure = np.array([0.2, 0.34, 0.23, 0.23])
    sure = np.array([0.97, 0.01, 0.01, 0.01])
    assert pool_frames(np.stack([unsure] * 10 + [sure])).argmax() == 0


def test_frames_that_exclude_each_other_leave_a_number_and_even_ones_none() -> None:
    together_K = pool_frames(np.eye(4, dtype=np.float32)[[1, 1, 3]])
    assert np.isfinite(together_K).all()
    assert together_K.argmax() == 1
    np.testing.assert_array_equal(pool_frames(np.stack([EVEN] * 5)), EVEN)
