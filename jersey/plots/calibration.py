"""Plots of calibration: accuracy by confidence, and precision by coverage when the model abstains.

Shapes: N crops, B bins.
"""

import itertools
from collections.abc import Mapping
from typing import Any

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
MARGIN = 0.04  # beyond 100 %, as a fraction of the axis, so that points there are not squeezed against its edge
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
    _reliability(
        left,
        {
            f"before scaling, ECE {found.before.value:.4f}": (reliability_bins(test), LIGHT),
            f"after scaling, ECE {found.after.value:.4f}": (reliability_bins(after), DARK),
        },
    )
    _abstention(right, after, found)
    return rendered(figure)


def _reliability(axes: Axes, lines: Mapping[str, tuple[ReliabilityBins, str]]) -> None:
    """Plots the bins and their color by label of the legend."""
    axes.plot([0, 1], [0, 1], color=GRAY, lw=1, ls="--", label="perfect calibration")
    for label, (bins, color) in lines.items():
        # Rounding can put the accuracy just outside of its interval, and matplotlib rejects negative lengths.
        errors = np.clip([bins.accuracy_B - bins.low_B, bins.high_B - bins.accuracy_B], 0, None)
        style: dict[str, Any] = {"color": color, "marker": "o" if color == DARK else "s", "ms": 4, "lw": 1}
        axes.errorbar(bins.confidence_B, bins.accuracy_B, errors, elinewidth=0.8, clip_on=False, **style)
        axes.plot([], [], label=label, **style)
    _finish(axes, "confidence", "accuracy", lowest=0.0)
    axes.set_title("bins of equally many crops, with 95 % intervals", fontsize=9)


def _abstention(axes: Axes, test: Predictions, found: Calibration) -> None:
    coverage_N, precision_N = coverage_and_precision(test)
    axes.plot(coverage_N, precision_N, color=DARK, lw=1.5)
    axes.set_title("most confident crops first", fontsize=9)
    # The precision of the first few crops varies most, so the axis need not include it.
    lowest = precision_N[len(precision_N) // 20 :].min(initial=1.0)
    for each, (marker, size_pt) in zip(found.thresholds, itertools.cycle(TARGET_MARKERS)):
        if each.test_precision is not None:
            axes.plot(
                each.test_coverage,
                each.test_precision,
                color="none",
                marker=marker,
                ms=size_pt,
                mfc=LIGHT,
                mec="black",
                label=f"target precision {percent(each.precision)}",
                clip_on=False,
            )
            lowest = min(lowest, each.test_precision)
    _finish(axes, "coverage", "precision", lowest=max(0.0, lowest - 0.05))


def _finish(axes: Axes, x: str, y: str, *, lowest: float) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1 + MARGIN), ylim=(lowest, 1 + MARGIN * (1 - lowest)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.grid()
    if axes.get_legend_handles_labels()[1]:  # below the axes, where it covers no point
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16))
