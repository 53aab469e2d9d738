"""Statistics of the gain from side A to side B, given one test set and a few seeds.

All runs are tested on the same crops, so sides are compared crop by crop: a crop's gain is the fraction of B's runs
that predict it correctly, minus the fraction of A's runs. On comparing classifiers in pairs on one test set:
Dietterich 1998, https://doi.org/10.1162/089976698300017197. A repetition would change two things, and `gain_between`
samples both:

- The crops. They are resampled together with all runs, so that crops which are hard for every run stay hard.
- The seeds, which often matter more: Bouthillier et al. 2021, https://arxiv.org/abs/2103.03098. Resampling three runs
  would underestimate their variance by a third, and the tails. Instead, each sample is shifted by Student's t times
  the standard error of the means, from a variance pooled over both sides. So one side may have a single run. Unequal
  variances do little harm if both sides have equally many runs.

The randomness of which crops a run predicts correctly is part of both terms, so intervals are slightly too wide: see
Owen 2007, https://arxiv.org/abs/0712.1111, on resampling rows and columns. With a single run per side the variance
over seeds is unknown, and the interval only holds for these two trained models, not for their settings.

Shapes: S runs of a side, N crops, G groups of crops, C cells (crops of one group with one gain), R random samples.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BOOTSTRAP_SAMPLES = 10_000  # a bound of the interval has a standard error of about 0.7 % of the interval's width
LEVEL = 0.95  # confidence level of intervals; 1 - LEVEL is the significance level of the permutation test
POWER = 0.8  # probability that a true gain of `Gain.min_detectable` is found significant; 0.8 is the usual choice


@dataclass(frozen=True)
class Gain:
    """The gain of B over A by one metric, as a fraction of 1.

    Attributes:
        a_S: metric of each run of A.
        b_S: metric of each run of B.
        gain: mean of B minus mean of A.
        low: lower bound of the 95 % interval of the gain.
        high: upper bound of that interval.
        p: p-value of the permutation test.
        min_detectable: true gain that would be found significant with the probability `POWER`.
    """

    a_S: Floats
    b_S: Floats
    gain: float
    low: float
    high: float
    p: float
    min_detectable: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0 and the permutation test agrees."""
        return not self.low <= 0 <= self.high and self.p <= 1 - LEVEL


def accuracy_gain(correct_a_N: Bools, correct_b_N: Bools) -> Gain:
    """Returns the gain in accuracy of one model over another on the same crops.

    Args:
        correct_a_N: whether the first model predicts each crop correctly.
        correct_b_N: the same for the second.
    """
    groups_N = np.zeros(len(correct_a_N), np.int64)  # one group: accuracy weighs all crops equally
    return gain_between(correct_a_N[None], correct_b_N[None], groups_N, rng=np.random.default_rng(0))


def gain_between(
    correct_a_SN: Bools,
    correct_b_SN: Bools,
    group_N: Ints,
    *,
    rng: np.random.Generator,
    samples: int = BOOTSTRAP_SAMPLES,
) -> Gain:
    """Returns the gain in the mean accuracy over groups.

    Args:
        correct_a_SN: whether each run of A predicts each crop correctly.
        correct_b_SN: the same for B, on the same crops.
        group_N: group of each crop, 0 to G - 1: the label for macro recall, always 0 for accuracy.
        rng: generator of the samples.
        samples: number of random samples R.
    """
    a_S = group_means(correct_a_SN.astype(float), group_N)
    b_S = group_means(correct_b_SN.astype(float), group_N)
    crop_gain_N = correct_b_SN.mean(axis=0) - correct_a_SN.mean(axis=0)
    gain = float(b_S.mean() - a_S.mean())
    # Crops of a cell are interchangeable, so it is enough to sample their counts.
    cells_2C, crops_C = np.unique(np.stack([crop_gain_N, group_N]), axis=1, return_counts=True)
    gain_C, group_C = cells_2C[0], cells_2C[1].astype(np.int64)
    sampled_R = _resampled(gain_C, group_C, crops_C, rng, samples) + _seed_shift(a_S, b_S, rng, samples)
    low, high = np.quantile(sampled_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    p = _permutation_p(gain_C, group_C, crops_C, rng, samples)
    # A measured gain is significant above the first term. It exceeds that with the probability POWER if the true gain
    # is larger by the second term.
    detectable = float(np.quantile(abs(sampled_R - gain), LEVEL) + np.quantile(sampled_R - gain, POWER))
    return Gain(a_S, b_S, gain, low, high, p, detectable)


def group_means(value_SN: Floats, group_N: Ints) -> Floats:
    """Returns the mean over groups of the mean over the crops of a group, float64 [S]; groups have equal weights."""
    crops_G = np.bincount(group_N)
    return np.stack([(np.bincount(group_N, weights=value_N) / crops_G).mean() for value_N in value_SN])


def _resampled(gain_C: Floats, group_C: Ints, crops_C: Ints, rng: np.random.Generator, samples: int) -> Floats:
    """Returns the gain on crops sampled with replacement, [R]; groups without sampled crops are excluded."""
    sampled_RC = rng.multinomial(crops_C.sum(), crops_C / crops_C.sum(), size=samples).astype(float)
    in_group_CG = np.eye(group_C.max() + 1)[group_C]
    crops_RG, sums_RG = sampled_RC @ in_group_CG, sampled_RC @ (in_group_CG * gain_C[:, None])
    means_RG = np.divide(sums_RG, crops_RG, out=np.zeros_like(sums_RG), where=crops_RG > 0)
    return means_RG.sum(axis=1) / (crops_RG > 0).sum(axis=1)


def _seed_shift(a_S: Floats, b_S: Floats, rng: np.random.Generator, samples: int) -> Floats:
    """Returns the shift of the gain by other seeds, [R]; zeros if no side has two runs."""
    freedom = len(a_S) + len(b_S) - 2
    if freedom == 0:
        return np.zeros(samples)
    variance = sum(((score_S - score_S.mean()) ** 2).sum() for score_S in (a_S, b_S)) / freedom
    return rng.standard_t(freedom, size=samples) * math.sqrt(variance * (1 / len(a_S) + 1 / len(b_S)))


def _permutation_p(gain_C: Floats, group_C: Ints, crops_C: Ints, rng: np.random.Generator, samples: int) -> float:
    """Returns the two-sided p-value of Fisher's randomization test, which swaps the sides of random crops.

    With one run per side it equals McNemar's test, except for sampling noise. It rejects gains that rest on a handful
    of crops, for which the resampled interval is too narrow.
    """
    crops_G = np.bincount(group_C, weights=crops_C)
    weight_C = gain_C / (crops_G[group_C] * len(crops_G))
    gains_R = (2 * rng.binomial(crops_C, 0.5, size=(samples, len(crops_C))) - crops_C) @ weight_C
    reached = abs(gains_R) >= abs(crops_C @ weight_C) - 1e-12
    return float((1 + reached.sum()) / (1 + samples))


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Returns the exact two-sided p-value of McNemar's test, given the crops that only one side predicts correctly.

    McNemar 1947, https://doi.org/10.1007/BF02295996, with the binomial distribution in place of its approximation.
    """
    crops = only_a + only_b
    ways = sum(math.comb(crops, count) for count in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * ways / 2**crops)
