"""The calibration figure can be plotted for few and for many crops, and is not cut off."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border, is_color
from PIL import Image

from jersey.evaluation.calibration import Predictions, calibrate
from jersey.plots.calibration import calibration
from jersey.plots.canvas import LIGHT


@pytest.mark.parametrize(("crops", "correct"), [(1, 1.0), (1, 0.0), (3000, 0.9)])
@pytest.mark.parametrize("has_thresholds", [True, False])
def test_few_or_many_crops_can_be_plotted(crops: int, correct: float, has_thresholds: bool) -> None:
    rng = np.random.default_rng(0)
    logits_N2 = np.stack([rng.uniform(0.1, 4, crops), np.zeros(crops)], axis=1)
    test = Predictions(logits_N2, (rng.random(crops) >= correct).astype(np.int64))
    found = calibrate(test, test)
    if not has_thresholds:
        none = tuple(replace(each, confidence=None, test_precision=None) for each in found.thresholds)
        found = replace(found, thresholds=none)
    image = calibration(test, found, title="test")
    assert 700 < image.width < 1100
    assert_nothing_touches_the_border(image)


def test_targets_with_the_same_point_are_all_visible() -> None:
    """The larger markers are still visible around the smaller ones."""
    test = Predictions(np.tile([4.0, 0.0], (100, 1)), np.zeros(100, dtype=np.int64))
    found = calibrate(test, test)
    same = tuple(replace(found.thresholds[0], precision=precision) for precision in (0.95, 0.98, 0.99))
    images = [calibration(test, replace(found, thresholds=same[:count]), title="test") for count in (1, 2, 3)]
    right_edges = [np.asarray(image)[:, -200:] for image in images]  # without the markers of the legend
    marker_colors = [int(is_color(image, LIGHT, within=20).sum()) for image in map(Image.fromarray, right_edges)]
    assert marker_colors == sorted(marker_colors, reverse=True)
    assert marker_colors[0] > marker_colors[1] > marker_colors[2] > 0
