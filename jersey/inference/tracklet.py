"""Several crops of one player, read as one.

Were the frames independent, their log-probabilities would add up, which is Bayes' rule from an even prior. They are
not: an error in one is an error in the next. F frames of which each two correlate by r count as F / (1 + (F - 1) r)
independent ones, the design effect of cluster samples (Kish, Survey Sampling, 1965): r = 0 adds, r = 1 takes the mean.
Which number is the likeliest does not depend on r, only how sure it is.

A frame's weight is 1 minus the entropy of its probabilities, as a share of the greatest possible one: a frame that
says nothing has none. With weights, F becomes the effective number of frames, (sum of w)^2 / (sum of w^2), likewise
Kish's.

Shapes: F frames, K numbers.
"""

import numpy as np

FRAME_CORRELATION = 0.9
"""Where the model does not say what was found on validation crops: it was found on drawn tracklets (BUILD_NOTES.md)."""

_LEAST = 1e-9  # a frame cannot rule a number out for ever


def confidence_weight(probabilities_FK: np.ndarray) -> np.ndarray:
    """The weight of each frame [F]: 0 for even probabilities, 1 for certainty."""
    shares_FK = np.asarray(probabilities_FK, np.float64).clip(_LEAST, 1)
    entropy_F = -(shares_FK * np.log(shares_FK)).sum(axis=1)
    return (1 - entropy_F / np.log(shares_FK.shape[1])).clip(0, 1)


def effective_frames(weights_F: np.ndarray, *, correlation: float) -> float:
    """As how many independent frames of equal weight they count; 0 where no frame has a weight."""
    if not weights_F.any():
        return 0.0
    frames = weights_F.sum() ** 2 / (weights_F**2).sum()
    return float(frames / (1 + (frames - 1) * correlation))


def pool_frames(probabilities_FK: np.ndarray, *, correlation: float = FRAME_CORRELATION) -> np.ndarray:
    """What the frames, calibrated and without a prior, say together, float64 [K]: multiply by a prior and normalize."""
    weights_F = confidence_weight(probabilities_FK)
    log_evidence_FK = np.log(np.asarray(probabilities_FK, np.float64).clip(_LEAST, 1))
    mean_K = weights_F @ log_evidence_FK / max(weights_F.sum(), _LEAST)
    sum_K = mean_K * effective_frames(weights_F, correlation=correlation)
    shares_K = np.exp(sum_K - sum_K.max())
    return shares_K / shares_K.sum()
