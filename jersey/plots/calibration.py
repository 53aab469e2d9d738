"""How sure the answers were and how often right: confidence against truth, and what abstaining buys.

Shapes: N crops, B bins.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from jersey.evaluation.calibration import (
    Calibration,
    Predictions,
    ReliabilityBins,
    coverage_and_precision,
    reliability_bins,
)
from jersey.plots.canvas import DARK, LABEL_PT, LIGHT, TITLE_PT, rendered

SIDE_IN = 4.2
GREY = "#999999"
Floats = NDArray[np.float64]


def calibration(test: Predictions, found: Calibration, *, title: str) -> Image.Image:
    """Draws two panels: accuracy by confidence, and precision by coverage.

    Args:
        test: with a temperature of 1.
        found: whose temperature and thresholds are shown.
        title: what was evaluated.

    Returns:
        An RGB image, about 900 pixels wide.
    """
    after = test.at(found.temperature)
    marks = [
        (f"{each.precision:.0%}", each.test_coverage, each.test_precision)
        for each in found.thresholds
        if each.test_precision is not None
    ]
    figure = Figure(figsize=(2 * SIDE_IN + 0.6, SIDE_IN))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.32})
    figure.suptitle(title, fontsize=TITLE_PT)
    _reliability(left, reliability_bins(test), reliability_bins(after))
    _abstention(right, *coverage_and_precision(after), marks)
    return rendered(figure)


def _reliability(axes: Axes, before: ReliabilityBins, after: ReliabilityBins) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="as sure as right")
    for bins, color, label in ((before, LIGHT, "logits as they are"), (after, DARK, "with the temperature")):
        # The interval holds the share but for rounding.
        errors = np.clip([bins.accuracy_B - bins.low_B, bins.high_B - bins.accuracy_B], 0, None)
        axes.errorbar(bins.confidence_B, bins.accuracy_B, errors, color=color, marker="o", ms=4, lw=1, elinewidth=0.8)
        axes.plot([], [], color=color, marker="o", ms=4, lw=1, label=label)
    _finish(axes, "confidence, bins of equally many crops (bars: 95 %)", "read right")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=LABEL_PT, loc="upper left", frameon=False)


def _abstention(
    axes: Axes, answered_N: Floats, precision_N: Floats, thresholds: Sequence[tuple[str, float, float]]
) -> None:
    axes.plot(answered_N, precision_N, color=DARK, lw=1.5)
    lowest = min([*precision_N[len(precision_N) // 20 :], *(right for _, _, right in thresholds)], default=0.0)
    for name, answered, right in thresholds:
        axes.plot([answered], [right], color=LIGHT, marker="o", ms=6, ls="")
        place: dict[str, Any] = {"xytext": (-6, -11), "textcoords": "offset points", "ha": "right"}
        axes.annotate(f"wanted {name}", (answered, right), fontsize=LABEL_PT, **place)
    _finish(axes, "answered, the surest first", "answers that are right")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(max(0.0, lowest - 0.05), 1.01)


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=LABEL_PT)
    axes.set_ylabel(y, fontsize=LABEL_PT)
    axes.tick_params(labelsize=LABEL_PT)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(color="#e5e5e5", lw=0.6)
    axes.set_axisbelow(True)
