"""What the style "varied" paints around a number: the background, a garment, another player, words and logos.

Coordinates are in body units, as in `player.py`: the origin is the center of the number, and 1 is the width of the
shoulders.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from jersey.synth import colors, fabric
from jersey.synth.colors import Kit
from jersey.synth.lettering import NumberPrint, print_name
from jersey.synth.player import Easel, Point, paint_arms, paint_hall, paint_head, paint_jersey
from jersey.synth.prints import random_print, stamp
from jersey.synth.typefaces import FontTypeface, Typeface

Garment = Literal["back", "front", "shorts", "cloth"]
GARMENTS: tuple[Garment, ...] = get_args(Garment)
# Words are rendered at this height and then resized, so that one size of a font is loaded.
_NAME_PX = 24


def paint_background(size_px: int, rng: np.random.Generator) -> Image.Image:
    """Paints a hall, or cloth of any color, as of a crowd or a wall near by; returns a square RGB painting."""
    if rng.random() < 0.7:
        return paint_hall(size_px, rng)
    background = fabric.random_cloth(size_px, size_px * rng.uniform(0.2, 1), fabric.random_kit(rng), rng)
    return background.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.02) * size_px))


def paint_garment(
    scene: Image.Image, easel: Easel, garment: Garment, kit: Kit, rng: np.random.Generator
) -> Image.Image:
    """Paints a garment with its player.

    Args:
        scene: RGB painting of the background.
        easel: scale of the painting.
        garment: what is painted; "cloth" fills the painting.
        kit: colors of the garment.
        rng: source of randomness.

    Returns:
        The mask ("L") of the garment.
    """
    cloth_layer = fabric.random_cloth(easel.size_px, easel.scale_px, kit, rng)
    draw, skin = ImageDraw.Draw(scene), colors.pick(colors.SKIN, rng, jitter=20)
    if garment == "cloth":
        scene.paste(cloth_layer, (0, 0))
        return Image.new("L", scene.size, 255)
    if garment == "shorts":
        return _paint_shorts(scene, easel, kit, cloth_layer, rng)
    shorts = colors.shade(kit.cloth, rng.uniform(0.6, 1.1)) if rng.random() < 0.6 else fabric.random_color(rng)
    draw.polygon(easel.px([(-0.42, 0.7), (0.42, 0.7), (0.55, 1.8), (-0.55, 1.8)]), fill=shorts)
    paint_head(draw, easel, skin, rng)
    paint_arms(draw, easel, skin, kit, rng)
    return paint_jersey(scene, easel, kit, rng, cloth_layer)


def _paint_shorts(
    scene: Image.Image, easel: Easel, kit: Kit, cloth_layer: Image.Image, rng: np.random.Generator
) -> Image.Image:
    """Paints one leg of shorts around the number, the other leg beside it, and the knees."""
    side = rng.choice((-1, 1))
    hem, waist = rng.uniform(0.12, 0.3), rng.uniform(-0.9, -0.3)
    inner, outer, flare = rng.uniform(0.16, 0.22), rng.uniform(0.18, 0.26), rng.uniform(0, 0.08)
    leg: list[Point] = [
        (-outer, waist), (inner, waist), (inner + 0.02, hem), (-outer - flare, hem + rng.uniform(-0.05, 0.02)),
    ]  # fmt: skip
    other = [(2 * inner + 0.02 - x, y) for x, y in leg]
    cloth, draw = Image.new("L", scene.size), ImageDraw.Draw(scene)
    for points in (leg, other):
        knee = sum(x for x, _ in points) / len(points)
        limb: list[Point] = [(knee + x, y) for x, y in ((-0.12, hem - 0.1), (0.12, hem - 0.1), (0.1, 1.2), (-0.1, 1.2))]
        draw.polygon(easel.px([(side * x, y) for x, y in limb]), fill=colors.pick(colors.SKIN, rng))
        ImageDraw.Draw(cloth).polygon(easel.px([(side * x, y) for x, y in points]), fill=255)
    stripe = [(side * x, y) for x, y in (leg[0], leg[3])]
    if rng.random() < 0.6:
        line = ImageDraw.Draw(cloth_layer)
        line.line(easel.px(stripe), fill=kit.trim, width=easel.wide(rng.uniform(0.03, 0.1)))
    scene.paste(cloth_layer, (0, 0), cloth)
    draw.line(easel.px([(side * leg[1][0], waist), (side * leg[2][0], hem)]), fill=colors.shade(kit.cloth, 0.6))
    return cloth


def paint_neighbor(scene: Image.Image, easel: Easel, typefaces: Sequence[Typeface], rng: np.random.Generator) -> None:
    """Paints another player beside or behind this one, sometimes with a number, which is not in the middle."""
    kit, size = fabric.random_kit(rng), rng.uniform(0.7, 1.1)
    x, y = rng.choice((-1, 1)) * rng.uniform(0.75, 1.2), rng.uniform(-0.4, 0.4)
    torso = [(-0.45, -0.5), (-0.15, -0.62), (0.15, -0.62), (0.45, -0.5), (0.45, 1.0), (-0.45, 1.0)]
    draw = ImageDraw.Draw(scene)
    draw.polygon(easel.px([(x + size * a, y + size * b) for a, b in torso]), fill=kit.cloth)
    head = [(x - 0.17 * size, y - 1.1 * size), (x + 0.17 * size, y - 0.62 * size)]
    draw.ellipse(easel.px(head), fill=colors.pick(colors.SKIN, rng))
    if rng.random() < 0.5:
        typeface, digits = typefaces[int(rng.integers(len(typefaces)))], str(rng.integers(100))
        height_px, max_width_px = easel.wide(0.4 * size), easel.wide(0.6 * size)
        printed = random_print(
            digits, typeface=typeface, height_px=height_px, max_width_px=max_width_px, outlines=0, rng=rng
        )
        mask = printed.layers[0]
        (left, top), *_ = easel.px([(x, y)])
        scene.paste(kit.fill, (round(left - mask.width / 2), round(top - mask.height / 2)), mask)


def paint_words(
    scene: Image.Image,
    easel: Easel,
    garment: Garment,
    kit: Kit,
    typefaces: Sequence[Typeface],
    number: NumberPrint,
    rng: np.random.Generator,
) -> None:
    """Paints a name, team or sponsor above and below the number, and logos beside them.

    Args:
        scene: RGB painting.
        easel: scale of the painting.
        garment: what is painted; shorts have no words.
        kit: colors of the garment.
        typefaces: typefaces to choose from; at least one must be a `FontTypeface`.
        number: number in the middle, which stays free.
        rng: source of randomness.
    """
    fonts = [typeface for typeface in typefaces if isinstance(typeface, FontTypeface)]
    half = number.layers[0].height / easel.scale_px / 2
    for side, p in ((-1, 0.6), (1, 0.25)):
        if garment == "shorts" or rng.random() >= p:
            continue
        height = rng.uniform(0.06, 0.17 if garment == "front" else 0.11)
        word = print_name(fonts[rng.integers(len(fonts))], height_px=_NAME_PX, max_width_px=10 * _NAME_PX, rng=rng)
        scale = easel.wide(height) / _NAME_PX
        size_px = (max(2, min(round(word.width * scale), easel.wide(0.7))), max(2, round(word.height * scale)))
        y = side * (half + rng.uniform(0.02, 0.08) + size_px[1] / easel.scale_px / 2)
        color = kit.fill if rng.random() < 0.6 else fabric.random_color(rng)
        stamp(scene, word.resize(size_px, Image.Resampling.BILINEAR), color, (0.0, y * easel.scale_px))
    for _ in range(rng.choice(3, p=(0.7, 0.2, 0.1))):
        x, y = rng.choice((-1, 1)) * rng.uniform(0.1, 0.36), rng.choice((-1, 1)) * (half + rng.uniform(0.06, 0.15))
        radius = rng.uniform(0.015, 0.05)
        shape = ImageDraw.Draw(scene).ellipse if rng.random() < 0.5 else ImageDraw.Draw(scene).rectangle
        shape(easel.px([(x - radius, y - radius * rng.uniform(0.3, 1)), (x + radius, y + radius)]), fill=kit.trim)
