"""Plots of calibration: accuracy by confidence, and precision by coverage when the model abstains.

Shapes: N crops, B bins.
"""

import itertools

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from jersey.core.tables import percent
from jersey.evaluation.calibration import (
    Calibration,
    Predictions,
    ReliabilityBins,
    coverage_and_precision,
    reliability_bins,
)
from jersey.plots.canvas import DARK, LIGHT, STYLE, rendered

SIDE_IN = 4.2  # of each of the two panels
GRAY = "#999999"
TARGET_MARKERS = (("o", 12), ("s", 9), ("^", 6))
"""The shapes and sizes of the targets' markers: if several targets have the same point, all of them are visible."""


@rc_context(STYLE)
def calibration(test: Predictions, found: Calibration, *, title: str) -> Image.Image:
    """Plots the reliability diagram and precision by coverage.

    Args:
        test: predictions on the test split, at a temperature of 1.
        found: temperature and thresholds.
        title: title of the figure.
    """
    after = test.at(found.temperature)
    figure = Figure(figsize=(2 * SIDE_IN + 0.6, SIDE_IN))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.32})
    figure.suptitle(title)
    _reliability(left, reliability_bins(test), reliability_bins(after))
    _abstention(right, after, found)
    return rendered(figure)


def _reliability(axes: Axes, before: ReliabilityBins, after: ReliabilityBins) -> None:
    axes.plot([0, 1], [0, 1], color=GRAY, lw=1, ls="--", label="perfect calibration")
    for bins, color, label in ((before, LIGHT, "before scaling"), (after, DARK, "after temperature scaling")):
        # Rounding can put the accuracy just outside of its interval, and matplotlib rejects negative lengths.
        errors = np.clip([bins.accuracy_B - bins.low_B, bins.high_B - bins.accuracy_B], 0, None)
        axes.errorbar(bins.confidence_B, bins.accuracy_B, errors, color=color, marker="o", ms=4, lw=1, elinewidth=0.8)
        axes.plot([], [], color=color, marker="o", ms=4, lw=1, label=label)
    _finish(axes, "confidence, in bins of equal mass (bars: 95 % interval)", "accuracy", lowest=0.0)
    axes.legend(loc="lower right")


def _abstention(axes: Axes, test: Predictions, found: Calibration) -> None:
    coverage_N, precision_N = coverage_and_precision(test)
    axes.plot(coverage_N, precision_N, color=DARK, lw=1.5)
    # The precision of the first few crops varies most, so the axis need not include it.
    lowest = precision_N[len(precision_N) // 20 :].min(initial=1.0)
    for each, (marker, size_pt) in zip(found.thresholds, itertools.cycle(TARGET_MARKERS)):
        if each.test_precision is not None and each.test_coverage is not None:
            axes.plot(
                each.test_coverage,
                each.test_precision,
                color="none",
                marker=marker,
                ms=size_pt,
                mfc=LIGHT,
                mec="black",
                label=f"target precision {percent(each.precision, 0)}",
                clip_on=False,
            )
            lowest = min(lowest, each.test_precision)
    _finish(axes, "coverage, most confident crops first", "precision", lowest=max(0.0, lowest - 0.05))
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower left")


def _finish(axes: Axes, x: str, y: str, *, lowest: float) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1.01), ylim=(lowest, 1.01))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.grid()
