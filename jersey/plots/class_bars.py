"""Horizontal bars of all classes: crops of a data set, and crops that a sampler selects from it.

Shapes: K classes, S splits.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from jersey.core.errors import plural
from jersey.plots.canvas import BESIDE, DARK, PALE, RED, STYLE, rendered

LOG_FROM_RATIO = 20  # on a linear scale, a bar of less than a twentieth of the panel is hardly visible
PANEL_IN = 2.6
COUNT_PT = 8


@rc_context(STYLE)
def dataset_bars(counts_SK: np.ndarray, names: Sequence[str], *, splits: Sequence[str], title: str) -> Image.Image:
    """Plots the number of crops by class, one panel per split, each with its own scale.

    All scales are logarithmic if two classes of one split differ by a factor of 20. Classes without crops are hatched.

    Args:
        counts_SK: number of crops, int.
        names: labels of the classes.
        splits: names of the splits.
        title: title of the figure.
    """
    height_in = _height_in(names, row_in=0.2)
    figure = Figure(figsize=(PANEL_IN * len(splits), height_in))
    panels = figure.subplots(1, len(splits), squeeze=False, gridspec_kw={"wspace": 0.06})[0]
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1)
    is_log = _largest_ratio(counts_SK) >= LOG_FROM_RATIO
    for column, (axes, counts_K, split) in enumerate(zip(panels, counts_SK, splits, strict=True)):
        _lay_out_rows(axes, names if column == 0 else [""] * len(names))
        _draw_counts(axes, counts_K, is_log=is_log)
        axes.set_title(_summary(split, counts_K), fontsize=9)
    scale = "number of crops, on a logarithmic scale" if is_log else "number of crops"
    panels[0].set_xlabel(scale, loc="left")
    figure.text(0, 1 + 0.45 / height_in, title, fontsize=12, va="bottom")
    return rendered(figure)


@rc_context(STYLE)
def sampler_bars(natural_K: np.ndarray, sampled_K: np.ndarray, names: Sequence[str], *, title: str) -> Image.Image:
    """Plots the fraction of each class in the train split and in an epoch.

    Args:
        natural_K: number of crops in the train split, int.
        sampled_K: number of crops sampled in an epoch, int.
        names: labels of the classes.
        title: title of the figure.
    """
    figure = Figure(figsize=(6.5, _height_in(names, row_in=0.24)))
    axes = figure.add_axes((0, 0, 1, 1))
    _lay_out_rows(axes, names)
    rows_K = np.arange(len(names))
    natural_percent_K, sampled_percent_K = (
        100 * counts_K / max(counts_K.sum(), 1) for counts_K in (natural_K, sampled_K)
    )
    axes.barh(rows_K - 0.2, natural_percent_K, height=0.38, color=PALE, label="in the train split")
    axes.barh(rows_K + 0.2, sampled_percent_K, height=0.38, color=DARK, label="sampled in an epoch")
    present = max(int(np.count_nonzero(natural_K)), 1)
    axes.axvline(100 / present, color=RED, ls="--", lw=1.2, label=f"equal fractions of {present} classes")
    for row, (natural, sampled) in enumerate(zip(natural_K, sampled_K, strict=True)):
        text = f"{natural:,} \N{RIGHTWARDS ARROW} {sampled:,}" if natural else "none"
        axes.text(0.99, row, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=COUNT_PT)
    # The column of counts needs a fifth of the width.
    axes.set_xlim(0, 1.25 * max(natural_percent_K.max(), sampled_percent_K.max(), 100 / present))
    axes.set_xlabel("fraction of crops, %; right: crops in the split \N{RIGHTWARDS ARROW} sampled")
    axes.set_title(title)
    axes.legend(**BESIDE)
    return rendered(figure)


def _height_in(names: Sequence[str], *, row_in: float) -> float:
    return max(0.8, row_in * len(names))


def _lay_out_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    for row in range(1, len(names), 2):  # stripes lead the eye from a name to a distant count
        axes.axhspan(row - 0.5, row + 0.5, color="0.95", lw=0, zorder=0)


def _draw_counts(axes: Axes, counts_K: np.ndarray, *, is_log: bool) -> None:
    # log(1 + count) gives a single crop a bar too.
    lengths_K = np.log1p(counts_K) if is_log else counts_K
    bars = axes.barh(range(len(counts_K)), lengths_K, color=DARK, height=0.75)
    axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts_K], padding=2, fontsize=COUNT_PT)
    axes.set_xlim(0, 1.25 * max(lengths_K.max(), 1))
    axes.set_xticks([])  # each bar has its count
    axes.spines["bottom"].set_visible(False)
    box = {"facecolor": "0.9", "edgecolor": "none", "pad": 1}
    for row in np.flatnonzero(counts_K == 0).tolist():
        axes.axhspan(row - 0.5, row + 0.5, facecolor="0.9", edgecolor="0.6", hatch="////", lw=0)
        middle = axes.get_yaxis_transform()
        axes.text(0.5, row, "none", transform=middle, ha="center", va="center", fontsize=COUNT_PT, bbox=box)


def _largest_ratio(counts_SK: np.ndarray) -> float:
    return max((counts_K.max() / counts_K[counts_K > 0].min() for counts_K in counts_SK if counts_K.any()), default=1)


def _summary(split: str, counts_K: np.ndarray) -> str:
    present = counts_K[counts_K > 0]
    text = f"{split}: {plural(int(counts_K.sum()), 'crop')}\n{len(present)} of {len(counts_K)} classes"
    if len(present) == 0:
        return text
    low, high = present.min(), present.max()
    return f"{text}, {low:,} each" if low == high else f"{text}, {low:,} to {high:,} each"
