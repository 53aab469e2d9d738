"""A plot of test accuracy by the number of train crops of each label."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import mean, stdev

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from jersey.core.tables import count_name
from jersey.plots.canvas import DARK, LIGHT, RED, STYLE, rendered

SIZE_IN = (5.2, 3.6)
# Color, marker and dashes, so that gray is enough.
LINES = ((DARK, "o", "-"), (LIGHT, "s", "--"), (RED, "^", ":"), ("black", "D", "-."))


@rc_context(STYLE)
def learning_curve(accuracies: Mapping[str, Mapping[float, Sequence[float]]], *, title: str) -> Image.Image:
    """Plots one line per experiment; error bars are the standard deviation over its runs.

    Args:
        accuracies: accuracy of each run, by the name of the experiment and by the number of crops, infinity for all;
            the numbers have equal distances.
        title: title of the figure.
    """
    figure = Figure(figsize=SIZE_IN)
    axes = figure.subplots()
    places = sorted({count for runs in accuracies.values() for count in runs})
    for (name, runs), (color, marker, dashes) in zip(accuracies.items(), cycle(LINES), strict=False):
        axes.errorbar(
            [places.index(count) for count in runs],
            [mean(values) for values in runs.values()],
            [stdev(values) if len(values) > 1 else 0.0 for values in runs.values()],
            color=color,
            marker=marker,
            ls=dashes,
            capsize=3,
            label=name,
        )
    axes.set(xlabel="train crops of each number", ylabel="accuracy on the test crops", ylim=(0, 1.02))
    axes.set_xticks(range(len(places)), [count_name(count) for count in places])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_title(title)
    axes.grid()
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16))
    return rendered(figure)
