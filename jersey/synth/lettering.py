"""Masks of the print on the flat cloth: the number (fill, outlines, one mask per digit) and the name above it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from jersey.synth.typefaces import MARGIN_PX, FontTypeface, Typeface


@dataclass(frozen=True)
class NumberPrint:
    """Masks ("L", all of one size) of a printed number.

    Attributes:
        layers: from the outermost outline to the fill, in the order of painting.
        digits: the fill of each digit alone, left to right.
    """

    layers: tuple[Image.Image, ...]
    digits: tuple[Image.Image, ...]

    def left_out(self) -> "NumberPrint":
        """Returns empty layers; the digits still mark where the number would be."""
        return NumberPrint(tuple(Image.new("L", layer.size) for layer in self.layers), self.digits)

    def changed(self, change: Callable[[Image.Image], Image.Image]) -> "NumberPrint":
        """Returns the print with every mask replaced by `change(mask)`."""
        return NumberPrint(tuple(map(change, self.layers)), tuple(map(change, self.digits)))

    def turned_away(self, *, width_px: int, seen_px: int, left: bool) -> "NumberPrint":
        """Returns the view from the side: a strip of width `seen_px` at one end of a body of width `width_px`."""

        def turn(mask: Image.Image) -> Image.Image:
            turned = Image.new("L", (width_px, mask.height))
            strip = mask.resize((seen_px, mask.height), Image.Resampling.BOX)
            turned.paste(strip, (0 if left else width_px - seen_px, 0))
            return turned

        return self.changed(turn)


def print_number(
    number: str,
    *,
    typeface: Typeface,
    height_px: int,
    max_width_px: int,
    outlines_px: Sequence[float],
    rng: np.random.Generator,
) -> NumberPrint:
    """Sets the digits side by side with random spacing and width; numbers that are too wide are condensed.

    `height_px` is the height of the digits without outlines, `outlines_px` the thickness of each, innermost first.
    """
    strokes_px = [0.0, *np.cumsum(outlines_px)]
    layers = [[typeface.glyph(digit, height_px=height_px, stroke_px=px) for digit in number] for px in strokes_px[::-1]]
    gap_px = height_px * rng.uniform(0.03, 0.1) + strokes_px[-1]
    stretch = rng.uniform(0.8, 1.12) if len(number) > 1 else rng.uniform(0.9, 1.25)
    sheet_px, centers_px = _spread(layers, gap_px)
    size_px = (min(max_width_px, round(sheet_px[0] * stretch)), sheet_px[1])

    def sheet(glyphs: Sequence[Image.Image], chosen: Sequence[int]) -> Image.Image:
        mask = Image.new("L", sheet_px)
        for index in chosen:
            glyph = glyphs[index]
            mask.paste(255, (centers_px[index] - glyph.width // 2, (sheet_px[1] - glyph.height) // 2), glyph)
        return mask.resize(size_px, Image.Resampling.BILINEAR)

    everywhere = range(len(number))
    digits = tuple(sheet(layers[-1], [index]) for index in everywhere)
    return NumberPrint(layers=tuple(sheet(glyphs, everywhere) for glyphs in layers), digits=digits)


def _spread(layers: Sequence[Sequence[Image.Image]], gap_px: float) -> tuple[tuple[int, int], list[int]]:
    """Returns the size of a sheet for all layers, and digit centers that put `gap_px` between the ink of the fills."""
    outer, fills = layers[0], layers[-1]
    border_px = max(outline.width - fill.width for outline, fill in zip(outer, fills, strict=True)) // 2 + 1
    left_px, centers_px = float(border_px), []
    for fill in fills:
        centers_px.append(round(left_px) + fill.width // 2)
        left_px += fill.width - 2 * MARGIN_PX + gap_px
    width_px = round(left_px - gap_px) + 2 * MARGIN_PX + border_px
    return (width_px, max(glyph.height for glyph in outer)), centers_px


_SYLLABLES = (
    "AN", "BAR", "BEN", "CAR", "DAV", "DEN", "ED", "EL", "FOR", "GAR", "GRE", "HAR", "HILL", "JACK", "JO", "KEN",
    "KING", "LEE", "MAR", "MC", "MIL", "MOR", "NEL", "PAR", "PER", "RUS", "SAN", "SMI", "SON", "TAY", "THO", "TON",
    "VA", "WAL", "WES", "WIL", "WOOD", "YOUNG",
)  # fmt: skip


def print_name(typeface: FontTypeface, *, height_px: int, max_width_px: int, rng: np.random.Generator) -> Image.Image:
    """Returns the mask ("L") of an invented name, sometimes arched; names that are too long are condensed.

    The mask is empty if the typeface contains digits alone.
    """
    name = "".join(_SYLLABLES[index] for index in rng.integers(len(_SYLLABLES), size=rng.integers(1, 4)))
    font = typeface.font(round(height_px * 1.35))
    left, top, right, bottom = font.getbbox(name)
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), name, fill=255, font=font, stroke_width=typeface.bolder * height_px / 2)
    if mask.width > max_width_px:
        mask = mask.resize((max_width_px, mask.height), Image.Resampling.BILINEAR)
    return _arch(mask, height_px * rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else mask


def _arch(mask: Image.Image, rise_px: float) -> Image.Image:
    """Raises the middle of the line of letters by `rise_px`."""
    width_px, height_px = mask.width, mask.height + round(rise_px)
    strips = []
    for x0, x1 in pairwise(np.unique(np.linspace(0, width_px, 9).round().astype(int)).tolist()):
        y0, y1 = (rise_px * (2 * x / width_px - 1) ** 2 for x in (x0, x1))
        strips.append(((x0, 0, x1, height_px), (x0, -y0, x0, height_px - y0, x1, height_px - y1, x1, -y1)))
    return mask.transform((width_px, height_px), Image.Transform.MESH, strips, Image.Resampling.BILINEAR)
