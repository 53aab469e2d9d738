"""The picture of drawn crops in the README: `python -m jersey.synth.contact_sheet docs/contact_sheet.jpg`.

The upper rows are train crops; the lower ones, below the gap, are test crops in typefaces that training never sees.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from jersey.synth.draw import draw_crop
from jersey.synth.typefaces import TRAIN, UNSEEN, Typeface

_COLUMNS, _TRAIN_ROWS, _TEST_ROWS = 10, 4, 2
_GAP_PX = 8


def contact_sheet(*, size_px: int = 96, seed: int = 0) -> Image.Image:
    """Draws the sheet, with other numbers in every place."""
    rng = np.random.default_rng(seed)
    numbers = ["0", "00", *(str(number) for number in range(1, 100))]
    numbers = [numbers[index] for index in rng.permutation(len(numbers))]
    train_count, test_count = _TRAIN_ROWS * _COLUMNS, _TEST_ROWS * _COLUMNS
    train = _grid(numbers[:train_count], TRAIN, size_px, rng)
    test = _grid(numbers[train_count : train_count + test_count], UNSEEN, size_px, rng)
    sheet = Image.new("RGB", (train.width, train.height + _GAP_PX + test.height), "white")
    sheet.paste(train, (0, 0))
    sheet.paste(test, (0, train.height + _GAP_PX))
    return sheet


def _grid(numbers: Sequence[str], typefaces: Sequence[Typeface], size_px: int, rng: np.random.Generator) -> Image.Image:
    grid = Image.new("RGB", (_COLUMNS * size_px, len(numbers) // _COLUMNS * size_px))
    for index, number in enumerate(numbers):
        crop = draw_crop(number, rng=rng, typefaces=typefaces, size_px=size_px)
        row, column = divmod(index, _COLUMNS)
        grid.paste(Image.fromarray(crop.image_HW3), (column * size_px, row * size_px))
    return grid


if __name__ == "__main__":
    contact_sheet().save(Path(sys.argv[1]), quality=88)
