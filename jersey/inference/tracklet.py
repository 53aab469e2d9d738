"""Pools the predictions of several crops of one player.

If frames were independent, their log-probabilities would add up, which is Bayes' rule from an even prior. They are not,
since an error in one frame often recurs in the next. F frames with a pairwise correlation of r count as
F / (1 + (F - 1) r) independent ones, by the design effect of cluster samples (Kish, Survey Sampling, 1965). So the
log-probabilities are added if r = 0, and averaged if r = 1. Only the confidence depends on r, not the likeliest number.

A frame's weight is 1 minus the entropy of its probabilities, as a fraction of the max entropy, so a frame without
information has no weight. With weights w, F becomes the effective number of frames, (sum of w)^2 / (sum of w^2), which
is also Kish's.

Shapes: F frames, K numbers.
"""

import numpy as np

FRAME_CORRELATION = 0.9
"""The default for a model without validation tracklets; it was measured on synthetic ones (BUILD_NOTES.md)."""

EPS = 1e-9  # min probability, so that a single frame cannot exclude a number


def confidence_weight(probabilities_FK: np.ndarray) -> np.ndarray:
    """Returns the weight of each frame, float64 [F]: 0 for even probabilities, 1 for certainty."""
    p_FK = np.asarray(probabilities_FK, np.float64).clip(EPS, 1)
    entropy_F = -(p_FK * np.log(p_FK)).sum(axis=1)
    return (1 - entropy_F / np.log(p_FK.shape[1])).clip(0, 1)


def effective_frames(weights_F: np.ndarray, *, correlation: float) -> float:
    """Returns the equivalent number of independent frames of equal weight; 0 if all weights are 0."""
    if not weights_F.any():
        return 0.0
    frames = weights_F.sum() ** 2 / (weights_F**2).sum()
    return float(frames / (1 + (frames - 1) * correlation))


def pool_frames(probabilities_FK: np.ndarray, *, correlation: float = FRAME_CORRELATION) -> np.ndarray:
    """Pools the frames of one player to probabilities float64 [K], without a prior, which may be multiplied in later.

    Args:
        probabilities_FK: calibrated probabilities of each frame.
        correlation: pairwise correlation of the frames, 0 to 1.
    """
    weights_F = confidence_weight(probabilities_FK)
    log_evidence_FK = np.log(np.asarray(probabilities_FK, np.float64).clip(EPS, 1))
    mean_K = weights_F @ log_evidence_FK / max(weights_F.sum(), EPS)
    sum_K = mean_K * effective_frames(weights_F, correlation=correlation)
    p_K = np.exp(sum_K - sum_K.max())
    return p_K / p_K.sum()
