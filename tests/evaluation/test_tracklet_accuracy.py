"""Tracks of a split, windows of frames and the correlation of frames, by hand and from simulated ones."""

import numpy as np
import pytest
from scipy.special import softmax

from jersey.evaluation.tracklets import Track, accuracy_by_frames, fit_correlation, tracks_of, windows
from jersey.inference.tracklet import pooled


def test_rows_of_a_name_are_a_track_and_lend_it_their_number() -> None:
    probabilities_NK = np.arange(12).reshape(6, 2) / 12
    tracks = tracks_of(probabilities_NK, np.array([0, 1, 0, -1, 1, -1]), ["a", "", "a", "a", "b", "c"])
    assert [track.label for track in tracks] == [0, 1]
    np.testing.assert_array_equal(tracks[0].probabilities_FK, probabilities_NK[[0, 2, 3]])
    np.testing.assert_array_equal(tracks[1].probabilities_FK, probabilities_NK[[4]])


def test_a_track_with_two_numbers_is_left_out() -> None:
    assert tracks_of(np.full((2, 2), 0.5), np.array([0, 1]), ["a", "a"]) == []


def test_windows_share_no_frame() -> None:
    rng = np.random.default_rng(0)
    tracks = [Track(softmax(rng.normal(size=(7, 3)), axis=1), 2), Track(softmax(rng.normal(size=(2, 3)), axis=1), 1)]
    pooled_WK, labels_W = windows(tracks, 3, correlation=0.3)
    assert labels_W.tolist() == [2, 2]
    np.testing.assert_allclose(pooled_WK[1], pooled(tracks[0].probabilities_FK[3:6], correlation=0.3))
    assert windows(tracks, 8, correlation=0.3)[0].shape == (0, 3)


def test_more_frames_are_read_better() -> None:
    scores = accuracy_by_frames(simulated(0.0), frames=(1, 3, 10, 30, 31))
    assert [(each.frames, each.windows) for each in scores] == [(1, 6000), (3, 2000), (10, 600), (30, 200)]
    shares = [each.right / each.windows for each in scores]
    assert shares == sorted(shares)
    assert shares[0] < 0.65
    assert shares[-1] > 0.85


def test_the_correlation_that_is_found_makes_tracks_as_sure_as_they_are_right() -> None:
    found = []
    for correlation in (0.0, 0.1, 0.5):
        fitted = fit_correlation(simulated(correlation))
        assert fitted is not None
        pooled_WK, labels_W = windows(simulated(correlation, seed=2), 30, correlation=fitted)
        right = (pooled_WK.argmax(axis=1) == labels_W).mean()
        assert pooled_WK.max(axis=1).mean() == pytest.approx(right, abs=0.06)
        found.append(fitted)
    assert found == sorted(found)
    assert found[0] < 0.05 < 0.4 < found[-1]


def test_without_tracks_there_is_none() -> None:
    assert fit_correlation([]) is None
    assert accuracy_by_frames([]) == []
    assert fit_correlation([Track(np.array([[0.5, 0.5]]), 0)]) is None


def simulated(correlation: float, *, seed: int = 1) -> list[Track]:
    """Two hundred tracks of 30 frames; of the noise in each frame's evidence, a share is that of the whole track.

    With evidence of variance s^2 about +-s^2 / 2, the probabilities are right frame by frame.
    """
    rng = np.random.default_rng(seed)
    spread, tracks = 0.5, []
    for number in range(200):
        shared, own = rng.normal(0, spread, 1), rng.normal(0, spread, 30)
        noise_F = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
        label = number % 2
        evidence_F = noise_F + (label - 0.5) * spread**2
        tracks.append(Track(softmax(np.stack([-evidence_F / 2, evidence_F / 2], axis=1), axis=1), label))
    return tracks
