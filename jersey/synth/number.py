"""The number as printed on a flat cloth: fill, outlines, and one mask per digit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jersey.synth.block import MARGIN_PX
from jersey.synth.typefaces import Typeface


@dataclass(frozen=True)
class NumberPrint:
    """Masks ("L", all of one size) of a printed number.

    Args:
        layers: from the outermost outline to the fill, in the order of painting.
        digits: the fill of each digit alone, left to right.
    """

    layers: tuple[Image.Image, ...]
    digits: tuple[Image.Image, ...]


def print_number(
    number: str, *, typeface: Typeface, height_px: int, outlines_px: Sequence[float], rng: np.random.Generator
) -> NumberPrint:
    """Sets the digits side by side at a random distance and width.

    Args:
        number: digits.
        typeface: the face.
        height_px: height of the digits without outlines.
        outlines_px: thickness of each outline, innermost first.
        rng: chooses the spacing and how condensed the digits are.
    """
    strokes_px = [0.0, *np.cumsum(outlines_px)]
    gap_px = height_px * rng.uniform(0.03, 0.1) + strokes_px[-1]
    stretch = rng.uniform(0.8, 1.12) if len(number) > 1 else rng.uniform(0.9, 1.25)
    layers = [
        [typeface.glyph(character, height_px=height_px, stroke_px=stroke_px) for character in number]
        for stroke_px in reversed(strokes_px)
    ]
    outer, fills = layers[0], layers[-1]
    # Ink of neighbouring fills stays `gap_px` apart; centres fit every layer, since a stroke grows evenly.
    margin_px = max(outline.width - fill.width for outline, fill in zip(outer, fills, strict=True)) // 2 + 1
    lefts_px = np.round(np.cumsum([margin_px, *(fill.width - 2 * MARGIN_PX + gap_px for fill in fills)])).astype(int)
    size_px = (int(lefts_px[-1] - gap_px) + 2 * MARGIN_PX + margin_px, max(glyph.height for glyph in outer))

    def sheet(glyphs: Sequence[Image.Image], wanted: Sequence[int]) -> Image.Image:
        mask = Image.new("L", size_px)
        for index in wanted:
            glyph = glyphs[index]
            left_px = int(lefts_px[index]) - (glyph.width - fills[index].width) // 2
            mask.paste(255, (left_px, (size_px[1] - glyph.height) // 2), glyph)
        return mask.resize((round(size_px[0] * stretch), size_px[1]), Image.Resampling.BILINEAR)

    everywhere = range(len(number))
    return NumberPrint(
        layers=tuple(sheet(layer, everywhere) for layer in layers),
        digits=tuple(sheet(fills, [index]) for index in everywhere),
    )
