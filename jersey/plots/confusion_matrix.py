"""The confusion matrix of a split, with its worst pairs named.

Shapes: K classes; counts_KK[true, predicted] are numbers of crops.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

ANNOTATED_CLASSES = 20
CONFUSED_PAIRS = 6
DOTS_PER_IN = 100
MARGIN_IN = 0.15
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def confusion_matrix(counts_KK: np.ndarray, names: Sequence[str], *, title: str) -> Image.Image:
    """Draws which class (row) was read as which (column), and names the worst confusions underneath.

    Colour is the share of the row's crops; rows of classes without crops are hatched. Up to 20 classes show counts.

    Args:
        counts_KK: int [K,K], number of crops of each true and predicted class.
        names: K class names.
        title: what was evaluated; top-1 accuracy and the number of crops are added.

    Returns:
        An RGB image, from about 500 pixels a side for few classes to 1,800 for 100.
    """
    side_in = max(3.6, 0.42 * len(names)) if len(names) <= ANNOTATED_CLASSES else max(7.0, 0.16 * len(names))
    figure = Figure(figsize=(side_in, side_in), dpi=DOTS_PER_IN)
    axes = figure.add_axes((0, 0, 1, 1))
    totals_K = counts_KK.sum(axis=1)
    _show_shares(axes, counts_KK / np.maximum(totals_K, 1)[:, None])
    _hatch_rows(axes, np.flatnonzero(totals_K == 0), len(names))
    if len(names) <= ANNOTATED_CLASSES:
        _write_counts(axes, counts_KK)
    _label_axes(axes, names)
    correct, total = int(np.trace(counts_KK)), int(totals_K.sum())
    axes.set_title(f"{title}\ntop-1 {correct / max(total, 1):.1%} ({correct} of {total})", parse_math=False)
    mistakes = textwrap.fill(worst_confusions(counts_KK, names), width=round(14 * side_in), break_long_words=False)
    axes.set_xlabel(f"read as\n\n{mistakes}", parse_math=False)
    return _render(figure, axes)


def worst_confusions(counts_KK: np.ndarray, names: Sequence[str]) -> str:
    """One line such as "8 read as 3: 5, 1 read as 7: 2": the most frequent mistakes first, at most six."""
    mistakes_KK = counts_KK * ~np.eye(len(names), dtype=bool)
    worst_first = np.argsort(-mistakes_KK, axis=None, kind="stable")[:CONFUSED_PAIRS]
    pairs = [divmod(int(index), len(names)) for index in worst_first]
    confusions = [
        f"{names[true]} read as {names[predicted]}: {mistakes_KK[true, predicted]}".replace(" ", NO_BREAK_SPACE)
        for true, predicted in pairs
        if mistakes_KK[true, predicted] > 0
    ]
    return ", ".join(confusions) or "no mistakes"


def _show_shares(axes: Axes, shares_KK: np.ndarray) -> None:
    # The square root makes a single mistake among many crops visible; magma stays monotone in grey.
    picture = axes.imshow(shares_KK, cmap="magma_r", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    beside = axes.inset_axes((1.03, 0.2, 0.03, 0.6))
    Colorbar(beside, picture, label="share of the true class", ticks=[0, 0.05, 0.2, 0.5, 1])
    edges = np.arange(len(shares_KK) - 1) + 0.5
    axes.hlines(edges, -0.5, len(shares_KK) - 0.5, color="0.85", lw=0.5)
    axes.vlines(edges, -0.5, len(shares_KK) - 0.5, color="0.85", lw=0.5)


def _hatch_rows(axes: Axes, absent: np.ndarray, width: int) -> None:
    for row in absent:
        axes.add_patch(Rectangle((-0.5, row - 0.5), width, 1, facecolor="0.9", edgecolor="0.6", hatch="////", lw=0))


def _write_counts(axes: Axes, counts_KK: np.ndarray) -> None:
    for row, column in np.argwhere(counts_KK > 0):
        is_dark = counts_KK[row, column] > 0.2 * counts_KK[row].sum()
        color = "white" if is_dark else "black"
        axes.text(column, row, str(counts_KK[row, column]), ha="center", va="center", color=color, fontsize=9)


def _label_axes(axes: Axes, names: Sequence[str]) -> None:
    is_roomy = len(names) <= ANNOTATED_CLASSES
    rotation = 0 if is_roomy and max(map(len, names)) <= 3 else 90
    size_pt = 10 if is_roomy else 8
    axes.set_xticks(range(len(names)), names, rotation=rotation, fontsize=size_pt, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=size_pt, parse_math=False)
    axes.set_ylabel("true number")


def _render(figure: Figure, axes: Axes) -> Image.Image:
    """The figure, grown to hold all that stands around its square axes, so that nothing can be cut off."""
    canvas = FigureCanvasAgg(figure)
    side_in = figure.get_figwidth()
    box = figure.get_tightbbox(canvas.get_renderer()).padded(MARGIN_IN)
    figure.set_size_inches(box.width, box.height)
    axes.set_position((-box.x0 / box.width, -box.y0 / box.height, side_in / box.width, side_in / box.height))
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
