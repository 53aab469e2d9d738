"""Plots of loss, scores and learning rate over the epochs, one panel below the other.

The training loss is the optimized one (class weights, label smoothing), so it can exceed the validation loss.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from PIL import Image

from jersey.plots.canvas import BESIDE, DARK, LIGHT, RED, STYLE, rendered

Points = Sequence[tuple[float, float]]  # epoch and value
Styles = Mapping[str, Mapping[str, Any]]  # arguments of matplotlib's line by metric name

MARKED_POINTS = 40  # epochs up to which each has a marker; more would touch each other
LOG_FROM_RATIO = 20  # of the largest loss to the smallest; on a linear scale the latter would look like 0
WIDTH_IN, PANEL_IN = 7.0, 2.2

# Any two lines of a panel differ in their gray level or in their dashes, so that they differ in a gray print too.
LOSSES: Styles = {
    "train/loss": {"label": "train, as optimized", "color": LIGHT},
    "val/loss": {"label": "val", "color": DARK},
    "test/loss": {"label": "test", "color": "black", "ls": ":"},
}
SCORES: Styles = {
    "train/acc_top1": {"label": "train top-1", "color": LIGHT},
    "val/acc_top1": {"label": "val top-1", "color": DARK},
    "val/recall_macro": {"label": "val macro recall", "color": DARK, "ls": "--", "lw": 1},
    "val/f1_macro": {"label": "val macro F1", "color": "0.55", "ls": "-.", "lw": 1},
    "test/acc_top1": {"label": "test top-1", "color": "black", "ls": ":"},
}
RATE_STYLES: Sequence[Mapping[str, Any]] = ({"color": DARK}, {"color": LIGHT}, {"color": "black", "ls": "--"})


@rc_context(STYLE)
def training_curves(
    curves: Mapping[str, Points],
    *,
    test: Mapping[str, float],
    best_epoch: int | None,
    title: str,
    rates_by_step: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Image.Image:
    """Plots the losses, top-1, macro scores and learning rates among the curves; a panel without curves is left out.

    A value that is not finite is a red cross on the panel's upper edge. The axis counts trained epochs, so a value at
    the end of the first epoch is at 1.

    Args:
        curves: at least one curve of epochs, counted from 0, by metric name, such as "val/loss" or "lr/head".
        test: test scores by metric name, each a line over all epochs.
        best_epoch: epoch, counted from 0, that every panel marks; None marks none.
        title: title of the figure.
        rates_by_step: trained epochs and learning rates by metric name, which replace those of `curves`.
    """
    curves = {name: [(epoch + 1, value) for epoch, value in points] for name, points in curves.items()}
    epochs = [epoch for points in curves.values() for epoch, _ in points]
    curves |= rates_by_step or {}
    rates = sorted(name for name in curves if name == "lr" or name.startswith("lr/"))
    rate_styles = {name: {"label": name, **RATE_STYLES[i % len(RATE_STYLES)]} for i, name in enumerate(rates)}
    all_panels: list[tuple[str, Styles]] = [("loss", LOSSES), ("score", SCORES), ("learning rate", rate_styles)]
    panels = [(name, styles) for name, styles in all_panels if styles.keys() & curves.keys()] or all_panels[:1]
    figure = Figure(figsize=(WIDTH_IN, PANEL_IN * len(panels)))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"hspace": 0.1})[:, 0]
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1)
    for axes, (name, styles) in zip(grid, panels, strict=True):
        _draw_lines(axes, {key: curves[key] for key in styles if key in curves}, test, styles)
        if best_epoch is not None:
            label = f"best epoch ({best_epoch + 1})" if axes is grid[0] else None
            axes.axvline(best_epoch + 1, color=RED, lw=1, ls=(0, (5, 3)), zorder=1, label=label)
        _finish(axes, name)
    grid[-1].set(xlabel="epoch", xlim=(0 if rates_by_step else min(epochs) - 0.5, max(epochs) + 0.5))
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grid[0].set_title(title)
    return rendered(figure)


def _draw_lines(axes: Axes, curves: Mapping[str, Points], test: Mapping[str, float], styles: Styles) -> None:
    levels = {name: test[name] for name in styles if math.isfinite(test.get(name, math.nan))}
    values = [value for points in curves.values() for _, value in points if math.isfinite(value)]
    values += levels.values()
    # The first or a diverged epoch must not flatten the others.
    if styles is LOSSES and values and min(values) > 0 and max(values) > LOG_FROM_RATIO * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    for name, points in curves.items():
        _draw_curve(axes, points, styles[name])
    for name, level in levels.items():
        axes.axhline(level, **styles[name])


def _draw_curve(axes: Axes, points: Points, style: Mapping[str, Any]) -> None:
    marker = "o" if len(points) <= MARKED_POINTS else ""
    epochs = [epoch for epoch, _ in points]
    values = [value if math.isfinite(value) else math.nan for _, value in points]
    axes.plot(epochs, values, marker=marker, ms=3.5, **style)
    if not_finite := [epoch for epoch, value in points if not math.isfinite(value)]:
        at_upper_edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(
            not_finite, [1] * len(not_finite), "x", color=RED, label=f"{style['label']}: not finite", **at_upper_edge
        )


def _finish(axes: Axes, name: str) -> None:
    if name == "score":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
        low, high = axes.get_ylim()
        axes.set_ylim(low, min(high, 1 + 0.05 * (1 - low)))  # no score is above 100 %
    if name == "learning rate":
        axes.set_ylim(bottom=0)
    axes.set_ylabel(name)
    axes.grid()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(**BESIDE)
