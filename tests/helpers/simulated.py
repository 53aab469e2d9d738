"""Runs that never were: which crops each reads right, by a model in which the truth is known.

A run reads a crop right when what the crop asks, in part shared by all runs (some crops are hard) and in part its own
luck, stays below the run's skill. On a bell curve, so that a run's expected accuracy is exactly what is asked for.

Shapes: S runs, N crops.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

SHARED = 0.8  # of the variance of what a crop asks: runs at 90 % then agree with a correlation of 0.5


def side(rng: np.random.Generator, hard_N: np.ndarray, *, runs: int, accuracy: float, seed_spread: float) -> np.ndarray:
    """Whether each run has read each crop right, bool [S,N].

    Args:
        rng: of luck and seeds.
        hard_N: how hard each crop is to every run, standard normal.
        runs: S.
        accuracy: expected over seeds and crops.
        seed_spread: standard deviation, over seeds, of a run's own expected accuracy.
    """
    skill_S = accuracy + seed_spread * rng.normal(size=runs)
    threshold_S = np.array([NormalDist().inv_cdf(min(max(skill, 1e-6), 1 - 1e-6)) for skill in skill_S])
    luck_SN = rng.normal(size=(runs, len(hard_N)))
    return np.sqrt(SHARED) * hard_N + np.sqrt(1 - SHARED) * luck_SN < threshold_S[:, None]


def two_sides(
    rng: np.random.Generator,
    *,
    crops: int = 1500,
    runs: Sequence[int] = (1, 1),
    accuracy: float = 0.9,
    gain: float = 0.0,
    seed_spread: Sequence[float] = (0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides on the same crops, the second better by `gain`."""
    hard_N = rng.normal(size=crops)
    first, second = (
        side(rng, hard_N, runs=runs[index], accuracy=accuracy + index * gain, seed_spread=seed_spread[index])
        for index in (0, 1)
    )
    return first, second
