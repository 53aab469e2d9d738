"""The picture of a calibration: what is drawn are counts by hand, and it can be looked at."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_calibration import answers, simulated

from jersey.evaluation.calibration import BINS, Answers, calibrate
from jersey.export.calibration_picture import calibration_picture
from jersey.plots import calibration as plot


def drawn(monkeypatch: pytest.MonkeyPatch, found: Answers) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    draw = plot.calibration

    def watched(*bins: plot.Bins, **others: Any) -> object:
        seen.update(others, before=bins[0], after=bins[1])
        return draw(*bins, **others)

    monkeypatch.setattr(plot, "calibration", watched)
    image = calibration_picture(found, calibrate(found, found), title="test")
    assert 700 < image.width < 1100
    pixels_HW3 = np.asarray(image)
    for edge in (pixels_HW3[:5], pixels_HW3[-5:], pixels_HW3[:, :5], pixels_HW3[:, -5:]):
        assert (edge == 255).all()
    return seen


def test_bins_and_the_curve_are_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty crops, two a bin, in each the less sure one wrong."""
    confidences = [0.51 + 0.016 * i for i in range(30)]
    seen = drawn(monkeypatch, answers(confidences, [i % 2 == 1 for i in range(30)]))
    np.testing.assert_allclose(seen["before"].confidence_B, [0.518 + 0.032 * i for i in range(BINS)])
    assert (seen["before"].right_B == 0.5).all()
    assert (seen["before"].low_B < 0.5).all()
    np.testing.assert_allclose(seen["answered_N"], np.arange(1, 31) / 30)
    assert seen["precision_N"][:4].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


def test_answers_to_unreadable_crops_cost_precision_and_cover_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn(monkeypatch, answers([0.99, 0.9, 0.8], [], labels=[-1, 0, 0]))
    assert seen["answered_N"].tolist() == [0, 0.5, 1]
    assert seen["precision_N"].tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert len(seen["before"].right_B) == 2


def test_one_crop_and_many_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(monkeypatch, answers([0.9], [True]))
    drawn(monkeypatch, answers([0.9], [False]))
    seen = drawn(monkeypatch, simulated(3000, temperature=2.0))
    assert [name for name, _, _ in seen["thresholds"]] == ["95%", "98%", "99%"]


def test_nothing_is_answered_at_a_precision_out_of_reach() -> None:
    found = simulated(40, temperature=1.0)
    calibration = calibrate(found, found)
    none = tuple(replace(each, confidence=None, test_precision=None) for each in calibration.thresholds)
    assert calibration_picture(found, replace(calibration, thresholds=none), title="test").height > 300
