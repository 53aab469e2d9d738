"""Confusion matrices of the classes of a split and of the digits of misclassified numbers.

Colors are fractions of the row, and the cells contain counts.

Shapes: K classes or digits; counts_KK[true, predicted] are counts of crops; D = 10 digits; H W 3 pixels.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

from jersey.core.tables import percent
from jersey.evaluation.digit_errors import Confusion, ErrorType, examples, total
from jersey.plots.canvas import DARK, Sheet, width_px

GRID, ABSENT, HATCH, FRAME = 220, 235, 160, 0  # gray levels; ABSENT and HATCH are rows of classes without crops
DARK_FRACTION = 0.2  # of the row; cells with a larger fraction are dark, so their counts are white
MIN_COUNT_PX = 4
GAP_PX = 6
LINE_PX = 18
ROOMY_CLASSES = 20  # up to this number of classes, cells are large
CONFUSED_PAIRS = 6
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
ROW_PX, BAR_PX = 24, 240
CELL_PX, PANEL_GAP_PX = 28, 70
DIGITS = tuple("0123456789")


def confusion_matrix(counts_KK: np.ndarray, names: Sequence[str], *, title: str) -> Image.Image:
    """Plots labels (rows) against predictions (columns), with recall by class and a list of the worst confusions.

    The color of a cell is its fraction of the row's crops. Rows of classes without crops are hatched. The title is
    followed by top-1 accuracy and the number of crops. The side is 600 pixels for few classes and 2,100 for 100.

    Args:
        counts_KK: number of crops by label and prediction, int.
        names: labels of the classes.
        title: title of the figure.
    """
    is_roomy = len(names) <= ROOMY_CLASSES
    cell_px = max(42, 360 // len(names)) if is_roomy else 19
    sheet, side_px = Sheet(), cell_px * len(names)
    top_px, bottom_px = _draw_matrix(sheet, counts_KK, names, cell_px=cell_px, of="label", names_above=not is_roomy)
    right_px = _write_recalls(sheet, counts_KK, x_px=side_px + GAP_PX, cell_px=cell_px)
    _explain_colors(sheet, x_px=right_px + 3 * GAP_PX, y_px=side_px // 5, height_px=side_px * 3 // 5)
    correct, total = int(np.trace(counts_KK)), int(counts_KK.sum())
    score = f"top-1 {percent(correct / max(total, 1))} ({correct:,} of {total:,})"
    sheet.write(score, side_px / 2, top_px - GAP_PX, at="bottom", size_px=15)
    sheet.write(title, side_px / 2, top_px - GAP_PX - 22, at="bottom", size_px=15, is_bold=True)
    worst = textwrap.wrap(worst_confusions(counts_KK, names), width=side_px // 8, break_long_words=False)
    for line, words in enumerate(worst):
        sheet.write(words, side_px / 2, bottom_px + 2 * GAP_PX + line * LINE_PX, at="top")
    return sheet.rendered()


def worst_confusions(counts_KK: np.ndarray, names: Sequence[str]) -> str:
    """Lists the most frequent confusions, at most six, as in "8 predicted as 3: 5 of 12, 1 predicted as 7: 2 of 9"."""
    errors_KK = counts_KK * ~np.eye(len(names), dtype=bool)
    pairs = np.argwhere(errors_KK)
    worst_first = np.argsort(-errors_KK[tuple(pairs.T)], kind="stable")[:CONFUSED_PAIRS]
    confusions = [
        f"{names[true]} predicted as {names[predicted]}: {errors_KK[true, predicted]} of {counts_KK[true].sum()}"
        for true, predicted in pairs[worst_first]
    ]
    return ", ".join(confusion.replace(" ", NO_BREAK_SPACE) for confusion in confusions) or "no errors"


def recall_in_words(correct: int, crops: int) -> str:
    """Formats recall as in "96.8 % of 31", as the table of the report does."""
    return f"{percent(correct / crops)} of {crops:,}" if crops else "no crops"


def _write_recalls(sheet: Sheet, counts_KK: np.ndarray, *, x_px: int, cell_px: int) -> int:
    """Writes the recall at the right of each row; returns the x of its right edge."""
    size_px = min(12, 3 + cell_px // 2)
    lines = ["recall", *map(recall_in_words, counts_KK.diagonal().tolist(), counts_KK.sum(axis=1).tolist())]
    for row, words in enumerate(lines, start=-1):
        sheet.write(words, x_px, max((row + 0.5) * cell_px, -LINE_PX / 2), at="left", size_px=size_px)
    return x_px + max(width_px(words, size_px) for words in lines)


def _explain_colors(sheet: Sheet, *, x_px: int, y_px: int, height_px: int) -> None:
    """Draws the color scale in perceptually even steps, with 100 % on top."""
    steps_H = np.linspace(1, 0, height_px)
    sheet.put(Image.fromarray(_shade(steps_H**2)[:, None].repeat(14, axis=1)), x_px, y_px)
    for fraction in (0, 0.01, 0.05, 0.2, 0.5, 1):
        tick_px = y_px + (1 - fraction**0.5) * (height_px - 1)
        sheet.fill("black", x_px + 14, tick_px, 4, 1)
        sheet.write(f"{100 * fraction:.0f} %", x_px + 22, tick_px, at="left", size_px=12)
    legend = "color: fraction of the row; cells: crops"
    sheet.write(legend, x_px + 22 + width_px("100 %", 12) + GAP_PX, y_px + height_px / 2, at="left", is_upright=True)


def digit_errors(
    errors: Mapping[ErrorType, Sequence[Confusion]], places: Mapping[str, np.ndarray], *, crops: int, title: str
) -> Image.Image:
    """Plots the number of crops by type of error, with examples, above a confusion matrix of the digits in each place.

    Types without errors and places without digits are left out.

    Args:
        errors: confusions by type, from `jersey.evaluation.digit_errors`.
        places: counts of crops, int [D, D], by place of the digit, from the same module.
        crops: number of all crops, correct ones included.
        title: title of the figure.
    """
    sheet = Sheet()
    errors = {kind: confusions for kind, confusions in errors.items() if confusions}
    places = {place: counts_DD for place, counts_DD in places.items() if counts_DD.any()}
    panels_px = len(places) * (CELL_PX * len(DIGITS) + PANEL_GAP_PX) - PANEL_GAP_PX
    incorrect = sum(map(total, errors.values()))
    score = f"{incorrect:,} of {crops:,} crops misclassified ({percent(incorrect / max(crops, 1))})"
    sheet.write(title, panels_px / 2, -64, at="middle", size_px=15, is_bold=True)
    sheet.write(score, panels_px / 2, -42, at="middle", size_px=15)
    if errors:
        _draw_bars(sheet, errors, crops=crops)
    if places:
        _draw_places(sheet, places, y_px=len(errors) * ROW_PX + 60)
    return sheet.rendered()


def _draw_bars(sheet: Sheet, errors: Mapping[ErrorType, Sequence[Confusion]], *, crops: int) -> None:
    max_count = max(map(total, errors.values()))
    bars_px = max(map(width_px, errors)) + GAP_PX
    counts_px = bars_px + BAR_PX + 2 * GAP_PX
    examples_px = counts_px + width_px("1,000,000 (100.0 %)") + GAP_PX
    sheet.write("most frequent", examples_px, -LINE_PX / 2, at="left", size_px=12)
    sheet.write("crops (fraction)", counts_px, -LINE_PX / 2, at="left", size_px=12)
    for row, (kind, confusions) in enumerate(errors.items()):
        middle_px = (row + 0.5) * ROW_PX
        count = total(confusions)
        sheet.write(kind, bars_px - GAP_PX, middle_px, at="right")
        sheet.fill(DARK, bars_px, row * ROW_PX + 3, max(1, round(BAR_PX * count / max_count)), ROW_PX - 6)
        sheet.write(f"{count:,} ({percent(count / crops)})", counts_px, middle_px, at="left")
        sheet.write(examples(confusions), examples_px, middle_px, at="left", size_px=12)
    sheet.fill("black", bars_px - 1, 0, 1, len(errors) * ROW_PX)


def _draw_places(sheet: Sheet, places: Mapping[str, np.ndarray], *, y_px: int) -> None:
    side_px = CELL_PX * len(DIGITS)
    legend = "color: fraction of the row; cells: crops; hatched: no crops; only predictions of the correct length"
    sheet.write(legend, 0, y_px + side_px + 64, at="left", size_px=12)
    for index, (place, counts_DD) in enumerate(places.items()):
        x_px = index * (side_px + PANEL_GAP_PX)
        incorrect = int(counts_DD.sum() - np.trace(counts_DD))
        heading = f"{place}: {incorrect:,} of {counts_DD.sum():,} incorrect"
        sheet.write(heading, x_px + side_px / 2, y_px - GAP_PX, at="bottom")
        _draw_matrix(sheet, counts_DD, DIGITS, x_px=x_px, y_px=y_px, cell_px=CELL_PX, of="digit")


def _draw_matrix(
    sheet: Sheet,
    counts_KK: np.ndarray,
    names: Sequence[str],
    *,
    x_px: int = 0,
    y_px: int = 0,
    cell_px: int,
    of: str,
    names_above: bool = False,
) -> tuple[int, int]:
    """Draws a confusion matrix with its names; the upper left corner of its cells is at (x_px, y_px).

    Rows without crops are hatched, so that they differ from classes that are never predicted correctly. With
    `names_above` the names of the columns are also above them. Returns the y of the upper and the lower edge.
    """
    sheet.put(Image.fromarray(_cells(counts_KK, cell_px)), x_px, y_px)
    _write_counts(sheet, counts_KK, x_px=x_px, y_px=y_px, cell_px=cell_px)
    size_px, side_px = min(13, 3 + cell_px // 2), cell_px * len(names)
    longest_px = max(width_px(name, size_px) for name in names)
    is_upright = longest_px > cell_px - 4
    top_px, bottom_px = y_px - GAP_PX // 2, y_px + side_px + GAP_PX // 2
    for index, name in enumerate(names):
        middle_px = (index + 0.5) * cell_px
        sheet.write(name, x_px - GAP_PX, y_px + middle_px, at="right", size_px=size_px)
        sheet.write(name, x_px + middle_px, bottom_px, at="top", size_px=size_px, is_upright=is_upright)
        if names_above:
            sheet.write(name, x_px + middle_px, top_px, at="bottom", size_px=size_px, is_upright=is_upright)
    name_height_px = longest_px if is_upright else LINE_PX
    sheet.write(f"true {of}", x_px - longest_px - 2 * GAP_PX, y_px + side_px / 2, at="right", is_upright=True)
    sheet.write(f"predicted {of}", x_px + side_px / 2, bottom_px + name_height_px, at="top")
    return top_px - names_above * name_height_px, bottom_px + name_height_px + LINE_PX


def _shade(fractions: np.ndarray) -> np.ndarray:
    """Returns RGB colors, uint8 [...,3], that darken with the fraction, in grayscale too.

    The square root makes a single error among many crops visible.
    """
    return (255 * colormaps["magma_r"](np.sqrt(fractions))[..., :3]).round().astype(np.uint8)


def _cells(counts_KK: np.ndarray, cell_px: int) -> np.ndarray:
    totals_K = counts_KK.sum(axis=1)
    colors_KK3 = _shade(counts_KK / np.maximum(totals_K, 1)[:, None])
    pixels_HW3 = colors_KK3.repeat(cell_px, axis=0).repeat(cell_px, axis=1)
    pixels_HW3[::cell_px] = GRID
    pixels_HW3[:, ::cell_px] = GRID
    is_absent_H = (totals_K == 0).repeat(cell_px)
    is_line_HW = np.add.outer(np.arange(len(pixels_HW3)), np.arange(len(pixels_HW3))) % 6 == 0
    pixels_HW3[is_absent_H] = np.where(is_line_HW, HATCH, ABSENT)[is_absent_H][..., None]
    # The frame replaces the first grid lines.
    return np.pad(pixels_HW3[1:, 1:], ((1, 1), (1, 1), (0, 0)), constant_values=FRAME)


def _write_counts(sheet: Sheet, counts_KK: np.ndarray, *, x_px: int, y_px: int, cell_px: int) -> None:
    is_dark_KK = counts_KK > DARK_FRACTION * counts_KK.sum(axis=1, keepdims=True)
    sizes_px = range(min(13, cell_px // 2 + 1), MIN_COUNT_PX, -1)
    for row, column in np.argwhere(counts_KK):
        count, color = str(counts_KK[row, column]), "white" if is_dark_KK[row, column] else "black"
        size_px = next((size for size in sizes_px if width_px(count, size) < cell_px - 1), MIN_COUNT_PX)
        middle_px = x_px + (column + 0.5) * cell_px, y_px + (row + 0.5) * cell_px
        sheet.write(count, *middle_px, at="middle", size_px=size_px, color=color)
