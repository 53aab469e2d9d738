"""Occlusions of the number by an arm, the ball or another player, after which it is still legible.

It is not enough to limit the occluded ink: an arm over the gap of a 6 covers no ink, but the digit could then be an 8.
The limit is therefore on the visible pixels that distinguish a digit from each other digit of its typeface.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from jersey.synth import colors
from jersey.synth.typefaces import Typeface

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

_DIGITS = "0123456789"
_TEMPLATE_WIDTH_PX, _TEMPLATE_HEIGHT_PX = 20, 30
MIN_DISTINCTIVE_VISIBLE = 0.65
_ATTEMPTS = 6
_MAX_VISIBLE_INK = 0.08  # fraction of the ink of a hidden digit
_MAX_ARMS = 4  # in front of a number, before a player hides the rest


def occlude(
    picture: Image.Image, masks: Sequence[Image.Image], *, number: str, typeface: Typeface, rng: np.random.Generator
) -> None:
    """Occludes part of an RGB picture in place, unless several attempts hide too much.

    `masks` are the ink of each digit of the number in the picture ("L").
    """
    for _ in range(_ATTEMPTS):
        cover = _Cover(picture.size)
        (_arm, _ball, _player)[rng.choice(3, p=(0.45, 0.2, 0.35))](cover, rng)
        visible = [distinctive_visible(*each, cover.shape, typeface) for each in zip(number, masks, strict=True)]
        if min(visible) >= MIN_DISTINCTIVE_VISIBLE:
            picture.paste(cover.layer, (0, 0), cover.shape)
            return


def occlude_fully(picture: Image.Image, digits: Sequence[Image.Image], *, rng: np.random.Generator) -> None:
    """Occludes the picture in place with arms, a player or both, until hardly any ink of each digit is visible."""
    inks_DHW = np.stack([np.asarray(digit) > 127 for digit in digits])
    max_visible_D = _MAX_VISIBLE_INK * inks_DHW.sum(axis=(1, 2))
    arms = _MAX_ARMS if rng.random() < 0.5 else 0
    for paint in (*[_arm_in_front] * arms, _player_in_front):
        if (inks_DHW.sum(axis=(1, 2)) <= max_visible_D).all():
            return
        cover, (rows, columns) = _Cover(picture.size), np.nonzero(inks_DHW.any(axis=0))
        paint(cover, np.stack([columns, rows], 1), rng)
        picture.paste(cover.layer, (0, 0), cover.shape)
        inks_DHW &= np.asarray(cover.shape) < 128


class _Cover:
    """An occluder of a picture: its colors (`layer`) and its mask (`shape`)."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        self.side_px = size_px[0]
        self.shape, self.layer = Image.new("L", size_px), Image.new("RGB", size_px)
        self.of_shape, self.of_layer = ImageDraw.Draw(self.shape), ImageDraw.Draw(self.layer)

    def polygon(self, points_N2: Floats, color: colors.Color) -> None:
        points = [(x, y) for x, y in points_N2.tolist()]
        self.of_shape.polygon(points, fill=255)
        self.of_layer.polygon(points, fill=color)

    def circle(self, center: Floats, radius_px: float, color: colors.Color) -> None:
        box = (*(center - radius_px), *(center + radius_px))
        self.of_shape.ellipse(box, fill=255)
        self.of_layer.ellipse(box, fill=color)


def distinctive_visible(digit: str, mask: Image.Image, hidden: Image.Image, typeface: Typeface) -> float:
    """Returns the visible fraction, 0 to 1, of the pixels that distinguish a digit, for its most similar other digit.

    `mask` is the digit's ink in the picture, `hidden` the mask of the occluder (both "L").
    """
    box = mask.point(lambda value: 255 * (value > 127)).getbbox()
    if box is None:
        return 0.0
    size_px = (_TEMPLATE_WIDTH_PX, _TEMPLATE_HEIGHT_PX)
    visible_HW = np.asarray(hidden.resize(size_px, Image.Resampling.BOX, box)) < 128
    templates_DHW = templates(typeface)
    distinctive_DHW = templates_DHW ^ templates_DHW[_DIGITS.index(digit)]
    distinctive_DHW = np.delete(distinctive_DHW, _DIGITS.index(digit), axis=0)
    fractions_D = (distinctive_DHW & visible_HW).sum(axis=(1, 2)) / distinctive_DHW.sum(axis=(1, 2))
    return float(fractions_D.min())


@lru_cache(maxsize=1024)
def templates(typeface: Typeface) -> NDArray[np.bool_]:
    """Returns the ink of the ten digits, each stretched to the same box, bool [10,30,20]."""
    glyphs = [typeface.glyph(digit, height_px=2 * _TEMPLATE_HEIGHT_PX, stroke_px=0) for digit in _DIGITS]
    size_px = (_TEMPLATE_WIDTH_PX, _TEMPLATE_HEIGHT_PX)
    boxes = [glyph.resize(size_px, Image.Resampling.BOX, glyph.getbbox()) for glyph in glyphs]
    return np.stack([np.asarray(box) > 127 for box in boxes])


def _arm(cover: _Cover, rng: np.random.Generator) -> None:
    side_px = cover.side_px
    start, end = rng.uniform(-0.2, 1.2, 2) * side_px, rng.uniform(0.1, 0.9, 2) * side_px
    start[rng.integers(2)] = rng.choice((-0.1, 1.1)) * side_px
    _paint_arm(cover, start, end, side_px * rng.uniform(0.04, 0.09), rng)


def _arm_in_front(cover: _Cover, ink_N2: Ints, rng: np.random.Generator) -> None:
    """Adds a near arm over the middle of the visible ink."""
    side_px = cover.side_px
    start, middle = rng.uniform(-0.2, 1.2, 2) * side_px, ink_N2.mean(axis=0)
    start[rng.integers(2)] = rng.choice((-0.2, 1.2)) * side_px
    end = middle + rng.uniform(0.3, 0.6) * (middle - start)
    _paint_arm(cover, start, end, side_px * rng.uniform(0.16, 0.24), rng)


def _paint_arm(cover: _Cover, start: Floats, end: Floats, half_width_px: float, rng: np.random.Generator) -> None:
    along = (end - start) / np.hypot(*(end - start))
    across = np.array([-along[1], along[0]]) * half_width_px
    skin = colors.pick(colors.SKIN, rng)
    for factor, width in ((0.72, 1.0), (0.9, 0.75), (1.0, 0.45)):
        near, far, color = across * width, across * width * 0.65, colors.shade(skin, factor)
        cover.polygon(np.stack([start + near, start - near, end - far, end + far]), color)
        cover.circle(end, 1.15 * np.hypot(*far), color)


def _ball(cover: _Cover, rng: np.random.Generator) -> None:
    x, y = center = rng.uniform(-0.1, 1.1, 2) * cover.side_px
    radius_px = cover.side_px * rng.uniform(0.1, 0.2)
    cover.circle(center, radius_px, colors.pick(colors.BALL, rng))
    seam, seam_px = colors.BALL_SEAM, max(1, round(radius_px * 0.07))
    left, right = x - radius_px, x + radius_px
    cover.of_layer.line((left, y, right, y), fill=seam, width=seam_px)
    for shift_px in (-1.3 * radius_px, 1.3 * radius_px):
        box = (left + shift_px, y - radius_px, right + shift_px, y + radius_px)
        cover.of_layer.ellipse(box, outline=seam, width=seam_px)


def _player(cover: _Cover, rng: np.random.Generator) -> None:
    """Adds the shoulder and side of another player at the left or right edge."""
    depth, top = rng.uniform(0.05, 0.3), rng.uniform(-0.3, 0.6)
    outline_N2 = np.array([(0, top), (depth * 0.6, top + 0.03), (depth, top + 0.2), (depth * 0.9, 1.1), (0, 1.1)])
    if rng.random() < 0.5:
        outline_N2[:, 0] = 1 - outline_N2[:, 0]
    cover.polygon(outline_N2 * cover.side_px, colors.pick(colors.CLOTH, rng))


def _player_in_front(cover: _Cover, ink_N2: Ints, rng: np.random.Generator) -> None:
    """Adds another player in front of all visible ink: a shoulder with its arm, and the trim of a jersey."""
    side_px, from_left = cover.side_px, rng.random() < 0.5
    columns_N = ink_N2[:, 0] if from_left else side_px - 1 - ink_N2[:, 0]
    depth = (columns_N.max() / side_px + rng.uniform(0.02, 0.12)) / 0.9
    top = ink_N2[:, 1].min() / side_px - rng.uniform(0.2, 0.45)

    cloth, trim = colors.pick(colors.CLOTH, rng), colors.pick(colors.CLOTH, rng)
    trim_px = max(1, round(side_px * rng.uniform(0.02, 0.1)))
    edge_N2 = np.array([(depth * 0.6, top + 0.03), (depth, top + 0.2), (depth * 0.9, 1.1)])
    for factor, width in ((0.75, 1.0), (0.9, 0.93), (1.0, 0.8)):  # a body is darker toward its sides
        outline_N2 = np.array([(-0.1, top), *(edge_N2 * (width, 1)), (-0.1, 1.1)])
        if not from_left:
            outline_N2[:, 0] = 1 - outline_N2[:, 0]
        cover.polygon(outline_N2 * side_px, colors.shade(cloth, factor))
        if width == 1.0:
            cover.of_layer.line((outline_N2 * side_px)[1:4].flatten().tolist(), fill=trim, width=trim_px)
    if rng.random() < 0.7:
        _arm(cover, rng)
