"""The typefaces of drawn numbers: which exist, which split may use them, and how they draw one character.

Only files that ship with the dependencies are used (matplotlib's folder of TTF files, found without importing
matplotlib, and the face inside Pillow), plus the block faces of `block.py`. Whole font families are kept
apart: one seen in training never returns in validation or test, not even in another weight. Block faces share their
skeleton, so those kept for validation and test have serifs or arcs, which no block face of training has.
"""

import importlib.util
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

from jersey.core.errors import UserError
from jersey.synth.block import MARGIN_PX, BlockTypeface


class Typeface(Hashable, Protocol):
    """Draws single characters."""

    @property
    def name(self) -> str:
        """Unique name."""

    def glyph(self, character: str, *, height_px: int, stroke_px: float) -> Image.Image:
        """The character as an 8-bit mask ("L"), its ink `height_px` high.

        Args:
            character: one digit.
            height_px: height of the digits without the stroke.
            stroke_px: grows the ink on every side (for outlines); the margin grows with it, so the centre of the mask
                stays that of the ink.
        """


@dataclass(frozen=True)
class FontTypeface:
    """A typeface from a font file.

    Args:
        name: file name without ".ttf" in matplotlib's font folder; "Aileron" is the face inside Pillow.
        bolder: extra stroke as a fraction of the digits' height, for faces that are too light for a jersey.
    """

    name: str
    bolder: float = 0.0

    def font(self, size_px: int) -> ImageFont.FreeTypeFont:
        """The font at an em size."""
        return _font(self.name, size_px)

    def glyph(self, character: str, *, height_px: int, stroke_px: float) -> Image.Image:
        """See `Typeface`."""
        bolder_px = self.bolder * height_px
        font = self.font(round((height_px - bolder_px) / _digit_height_em(self.name)))
        left, top, right, bottom = font.getbbox(character, anchor="ls")
        margin_px = round(bolder_px / 2 + stroke_px) + MARGIN_PX
        width_px, ink_height_px = round(right - left), round(bottom - top)
        mask = Image.new("L", (width_px + 2 * margin_px, ink_height_px + 2 * margin_px))
        ImageDraw.Draw(mask).text(
            (margin_px - left, margin_px - top),
            character,
            fill=255,
            font=font,
            anchor="ls",
            stroke_width=bolder_px / 2 + stroke_px,
        )
        return mask


def _font_folder() -> Path:
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("drawing needs the fonts of matplotlib, which is not installed; run `uv sync`")
    return Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


@cache
def _font(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    if name == "Aileron":
        font = ImageFont.load_default(size_px)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font
    return ImageFont.truetype(_font_folder() / f"{name}.ttf", size_px)


@cache
def _digit_height_em(name: str) -> float:
    _, top, _, bottom = _font(name, 200).getbbox("0123456789", anchor="ls")
    return (bottom - top) / 200


TRAIN_FONTS = (
    FontTypeface("DejaVuSans-Bold"),
    FontTypeface("DejaVuSans-BoldOblique"),
    FontTypeface("DejaVuSans", bolder=0.06),
    FontTypeface("DejaVuSerif-Bold"),
    FontTypeface("DejaVuSerif-BoldItalic"),
    FontTypeface("DejaVuSerif", bolder=0.06),
    FontTypeface("cmb10", bolder=0.03),
    FontTypeface("cmr10", bolder=0.08),
    FontTypeface("cmss10", bolder=0.09),
)
TRAIN_BLOCKS = (
    BlockTypeface("block-varsity", stroke=0.17, width=0.64, corner=0.14),
    BlockTypeface("block-condensed", stroke=0.16, width=0.52, corner=0.10),
    BlockTypeface("block-wide", stroke=0.15, width=0.76, corner=0.18),
    BlockTypeface("block-square", stroke=0.15, width=0.62, corner=0.03),
)
UNSEEN_FONTS = (
    FontTypeface("STIXGeneralBol", bolder=0.03),
    FontTypeface("STIXGeneralBolIta", bolder=0.03),
    FontTypeface("STIXGeneral", bolder=0.08),
    FontTypeface("cmtt10", bolder=0.09),
    FontTypeface("Aileron", bolder=0.09),
)
UNSEEN_BLOCKS = (
    BlockTypeface("block-slab", stroke=0.15, width=0.63, corner=0.12, slab=0.06),
    BlockTypeface("block-round", stroke=0.16, width=0.64, corner=0.22, rounded=True),
)

TRAIN: tuple[Typeface, ...] = (*TRAIN_FONTS, *TRAIN_BLOCKS)
# Validation shares the typefaces of the test split, so that choosing the best epoch on it rewards reading unseen type.
UNSEEN: tuple[Typeface, ...] = (*UNSEEN_FONTS, *UNSEEN_BLOCKS)
