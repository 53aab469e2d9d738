"""Things in front of the number (an arm, the ball, another player), kept so small that the number stays decidable."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from jersey.synth import colors

# Of each single digit: hiding more could turn an 8 into a 6, or a 12 into a 1.
MAX_HIDDEN = 0.10


def occlude(picture: Image.Image, digits: Sequence[Image.Image], rng: np.random.Generator) -> bool:
    """Paints something over the picture (RGB), in place, unless it would hide too much of a digit; says whether it did.

    Args:
        picture: the picture.
        digits: masks ("L") of the digits in the picture.
        rng: chooses what and where.
    """
    shape = Image.new("L", picture.size)
    layer = Image.new("RGB", picture.size)
    paint = (_arm, _ball, _rival)[rng.choice(3, p=(0.45, 0.2, 0.35))]
    paint(ImageDraw.Draw(shape), ImageDraw.Draw(layer), picture.width, rng)
    hidden_HW = np.asarray(shape) > 0
    for digit in digits:
        digit_HW = np.asarray(digit) > 127
        if np.count_nonzero(digit_HW & hidden_HW) > MAX_HIDDEN * np.count_nonzero(digit_HW):
            return False
    picture.paste(layer, (0, 0), shape)
    return True


def _arm(shape: ImageDraw.ImageDraw, layer: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    start, end = rng.uniform(-0.2, 1.2, (2, 2)) * side_px
    start[rng.integers(2)] = rng.choice((-0.1, 1.1)) * side_px
    width_px = int(side_px * rng.uniform(0.06, 0.14))
    skin = colors.pick(colors.SKIN, rng)
    dark = (skin[0] * 3 // 4, skin[1] * 3 // 4, skin[2] * 3 // 4)
    line, box = [tuple(start), tuple(end)], (*(end - width_px / 2), *(end + width_px / 2))
    for draw, color in ((shape, 255), (layer, dark)):
        draw.line(line, fill=color, width=width_px)
        draw.ellipse(box, fill=color)
    layer.line(line, fill=skin, width=width_px * 2 // 3)


def _ball(shape: ImageDraw.ImageDraw, layer: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    x, y = rng.uniform(-0.1, 1.1, 2) * side_px
    radius_px = side_px * rng.uniform(0.1, 0.2)
    box = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
    shape.ellipse(box, fill=255)
    layer.ellipse(box, fill=colors.pick(((196, 98, 44), (170, 80, 40)), rng))
    seam_px = max(1, round(radius_px * 0.07))
    layer.line((x - radius_px, y, x + radius_px, y), fill=(40, 25, 20), width=seam_px)
    for shift_px in (-1.3 * radius_px, 1.3 * radius_px):
        layer.ellipse((box[0] + shift_px, box[1], box[2] + shift_px, box[3]), outline=(40, 25, 20), width=seam_px)


def _rival(shape: ImageDraw.ImageDraw, layer: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    depth, top = rng.uniform(0.05, 0.3), rng.uniform(-0.3, 0.6)
    outline = np.array([(0, top), (depth * 0.6, top + 0.03), (depth, top + 0.2), (depth * 0.9, 1.1), (0, 1.1)])
    if rng.random() < 0.5:
        outline[:, 0] = 1 - outline[:, 0]
    points = [tuple(point) for point in outline * side_px]
    shape.polygon(points, fill=255)
    layer.polygon(points, fill=colors.pick(colors.CLOTH, rng))
