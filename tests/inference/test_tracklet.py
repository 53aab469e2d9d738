"""Pooled frames agree with Bayes' rule if they are independent, and do not depend on what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jersey.inference.tracklet import confidence_weight, effective_frames, pool_frames

EVEN = np.full(4, 0.25)
CONFIDENT = np.array([0.7, 0.1, 0.1, 0.1])

some_frames = arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(2, 6)), elements=st.floats(0.01, 1)).map(
    lambda p_FK: p_FK / p_FK.sum(axis=1, keepdims=True)
)


def test_independent_frames_multiply_by_bayes_rule() -> None:
    # Equally confident, so equally weighted: 0.7 * 0.1, 0.1 * 0.7, 0.1 * 0.1, 0.1 * 0.1, over their sum of 0.16.
    frames_FK = np.stack([CONFIDENT, CONFIDENT[[1, 0, 2, 3]]])
    np.testing.assert_allclose(pool_frames(frames_FK, correlation=0), np.array([7, 7, 1, 1]) / 16)
    # 0.343 against three times 0.001.
    np.testing.assert_allclose(pool_frames(np.stack([CONFIDENT] * 3), correlation=0)[0], 343 / 346)


@pytest.mark.parametrize(("frames", "correlation", "count"), [(9, 0, 9), (9, 1, 1), (4, 0.5, 1.6), (1, 0.5, 1)])
def test_correlated_frames_count_as_fewer(frames: int, correlation: float, count: float) -> None:
    assert effective_frames(np.full(frames, 0.3), correlation=correlation) == pytest.approx(count)
    odds = math.log(0.7 / 0.1) * count
    pooled_K = pool_frames(np.stack([CONFIDENT] * frames), correlation=correlation)
    assert math.log(pooled_K[0] / pooled_K[1]) == pytest.approx(odds)


@given(some_frames)
def test_a_single_frame_is_unchanged(frames_FK: np.ndarray) -> None:
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


def test_the_weight_of_a_frame_is_one_minus_its_relative_entropy() -> None:
    half = np.array([0.5, 0.5, 0, 0])
    np.testing.assert_allclose(confidence_weight(np.stack([EVEN, half, np.eye(4)[2]])), [0, 0.5, 1], atol=1e-6)


def test_a_confident_frame_outweighs_uncertain_ones_of_another_number() -> None:
    uncertain = np.array([0.2, 0.34, 0.23, 0.23])
    confident = np.array([0.97, 0.01, 0.01, 0.01])
    assert pool_frames(np.stack([uncertain] * 10 + [confident])).argmax() == 0


def test_contradictory_frames_have_a_likeliest_number_and_even_ones_stay_even() -> None:
    pooled_K = pool_frames(np.eye(4, dtype=np.float32)[[1, 1, 3]])
    assert np.isfinite(pooled_K).all()
    assert pooled_K.argmax() == 1
    np.testing.assert_array_equal(pool_frames(np.stack([EVEN] * 5)), EVEN)
