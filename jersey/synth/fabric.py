"""Colors and cloth of the style "varied": any color, and plain, striped or printed cloth; the number stays legible.

Shape suffixes: H, W of a picture, or of a coarse grid that is enlarged to it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jersey.synth import colors
from jersey.synth.colors import Color, Kit

Floats = NDArray[np.floating]
Pattern = NDArray[np.floating] | NDArray[np.bool_]  # where the second color is, 0 to 1

# Differences between the number and its cloth, 0 to 255: enough luma alone, or less luma with another hue.
_MIN_LUMA, _MIN_LUMA_OF_OTHER_HUE, _MIN_DISTANCE = 60.0, 22.0, 130.0


def random_color(rng: np.random.Generator) -> Color:
    """Samples a color of jerseys or any other one."""
    if rng.random() < 0.6:
        return colors.pick(colors.CLOTH, rng, jitter=22)
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def is_distinct(first: Color, second: Color) -> bool:
    """Returns whether a number of one color is legible on the other."""
    difference = abs(colors.luma(first) - colors.luma(second))
    distance = float(np.linalg.norm(np.subtract(first, second)))
    return difference >= _MIN_LUMA or (difference >= _MIN_LUMA_OF_OTHER_HUE and distance >= _MIN_DISTANCE)


def distinct_color(other: Color, rng: np.random.Generator) -> Color:
    """Samples a color that is legible on another one."""
    while True:
        color = random_color(rng)
        if is_distinct(color, other):
            return color


def random_kit(rng: np.random.Generator) -> Kit:
    """Samples the colors of a jersey with up to three outlines; neighbors are distinct."""
    cloth = random_color(rng)
    fill = distinct_color(cloth, rng)
    outlines: tuple[Color, ...] = ()
    for _ in range(rng.choice(4, p=(0.4, 0.35, 0.2, 0.05))):
        outlines = (*outlines, distinct_color(outlines[-1] if outlines else fill, rng))
    return Kit(cloth, fill, outlines, trim=random_color(rng))


def random_cloth(size_px: int, scale_px: float, kit: Kit, rng: np.random.Generator) -> Image.Image:
    """Paints a square of cloth.

    Args:
        size_px: side of the square.
        scale_px: width of the shoulders, to which patterns are relative.
        kit: colors; the second color of a pattern is as distinct from the number as the cloth.
        rng: source of randomness.

    Returns:
        The RGB painting: one color in half of the cases, otherwise with one of `_PATTERNS`.
    """
    plain = Image.new("RGB", (size_px, size_px), kit.cloth)
    if rng.random() < 0.5:
        return plain
    second = _second_color(kit, rng)
    pattern_HW = _PATTERNS[rng.integers(len(_PATTERNS))](size_px, scale_px, rng)
    mask = Image.fromarray((pattern_HW * 255).astype(np.uint8))
    plain.paste(second, (0, 0), mask.resize(plain.size, Image.Resampling.BILINEAR))
    return plain


def _second_color(kit: Kit, rng: np.random.Generator) -> Color:
    """Samples a shade of the cloth, or its mixture with another color, that is not mistaken for the number."""
    for _ in range(8):
        color = colors.shade(kit.cloth, rng.uniform(0.6, 1.4)) if rng.random() < 0.5 else random_color(rng)
        amount = rng.uniform(0.4, 1.0)
        red, green, blue = (round(a + amount * (b - a)) for a, b in zip(kit.cloth, color, strict=True))
        if is_distinct((red, green, blue), kit.fill):
            return red, green, blue
    return kit.cloth


def _stripes(size_px: int, scale_px: float, rng: np.random.Generator) -> Pattern:
    return _wave(size_px, scale_px * rng.uniform(0.05, 0.5), rng) < rng.uniform(-0.6, 0.6)


def _checks(size_px: int, scale_px: float, rng: np.random.Generator) -> Pattern:
    period_px, angle = scale_px * rng.uniform(0.06, 0.3), rng.uniform(0, np.pi)
    return (_wave(size_px, period_px, rng, angle) > 0) ^ (_wave(size_px, period_px, rng, angle + np.pi / 2) > 0)


def _mesh(size_px: int, scale_px: float, rng: np.random.Generator) -> Pattern:
    """Returns the small holes of airy cloth."""
    period_px = max(3.0, scale_px * rng.uniform(0.02, 0.06))
    return _wave(size_px, period_px, rng, 0) + _wave(size_px, period_px, rng, np.pi / 2) > rng.uniform(0.5, 1.5)


def _gradient(size_px: int, scale_px: float, rng: np.random.Generator) -> Pattern:
    return (_along(size_px, rng.uniform(0, 2 * np.pi)) / (scale_px * rng.uniform(0.5, 1.5)) + 0.5).clip(0, 1)


def _blotches(size_px: int, scale_px: float, rng: np.random.Generator) -> Pattern:
    """Returns blotches as of camouflage, or a soft print if the cells are coarse."""
    cells = int(np.clip(size_px / scale_px * rng.uniform(4, 20), 2, 64))
    coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    noise_HW = np.asarray(coarse.resize((size_px, size_px), Image.Resampling.BICUBIC))
    return noise_HW > 0.5 if rng.random() < 0.6 else noise_HW.clip(0, 1)


def _halves(size_px: int, scale_px: float, rng: np.random.Generator) -> Pattern:
    angle = rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.15)
    return _along(size_px, angle) > scale_px * rng.uniform(-0.3, 0.3)


_PATTERNS: tuple[Callable[[int, float, np.random.Generator], Pattern], ...] = (
    _stripes, _stripes, _checks, _mesh, _gradient, _blotches, _halves,
)  # fmt: skip


def _along(size_px: int, angle: float) -> Floats:
    """Returns the distance of each pixel from the center along a direction."""
    axis = np.arange(size_px) - size_px / 2
    return axis * np.cos(angle) + axis[:, None] * np.sin(angle)


def _wave(size_px: int, period_px: float, rng: np.random.Generator, angle: float | None = None) -> Floats:
    """Returns a cosine of a period along a direction, mostly vertical or horizontal unless it is given."""
    if angle is None:
        angle = rng.choice((0.0, 0.0, np.pi / 2, rng.uniform(0, np.pi)))
    return np.cos(2 * np.pi * _along(size_px, angle) / period_px)
