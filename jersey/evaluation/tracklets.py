"""How much better several crops of one player are read than one: accuracy by the number of frames.

Shapes: N crops of a split, F frames, W windows, K classes.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.inference.tracklet import pooled

FRAMES = (1, 3, 10, 30)
CORRELATIONS = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class Track:
    """The crops of one player, in order.

    Args:
        probabilities_FK: calibrated, of each crop.
        label: class index of the number.
    """

    probabilities_FK: NDArray[np.float64]
    label: int


@dataclass(frozen=True)
class ByFrames:
    """What so many frames at a time are worth.

    Args:
        frames: F.
        windows: how often there were so many in a row.
        right: in how many of them the number was read.
    """

    frames: int
    windows: int
    right: int


def tracks_of(
    probabilities_NK: NDArray[np.float64], labels_N: NDArray[np.int64], names_N: Sequence[str]
) -> list[Track]:
    """The tracks among the crops of a split; a crop without a name is in none.

    A crop that is unreadable by itself belongs to its track as every other. A track without a number is left out, and
    so is one with two.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names_N):
        if name:
            rows_of[name].append(row)
    tracks = []
    for rows in rows_of.values():
        labels = set(labels_N[rows].tolist()) - {ILLEGIBLE_INDEX}
        if len(labels) == 1:
            tracks.append(Track(probabilities_NK[rows], labels.pop()))
    return tracks


def windows(
    tracks: Sequence[Track], frames: int, *, correlation: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What each `frames` crops in a row say together, [W,K], and the label of each, [W]; no crop is in two windows."""
    pooled_K, labels = [], []
    for track in tracks:
        for start in range(0, len(track.probabilities_FK) - frames + 1, frames):
            pooled_K.append(pooled(track.probabilities_FK[start : start + frames], correlation=correlation))
            labels.append(track.label)
    classes = tracks[0].probabilities_FK.shape[1] if tracks else 0
    return np.array(pooled_K).reshape(len(labels), classes), np.array(labels, np.int64)


def accuracy_by_frames(tracks: Sequence[Track], *, frames: Sequence[int] = FRAMES) -> list[ByFrames]:
    """A score for each number of frames that some track has."""
    scores = []
    for each in frames:
        pooled_WK, labels_W = windows(tracks, each, correlation=0.0)  # of no consequence for the likeliest number
        if len(labels_W):
            scores.append(ByFrames(each, len(labels_W), int((pooled_WK.argmax(axis=1) == labels_W).sum())))
    return scores


def fit_correlation(tracks: Sequence[Track]) -> float | None:
    """The correlation of frames under which whole tracks make their numbers the likeliest; None without tracks."""
    several = [track for track in tracks if len(track.probabilities_FK) > 1]
    if not several:
        return None

    def loss(correlation: float) -> float:
        shares = [pooled(track.probabilities_FK, correlation=correlation)[track.label] for track in several]
        return float(-np.log(np.maximum(shares, 1e-12)).mean())

    return float(min(CORRELATIONS, key=loss))
