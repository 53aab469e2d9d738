"""Numbers of the style "varied": stretched, slanted, shadowed, shaded or hollow prints, stamped on a painting."""

import numpy as np
from PIL import Image, ImageFilter

from jersey.synth import colors, fabric
from jersey.synth.colors import Color, Kit
from jersey.synth.lettering import NumberPrint, print_number
from jersey.synth.player import Point
from jersey.synth.typefaces import Typeface

# Glyphs are rendered at one of these heights and then resized, so that few sizes of a font are loaded.
_PRINT_PX = (32, 48, 72, 108)


def random_print(
    number: str, *, typeface: Typeface, height_px: int, max_width_px: int, outlines: int, rng: np.random.Generator
) -> NumberPrint:
    """Returns the masks of a number, stretched and sometimes slanted at random.

    Args:
        number: one or two digits as printed.
        typeface: typeface of the digits.
        height_px: height of the digits without outlines.
        max_width_px: maximum width of the masks, to which wider numbers are condensed; a slant adds to it.
        outlines: number of outlines, of random thickness.
        rng: source of randomness.
    """
    print_px = next((px for px in _PRINT_PX if px >= height_px), _PRINT_PX[-1])
    printed = print_number(
        number,
        typeface=typeface,
        height_px=print_px,
        max_width_px=8 * print_px,
        outlines_px=[print_px * rng.uniform(0.02, 0.09) for _ in range(outlines)],
        rng=rng,
    )
    scale = height_px / print_px
    width, height = printed.layers[0].size
    wide_px = max(2, min(max_width_px, round(width * scale * np.exp(rng.uniform(-0.25, 0.2)))))
    high_px = max(2, round(height * scale))
    slant = rng.normal(0, 0.18) if rng.random() < 0.2 else 0.0
    reach_px = round(abs(slant) * high_px)

    def change(mask: Image.Image) -> Image.Image:
        mask = mask.resize((wide_px, high_px), Image.Resampling.BILINEAR)
        if not reach_px:
            return mask
        shear = (1, slant, -slant * high_px / 2 - reach_px / 2, 0, 1, 0)
        size_px = (wide_px + reach_px, high_px)
        return mask.transform(size_px, Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR)

    return printed.changed(change)


def paint_number(scene: Image.Image, number: NumberPrint, kit: Kit, rng: np.random.Generator) -> None:
    """Paints the number with its outlines, sometimes with a shadow, a gradient, an inner line, or a hollow fill."""
    high_px, outer, fill = number.layers[0].height, number.layers[0], number.layers[-1]
    if rng.random() < 0.15:
        dx_px, dy_px = (rng.uniform(-0.08, 0.08, 2) * high_px).tolist()
        stamp(scene, outer, colors.shade(kit.cloth, rng.uniform(0.3, 0.7)), (dx_px, dy_px))
    for mask, color in zip(number.layers, (*reversed(kit.outlines), kit.fill), strict=True):
        stamp(scene, mask, color)
    effect = rng.random()
    if effect < 0.08:
        lower = fabric.distinct_color(kit.cloth, rng)
        ramp = Image.linear_gradient("L").resize(fill.size)
        stamp(scene, Image.composite(ramp, Image.new("L", fill.size), fill), lower)
    elif effect < 0.13:
        inner = fill.filter(ImageFilter.MinFilter(2 * max(1, round(high_px * 0.03)) + 1))
        stamp(scene, inner, kit.trim)
    elif effect < 0.17 and kit.outlines:
        stamp(scene, fill, kit.cloth)


def stamp(scene: Image.Image, mask: Image.Image, color: Color, shift_px: Point = (0.0, 0.0)) -> None:
    """Paints a mask in a color around the center of a square scene, or shifted from there."""
    scene.paste(color, _corner(mask, scene.width, shift_px), mask)


def sheet(mask: Image.Image, size_px: int) -> Image.Image:
    """Returns a mask in the middle of an empty square mask with the side `size_px`."""
    empty = Image.new("L", (size_px, size_px))
    empty.paste(mask, _corner(mask, size_px))
    return empty


def _corner(mask: Image.Image, size_px: int, shift_px: Point = (0.0, 0.0)) -> tuple[int, int]:
    return round((size_px - mask.width) / 2 + shift_px[0]), round((size_px - mask.height) / 2 + shift_px[1])
