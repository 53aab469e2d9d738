"""What happened to the digits of misread numbers: a bar a type of error, and which digit was read as which.

Shapes: D = 10 digits; counts_DD[true, read] are numbers of crops.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from jersey.evaluation.digit_errors import Confusion, ErrorType, examples, total
from jersey.plots.share_matrix import GAP_PX, LINE_PX, draw_matrix
from jersey.plots.sheet import Sheet, width_px

ROW_PX, BAR_PX, BAR_COLOR = 24, 240, "#20557a"
CELL_PX, PANEL_GAP_PX = 28, 70
DIGITS = tuple("0123456789")


def digit_errors(
    errors: Mapping[ErrorType, Sequence[Confusion]], places: Mapping[str, np.ndarray], *, crops: int, title: str
) -> Image.Image:
    """Draws how many crops each type of error has, with examples, above a table of the digits for each place.

    Args:
        errors: as `jersey.evaluation.digit_errors.errors_by_type` gives them.
        places: counts_DD by name of the place, as `jersey.evaluation.digit_errors.digit_confusions` gives them.
        crops: of the split, right ones too.
        title: what was evaluated; the number of errors is added.

    Returns:
        An RGB image, about 1,000 pixels wide.
    """
    sheet = Sheet()
    panels_px = len(places) * (CELL_PX * len(DIGITS) + PANEL_GAP_PX) - PANEL_GAP_PX
    wrong = sum(map(total, errors.values()))
    score = f"{wrong:,} of {crops:,} crops read wrong ({wrong / max(crops, 1):.1%})"
    sheet.write(title, panels_px / 2, -64, at="middle", size_px=15, is_bold=True)
    sheet.write(score, panels_px / 2, -42, at="middle", size_px=15)
    _draw_bars(sheet, errors, crops=crops)
    _draw_places(sheet, places, y_px=len(errors) * ROW_PX + 60)
    return sheet.rendered()


def _draw_bars(sheet: Sheet, errors: Mapping[ErrorType, Sequence[Confusion]], *, crops: int) -> None:
    most = max(1, *map(total, errors.values()))
    bars_px = max(map(width_px, errors)) + GAP_PX
    counts_px = bars_px + BAR_PX + 2 * GAP_PX
    examples_px = counts_px + width_px("1,000,000 (100.0%)") + GAP_PX
    sheet.write("the most frequent", examples_px, -LINE_PX / 2, at="left", size_px=12)
    sheet.write("crops (share of all)", counts_px, -LINE_PX / 2, at="left", size_px=12)
    for row, (kind, confusions) in enumerate(errors.items()):
        middle_px = (row + 0.5) * ROW_PX
        count = total(confusions)
        sheet.write(kind, bars_px - GAP_PX, middle_px, at="right")
        if count:
            width = max(1, round(BAR_PX * count / most))
            sheet.fill(BAR_COLOR, bars_px, row * ROW_PX + 3, width, ROW_PX - 6)
        sheet.write(f"{count:,} ({count / crops:.1%})" if count else "0", counts_px, middle_px, at="left")
        sheet.write(examples(confusions), examples_px, middle_px, at="left", size_px=12)
    sheet.fill("black", bars_px - 1, 0, 1, len(errors) * ROW_PX)


def _draw_places(sheet: Sheet, places: Mapping[str, np.ndarray], *, y_px: int) -> None:
    side_px = CELL_PX * len(DIGITS)
    legend = "colour: share of the true digit; in the cells: crops; hatched: no crops; only equally long readings"
    sheet.write(legend, 0, y_px + side_px + 64, at="left", size_px=12)
    for index, (place, counts_DD) in enumerate(places.items()):
        x_px = index * (side_px + PANEL_GAP_PX)
        wrong = int(counts_DD.sum() - np.trace(counts_DD))
        heading = f"{place}: {wrong:,} of {counts_DD.sum():,} wrong"
        sheet.write(heading, x_px + side_px / 2, y_px - GAP_PX, at="bottom")
        draw_matrix(sheet, counts_DD, DIGITS, x_px=x_px, y_px=y_px, cell_px=CELL_PX, row_title="true digit")
