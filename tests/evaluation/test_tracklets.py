"""Tracklets of a split, windows of frames and frame correlation: by hand, simulated, and with a planted model."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.planted_model import LABELS, file_of, planted_model
from scipy.special import softmax

from jersey.core.errors import UserError
from jersey.evaluation import tracklets
from jersey.evaluation.tracklets import (
    Tracklet,
    fit_correlation,
    read_tracklets,
    tracklet_scores,
    tracklets_of,
    windows,
)
from jersey.inference import Predictor
from jersey.inference.tracklet import pool_frames


def simulated(correlation: float, *, seed: int = 1) -> list[Tracklet]:
    """Two hundred tracklets of 30 frames, whose noise has this correlation between frames.

    With evidence of variance s^2 around +-s^2 / 2, the probabilities of single frames are calibrated.
    """
    rng = np.random.default_rng(seed)
    spread, tracklets = 0.5, []
    for number in range(200):
        shared, own = rng.normal(0, spread, 1), rng.normal(0, spread, 30)
        noise_F = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
        label = number % 2
        evidence_F = noise_F + (label - 0.5) * spread**2
        tracklets.append(Tracklet(softmax(np.stack([-evidence_F / 2, evidence_F / 2], axis=1), axis=1), label))
    return tracklets


def test_rows_with_the_same_name_form_a_tracklet_with_their_label() -> None:
    probabilities_NK = np.arange(12).reshape(6, 2) / 12
    tracklets = tracklets_of(probabilities_NK, np.array([0, 1, 0, -1, 1, -1]), ["a", "", "a", "a", "b", "c"])
    assert [tracklet.label for tracklet in tracklets] == [0, 1]
    np.testing.assert_array_equal(tracklets[0].probabilities_FK, probabilities_NK[[0, 2, 3]])
    np.testing.assert_array_equal(tracklets[1].probabilities_FK, probabilities_NK[[4]])
    assert tracklets_of(probabilities_NK[:2], np.array([0, 1]), ["a", "a"]) == [], (
        "a tracklet with two labels is excluded"
    )


def test_windows_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    tracklet = Tracklet(softmax(rng.normal(size=(7, 3)), axis=1), 2)
    first, second = windows(tracklet, 3, correlation=0.3)
    np.testing.assert_allclose(first, pool_frames(tracklet.probabilities_FK[:3], correlation=0.3))
    np.testing.assert_allclose(second, pool_frames(tracklet.probabilities_FK[3:6], correlation=0.3))
    assert windows(tracklet, 8, correlation=0.3) == []


def test_accuracy_rises_with_the_number_of_frames() -> None:
    found = tracklet_scores(simulated(0.0), "01", frames=(1, 3, 10, 30, 31))
    assert [(each.frames, each.windows) for each in found] == [(1, 6000), (3, 2000), (10, 600), (30, 200)]
    accuracies = [each.correct / each.windows for each in found]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.65
    assert accuracies[-1] > 0.85


def test_the_fitted_correlation_calibrates_tracklets() -> None:
    found = []
    for correlation in (0.0, 0.1, 0.5):
        fitted = fit_correlation(simulated(correlation))
        assert fitted is not None
        (scored,) = tracklet_scores(simulated(correlation, seed=2), "01", frames=(30,), correlation=fitted)
        assert scored.confidence == pytest.approx(scored.correct / scored.windows, abs=0.06)
        found.append(fitted)
    assert found == sorted(found)
    assert found[0] < 0.05 < 0.4 < found[-1]


def test_without_tracklets_there_is_no_correlation() -> None:
    assert fit_correlation([]) is None
    assert tracklet_scores([], "01") == []
    assert fit_correlation([Tracklet(np.array([[0.5, 0.5]]), 0)]) is None


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor(planted_model(tmp_path / "model.onnx"))


def write_tracklet(folder: Path, number: str, frames: list[tuple[str, int]]) -> None:
    """Writes a tracklet; each frame looks like a number with some confidence."""
    for index, (seen, certainty) in enumerate(frames):
        file_of(folder / number / "a" / f"{index:04d}.png", seen, certainty=certainty)


def test_confident_frames_outweigh_others_and_a_roster_excludes_numbers(predictor: Predictor, tmp_path: Path) -> None:
    write_tracklet(tmp_path / "tracklets", "0", [("0", 255), ("00", 60), ("0", 255)])
    write_tracklet(tmp_path / "tracklets", "23", [("10", 40), ("10", 40), ("23", 255)])
    tracklets = read_tracklets(predictor, tmp_path / "tracklets")
    assert [LABELS[tracklet.label] for tracklet in tracklets] == ["0", "23"]
    settings = {"correlation": predictor.frame_correlation, "threshold": 0.5}
    scored = tracklet_scores(tracklets, predictor.numbers, rosters=(0, 2, 5), **settings)  # type: ignore[arg-type]
    found = {(each.frames, each.roster): each for each in scored}
    assert set(found) == {(frames, roster) for frames in (1, 3) for roster in (0, 2, 5)}
    assert (found[1, 0].windows, found[1, 0].correct) == (6, 3)
    assert (found[3, 0].windows, found[3, 0].correct) == (2, 2)
    assert found[3, 0].coverage >= found[1, 0].coverage
    assert found[1, 5].correct == 3  # a roster of all numbers changes nothing
    assert found[1, 2].correct >= 3
    write_tracklet(tmp_path / "tracklets", "99", [("0", 255)])
    with pytest.raises(UserError, match="tracklets of '99'"):
        read_tracklets(predictor, tmp_path / "tracklets")


def test_the_command_prints_a_table_and_a_line_of_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = planted_model(tmp_path / "model.onnx")
    write_tracklet(tmp_path / "tracklets", "0", [("0", 255)] * 30)
    arguments = ["--roster=3", "--min_precision=0.95"]
    monkeypatch.setattr(sys, "argv", ["tracklets", str(model), str(tmp_path / "tracklets"), *arguments])
    tracklets.main()
    *_, last = capsys.readouterr().out.splitlines()
    assert [each["correct"] for each in json.loads(last)["scores"]] == [30, 30, 10, 10, 3, 3, 1, 1]
    monkeypatch.setattr(sys, "argv", [*sys.argv[:3], "--roster=99"])
    with pytest.raises(SystemExit) as caught:
        tracklets.main()
    assert caught.value.code == 2
    assert "--roster=99 is out of range" in capsys.readouterr().err
