"""A plot of the trials of a search: validation accuracy by the value of each parameter."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from jersey.plots.canvas import DARK, LIGHT, RED, STYLE, rendered

PANEL_IN, COLUMNS = (3.2, 2.6), 3
MARKERS = {"finished": ("o", DARK), "pruned": ("x", LIGHT)}  # shapes differ too, so that gray is enough


@dataclass(frozen=True)
class Panel:
    """The values of one parameter.

    Attributes:
        name: name of the parameter.
        values: value of each trial.
        choices: names of the values 0, 1 and so on; empty if the values are numbers.
        is_log: whether the axis is logarithmic.
    """

    name: str
    values: Sequence[float]
    choices: Sequence[str] = ()
    is_log: bool = False


@rc_context(STYLE)
def search_plot(scores: Sequence[float], states: Sequence[str], panels: Sequence[Panel], *, title: str) -> Image.Image:
    """Plots one panel for each parameter, and marks the best finished trial.

    Args:
        scores: accuracy of each trial, as a fraction.
        states: "finished" or "pruned" for each trial.
        panels: at least one panel, with a value for each trial.
        title: title of the figure.
    """
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(PANEL_IN[0] * columns, PANEL_IN[1] * lines + 0.6), layout="constrained")
    all_axes = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    for axes, panel in zip(all_axes, panels, strict=False):
        _draw(axes, scores, states, panel)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    for axes in all_axes[::columns]:
        axes.set_ylabel("val top-1")
    all_axes[0].yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    all_axes[0].legend(loc="best")
    figure.suptitle(f"{title}: {len(scores)} trials")
    return rendered(figure)


def _draw(axes: Axes, scores: Sequence[float], states: Sequence[str], panel: Panel) -> None:
    axes.set_xlabel(panel.name)
    if panel.choices:
        axes.set_xticks(range(len(panel.choices)), panel.choices)
    axes.set_xscale("log" if panel.is_log else "linear")
    points = list(zip(panel.values, scores, states, strict=True))
    for state, (marker, color) in MARKERS.items():
        shown = [(value, score) for value, score, each in points if each == state]
        x, y = [value for value, _ in shown], [score for _, score in shown]
        axes.scatter(x, y, marker=marker, color=color, s=22, label=state if shown else None)
    if finished := [(score, value) for value, score, state in points if state == "finished"]:
        score, value = max(finished)
        axes.scatter([value], [score], s=110, facecolors="none", edgecolors=RED, label="best")
