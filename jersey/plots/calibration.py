"""Plots of calibration: accuracy by confidence, and precision by coverage when the model abstains.

Shapes: N crops, B bins.
"""

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from jersey.evaluation.calibration import (
    Calibration,
    Predictions,
    ReliabilityBins,
    coverage_and_precision,
    reliability_bins,
)
from jersey.plots.canvas import DARK, LIGHT, STYLE, rendered

SIDE_IN = 4.2
GRAY = "#999999"


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
        # The accuracy is inside of the interval but for rounding.
        errors = np.clip([bins.accuracy_B - bins.low_B, bins.high_B - bins.accuracy_B], 0, None)
        axes.errorbar(bins.confidence_B, bins.accuracy_B, errors, color=color, marker="o", ms=4, lw=1, elinewidth=0.8)
        axes.plot([], [], color=color, marker="o", ms=4, lw=1, label=label)
    _finish(axes, "confidence, in bins of equal mass (bars: 95 % interval)", "accuracy", lowest=0.0)
    axes.legend(loc="upper left")


def _abstention(axes: Axes, test: Predictions, found: Calibration) -> None:
    coverage_N, precision_N = coverage_and_precision(test)
    axes.plot(coverage_N, precision_N, color=DARK, lw=1.5)
    lowest = precision_N[len(precision_N) // 20 :].min(initial=1.0)
    for each in found.thresholds:
        if each.test_precision is not None:
            at = (each.test_coverage, each.test_precision)
            axes.plot(*at, color=LIGHT, marker="o", ms=6)
            place: dict[str, Any] = {"xytext": (-6, -11), "textcoords": "offset points", "ha": "right"}
            axes.annotate(f"target {each.precision:.0%}", at, **place)
            lowest = min(lowest, each.test_precision)
    _finish(axes, "coverage, most confident crops first", "precision", lowest=max(0.0, lowest - 0.05))


def _finish(axes: Axes, x: str, y: str, *, lowest: float) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1.01), ylim=(lowest, 1.01))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid()
