"""The confusion matrix of a split, with the recall of every class and the worst pairs named.

Shapes: K classes; counts_KK[true, predicted] are numbers of crops.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image

from jersey.plots.share_matrix import GAP_PX, LINE_PX, draw_matrix, shade
from jersey.plots.sheet import Sheet, width_px

ROOMY_CLASSES = 20
CONFUSED_PAIRS = 6
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def confusion_matrix(counts_KK: np.ndarray, names: Sequence[str], *, title: str) -> Image.Image:
    """Draws which class (row) was read as which (column), with each row's recall, and the worst confusions in words.

    A cell's colour is its share of the row's crops, its number their count. Rows of classes without crops are hatched.

    Args:
        counts_KK: int [K,K], number of crops of each true and predicted class.
        names: K class names.
        title: what was evaluated; top-1 accuracy and the number of crops are added.

    Returns:
        An RGB image, from about 600 pixels a side for few classes to 2,100 for 100.
    """
    is_roomy = len(names) <= ROOMY_CLASSES
    cell_px = max(42, 360 // len(names)) if is_roomy else 19
    side_px = cell_px * len(names)
    sheet = Sheet()
    top_px, bottom_px = draw_matrix(
        sheet, counts_KK, names, x_px=0, y_px=0, cell_px=cell_px, row_title="true number", names_above=not is_roomy
    )
    right_px = _write_recalls(sheet, counts_KK, x_px=side_px + GAP_PX, cell_px=cell_px)
    _explain_colours(sheet, x_px=right_px + 3 * GAP_PX, y_px=side_px // 5, height_px=side_px * 3 // 5)
    correct, total = int(np.trace(counts_KK)), int(counts_KK.sum())
    score = f"top-1 {correct / max(total, 1):.1%} ({correct} of {total})"
    sheet.write(score, side_px / 2, top_px - GAP_PX, at="bottom", size_px=15)
    sheet.write(title, side_px / 2, top_px - GAP_PX - 22, at="bottom", size_px=15, is_bold=True)
    worst = textwrap.wrap(worst_confusions(counts_KK, names), width=side_px // 8, break_long_words=False)
    for line, words in enumerate(worst):
        sheet.write(words, side_px / 2, bottom_px + 2 * GAP_PX + line * LINE_PX, at="top")
    return sheet.rendered()


def worst_confusions(counts_KK: np.ndarray, names: Sequence[str]) -> str:
    """One line such as "8 read as 3: 5 of 12, 1 read as 7: 2 of 9": the most frequent mistakes first, at most six."""
    mistakes_KK = counts_KK * ~np.eye(len(names), dtype=bool)
    worst_first = np.argsort(-mistakes_KK, axis=None, kind="stable")[:CONFUSED_PAIRS]
    pairs = [divmod(int(index), len(names)) for index in worst_first]
    confusions = [
        f"{names[true]} read as {names[predicted]}: {mistakes_KK[true, predicted]} of {counts_KK[true].sum()}"
        for true, predicted in pairs
        if mistakes_KK[true, predicted] > 0
    ]
    return ", ".join(confusion.replace(" ", NO_BREAK_SPACE) for confusion in confusions) or "no mistakes"


def recall_in_words(right: int, crops: int) -> str:
    """Such as "97% of 31"; rounded down, so that 100% means all."""
    return f"{100 * right // crops}% of {crops}" if crops else "no crops"


def _write_recalls(sheet: Sheet, counts_KK: np.ndarray, *, x_px: int, cell_px: int) -> int:
    """Writes the recall behind each row; returns the x after them."""
    size_px = min(12, 3 + cell_px // 2)
    lines = ["read right"]
    for row, total in enumerate(counts_KK.sum(axis=1).tolist()):
        lines.append(recall_in_words(int(counts_KK[row, row]), total))
    for row, words in enumerate(lines, start=-1):
        sheet.write(words, x_px, max((row + 0.5) * cell_px, -LINE_PX / 2), at="left", size_px=size_px)
    return x_px + max(width_px(words, size_px) for words in lines)


def _explain_colours(sheet: Sheet, *, x_px: int, y_px: int, height_px: int) -> None:
    """Even steps of the colour scale, since that is how they differ to the eye; 100% is on top."""
    steps_H = np.linspace(1, 0, height_px)
    sheet.put(Image.fromarray(shade(steps_H**2)[:, None].repeat(14, axis=1)), x_px, y_px)
    for share in (0, 0.01, 0.05, 0.2, 0.5, 1):
        y_share_px = y_px + (1 - share**0.5) * (height_px - 1)
        sheet.fill("black", x_px + 14, y_share_px, 4, 1)
        sheet.write(f"{share:.0%}", x_px + 22, y_share_px, at="left", size_px=12)
    legend = "colour: share of the true number; in the cells: crops"
    sheet.write(legend, x_px + 22 + width_px("100%", 12) + GAP_PX, y_px + height_px / 2, at="left", is_upright=True)
