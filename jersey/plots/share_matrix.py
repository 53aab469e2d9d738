"""A square table of counts on a sheet: colours are shares of the row, numbers are counts.

Shapes: K rows and columns, of true and of predicted classes; counts_KK are numbers of crops; H W 3 pixels.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

from jersey.plots.sheet import Sheet, width_px

GRID, ABSENT, HATCH, FRAME = 220, 235, 160, 0
DARK_SHARE = 0.2
SMALLEST_PX = 4
GAP_PX = 6
LINE_PX = 18


def draw_matrix(
    sheet: Sheet,
    counts_KK: np.ndarray,
    names: Sequence[str],
    *,
    x_px: int,
    y_px: int,
    cell_px: int,
    row_title: str,
    names_above: bool = False,
) -> tuple[int, int]:
    """Draws the table with its names; the upper left corner of its cells is at (x_px, y_px).

    Rows without crops are hatched, not to look like a class that is never read right.

    Args:
        names_above: repeats the columns' names above the table.

    Returns:
        The y above and below everything.
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
    sheet.write(row_title, x_px - longest_px - 2 * GAP_PX, y_px + side_px / 2, at="right", is_upright=True)
    sheet.write("read as", x_px + side_px / 2, bottom_px + name_height_px, at="top")
    return top_px - names_above * name_height_px, bottom_px + name_height_px + LINE_PX


def shade(shares: np.ndarray) -> np.ndarray:
    """RGB colours, uint8 [...,3], of shares; the larger the darker, in grey too.

    The square root makes a single mistake among many crops visible.
    """
    return (255 * colormaps["magma_r"](np.sqrt(shares))[..., :3]).round().astype(np.uint8)


def _cells(counts_KK: np.ndarray, cell_px: int) -> np.ndarray:
    totals_K = counts_KK.sum(axis=1)
    colours_KK3 = shade(counts_KK / np.maximum(totals_K, 1)[:, None])
    pixels_HW3 = colours_KK3.repeat(cell_px, axis=0).repeat(cell_px, axis=1)
    pixels_HW3[::cell_px] = GRID
    pixels_HW3[:, ::cell_px] = GRID
    is_absent_H = (totals_K == 0).repeat(cell_px)
    is_line_HW = np.add.outer(np.arange(len(pixels_HW3)), np.arange(len(pixels_HW3))) % 6 == 0
    pixels_HW3[is_absent_H] = np.where(is_line_HW, HATCH, ABSENT)[is_absent_H][..., None]
    # The first grid lines give way to the frame.
    return np.pad(pixels_HW3[1:, 1:], ((1, 1), (1, 1), (0, 0)), constant_values=FRAME)


def _write_counts(sheet: Sheet, counts_KK: np.ndarray, *, x_px: int, y_px: int, cell_px: int) -> None:
    is_dark_KK = counts_KK > DARK_SHARE * counts_KK.sum(axis=1, keepdims=True)
    for row, column in np.argwhere(counts_KK):
        count = str(counts_KK[row, column])
        sizes_px = range(min(13, cell_px // 2 + 1), SMALLEST_PX, -1)
        sheet.write(
            count,
            x_px + (column + 0.5) * cell_px,
            y_px + (row + 0.5) * cell_px,
            at="middle",
            size_px=next((size for size in sizes_px if width_px(count, size) < cell_px - 1), SMALLEST_PX),
            color="white" if is_dark_KK[row, column] else "black",
        )
