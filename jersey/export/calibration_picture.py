"""The picture of a calibration, from the answers to the crops of a split.

Shapes: N crops, B bins.
"""

import numpy as np
from PIL import Image

from jersey.evaluation.calibration import Answers, Calibration, bin_edges
from jersey.evaluation.intervals import wilson_interval
from jersey.plots import calibration as plot


def calibration_picture(answers: Answers, found: Calibration, *, title: str) -> Image.Image:
    """See `jersey.plots.calibration`.

    Args:
        answers: with a temperature of 1.
        found: the calibration.
        title: what was evaluated.
    """
    after = answers.at(found.temperature)
    order_N = (-after.confidence_N).argsort(kind="stable")
    thresholds = [
        (f"{each.precision:.0%}", each.test_coverage, each.test_precision)
        for each in found.thresholds
        if each.test_precision is not None
    ]
    return plot.calibration(
        _bins(answers),
        _bins(after),
        answered_N=after.readable_N[order_N].cumsum() / after.readable_N.sum(),
        precision_N=after.right_N[order_N].cumsum() / np.arange(1, len(order_N) + 1),
        thresholds=thresholds,
        title=title,
    )


def _bins(answers: Answers) -> plot.Bins:
    confidence_N, right_N = answers.confidence_N[answers.readable_N], answers.right_N[answers.readable_N]
    order_N = confidence_N.argsort(kind="stable")
    starts_B = bin_edges(len(order_N))[:-1]
    counts_B = np.diff(bin_edges(len(order_N)))
    confidence_B = np.add.reduceat(confidence_N[order_N], starts_B) / counts_B
    rights_B = np.add.reduceat(right_N[order_N].astype(int), starts_B)
    intervals = [wilson_interval(int(right), int(count)) for right, count in zip(rights_B, counts_B, strict=True)]
    low_B, high_B = np.array(intervals).T
    return plot.Bins(confidence_B, rights_B / counts_B, low_B, high_B)
