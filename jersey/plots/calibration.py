"""How sure the answers were and how often right: confidence against truth, and what abstaining buys.

Shapes: N crops, B bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from jersey.plots.canvas import DARK, LABEL_PT, LIGHT, TITLE_PT, rendered

SIDE_IN = 4.2
GREY = "#999999"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """Crops in bins of rising confidence.

    Args:
        confidence_B: mean.
        right_B: share that was read right.
        low_B: of that, the lower end of the 95 % interval.
        high_B: the upper end.
    """

    confidence_B: Floats
    right_B: Floats
    low_B: Floats
    high_B: Floats


def calibration(
    before: Bins,
    after: Bins,
    *,
    answered_N: Floats,
    precision_N: Floats,
    thresholds: Sequence[tuple[str, float, float]],
    title: str,
) -> Image.Image:
    """Draws two panels.

    Args:
        before: of the confidences as the network gives them.
        after: with the temperature.
        answered_N: share of crops that is answered, if the surest 1, 2, ... N are.
        precision_N: share of those answers that is right.
        thresholds: name, share answered and share right of those, of each that is to be marked.
        title: what was evaluated.

    Returns:
        An RGB image, about 900 pixels wide.
    """
    figure = Figure(figsize=(2 * SIDE_IN + 0.6, SIDE_IN))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.32})
    figure.suptitle(title, fontsize=TITLE_PT)
    _reliability(left, before, after)
    _abstention(right, answered_N, precision_N, thresholds)
    return rendered(figure)


def _reliability(axes: Axes, before: Bins, after: Bins) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="as sure as right")
    for bins, color, label in ((before, LIGHT, "logits as they are"), (after, DARK, "with the temperature")):
        # The interval holds the share but for rounding.
        errors = np.clip([bins.right_B - bins.low_B, bins.high_B - bins.right_B], 0, None)
        axes.errorbar(bins.confidence_B, bins.right_B, errors, color=color, marker="o", ms=4, lw=1, elinewidth=0.8)
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
