"""Pools the predictions of several crops of one player.

If frames were independent, their log-probabilities would add up, which is Bayes' rule from an even prior. They are not:
an error in one frame often recurs in the next. F frames with a pairwise correlation of r count as F / (1 + (F - 1) r)
independent ones, the design effect of cluster samples (Kish, Survey Sampling, 1965): r = 0 adds, r = 1 takes the mean.
The likeliest number does not depend on r, only its confidence does.

A frame's weight is 1 minus the entropy of its probabilities, as a fraction of the max entropy: a frame without
information has no weight. With weights, F becomes the effective number of frames, (sum of w)^2 / (sum of w^2), which is
Kish's, too.

Shapes: F frames, K numbers.
"""

import numpy as np

FRAME_CORRELATION = 0.9
"""The default for a model without validation tracklets; it was measured on synthetic ones (BUILD_NOTES.md)."""

EPS = 1e-9  # a single frame cannot exclude a number


def confidence_weight(probabilities_FK: np.ndarray) -> np.ndarray:
    """Returns the weight of each frame [F]: 0 for even probabilities, 1 for certainty."""
    p_FK = np.asarray(probabilities_FK, np.float64).clip(EPS, 1)
    entropy_F = -(p_FK * np.log(p_FK)).sum(axis=1)
    return (1 - entropy_F / np.log(p_FK.shape[1])).clip(0, 1)


def effective_frames(weights_F: np.ndarray, *, correlation: float) -> float:
    """Returns the equivalent number of independent frames of equal weight; 0 if no frame has a weight."""
    if not weights_F.any():
        return 0.0
    frames = weights_F.sum() ** 2 / (weights_F**2).sum()
    return float(frames / (1 + (frames - 1) * correlation))


def pool_frames(probabilities_FK: np.ndarray, *, correlation: float = FRAME_CORRELATION) -> np.ndarray:
    """Pools calibrated probabilities without a prior, to float64 [K]; a prior may be multiplied in afterwards."""
    weights_F = confidence_weight(probabilities_FK)
    log_evidence_FK = np.log(np.asarray(probabilities_FK, np.float64).clip(EPS, 1))
    mean_K = weights_F @ log_evidence_FK / max(weights_F.sum(), EPS)
    sum_K = mean_K * effective_frames(weights_F, correlation=correlation)
    p_K = np.exp(sum_K - sum_K.max())
    return p_K / p_K.sum()
