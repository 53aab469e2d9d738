"""The calibration figure can be plotted for few and for many crops, and is not cut off."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border

from jersey.evaluation.calibration import Predictions, calibrate
from jersey.plots.calibration import calibration


@pytest.mark.parametrize(("crops", "correct"), [(1, 1.0), (1, 0.0), (3000, 0.9)])
@pytest.mark.parametrize("is_answered", [True, False])
def test_few_or_many_crops_can_be_plotted(crops: int, correct: float, is_answered: bool) -> None:
    rng = np.random.default_rng(0)
    logits_N2 = np.stack([rng.uniform(0.1, 4, crops), np.zeros(crops)], axis=1)
    test = Predictions(logits_N2, (rng.random(crops) >= correct).astype(np.int64))
    found = calibrate(test, test)
    if not is_answered:
        none = tuple(replace(each, confidence=None, test_precision=None) for each in found.thresholds)
        found = replace(found, thresholds=none)
    image = calibration(test, found, title="test")
    assert 700 < image.width < 1100
    assert_nothing_touches_the_border(image)
