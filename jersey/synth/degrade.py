"""What light, lens, motion, distance, sensor and compression do to a picture, bounded by the size of its digits."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.floating]
# Blurs a picture, given the height of its digits in pixels.
Blur = Callable[[Image.Image, float, np.random.Generator], Image.Image]

# Below this height a digit on a jersey cannot be told from its neighbours any more.
_MIN_DIGIT_PX = 13.0


def degrade(
    picture: Image.Image, *, digit_height_px: float, rng: np.random.Generator, blur: Blur | None = None
) -> Image.Image:
    """Degrades an RGB picture; the result has the same size.

    Args:
        picture: the picture.
        digit_height_px: height of the digits in it; blur and loss of resolution never go beyond what they bear.
        rng: chooses kinds and amounts.
        blur: in the place of the blur and the loss of resolution that digits bear.
    """
    picture = (blur or _bearable_blur)(_light(picture, rng), digit_height_px, rng)
    if rng.random() < 0.7:
        picture = _noise(picture, rng)
    return _compress(picture, rng) if rng.random() < 0.7 else picture


def _bearable_blur(picture: Image.Image, digit_height_px: float, rng: np.random.Generator) -> Image.Image:
    blurs = (_defocus, _move, _lose_resolution)
    count = int(rng.choice(3, p=(0.3, 0.5, 0.2)))
    for index in rng.permutation(3)[:count]:
        picture = blurs[index](picture, digit_height_px, (1.0, 0.6)[count - 1], rng)
    return picture


def _light(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Exposure, contrast, colour cast, and a gradient across the picture."""
    image_HW3 = np.asarray(picture, dtype=np.float32) / 255
    gain = np.exp(rng.normal(-0.08, 0.16)).clip(0.65, 1.2) * (1 + rng.normal(0, 0.05, 3).clip(-0.1, 0.1))
    gradient = np.linspace(-1, 1, picture.width) * rng.uniform(-0.2, 0.2)
    rise = np.linspace(-1, 1, picture.height)[:, None] * rng.uniform(-0.2, 0.2)
    lit_HW3 = image_HW3 * gain.astype(np.float32) * (1 + gradient + rise).astype(np.float32)[:, :, None]
    contrast, grey = rng.uniform(0.75, 1.15), rng.uniform(0.3, 0.6)
    return _to_image((lit_HW3 - grey) * contrast + grey)


def _defocus(picture: Image.Image, digit_height_px: float, most: float, rng: np.random.Generator) -> Image.Image:
    return defocus(picture, digit_height_px * rng.uniform(0.01, 0.05 * most))


def _move(picture: Image.Image, digit_height_px: float, most: float, rng: np.random.Generator) -> Image.Image:
    return move(picture, digit_height_px * rng.uniform(0.04, 0.16 * most), rng.uniform(0, np.pi))


def _lose_resolution(
    picture: Image.Image, digit_height_px: float, most: float, rng: np.random.Generator
) -> Image.Image:
    least = max(0.3, _MIN_DIGIT_PX / digit_height_px / most)
    return lose_resolution(picture, rng.uniform(min(1.0, least), 1.0), rng)


def defocus(picture: Image.Image, radius_px: float) -> Image.Image:
    """Blurs evenly in all directions."""
    return picture.filter(ImageFilter.GaussianBlur(radius_px))


def move(picture: Image.Image, reach_px: float, angle: float) -> Image.Image:
    """Averages copies of the picture along a straight movement."""
    border_px = int(reach_px) + 1
    padding = ((border_px, border_px), (border_px, border_px), (0, 0))
    wide = Image.fromarray(np.pad(np.asarray(picture), padding, mode="edge"))
    steps_px = np.linspace(-0.5, 0.5, max(2, round(reach_px) + 1)) * reach_px
    total_HW3 = np.zeros((picture.height, picture.width, 3), np.float32)
    for step_px in steps_px:
        shift = (1, 0, border_px + step_px * np.cos(angle), 0, 1, border_px + step_px * np.sin(angle))
        moved = wide.transform(picture.size, Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
        total_HW3 += np.asarray(moved, dtype=np.float32)
    return _to_image(total_HW3 / (255 * len(steps_px)))


def lose_resolution(picture: Image.Image, factor: float, rng: np.random.Generator) -> Image.Image:
    """As if the player had been far away: shrinks the picture by a factor below 1 and enlarges it again."""
    small = (max(2, round(picture.width * factor)), max(2, round(picture.height * factor)))
    enlarge = rng.choice(
        (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST), p=(0.5, 0.4, 0.1)
    )
    return picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling(enlarge))


def _noise(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    strength = rng.uniform(0.005, 0.05)
    shape = (picture.height, picture.width)
    grey_HW1 = rng.standard_normal((*shape, 1), dtype=np.float32)
    color_HW3 = rng.standard_normal((*shape, 3), dtype=np.float32)
    return _to_image(np.asarray(picture, dtype=np.float32) / 255 + strength * (grey_HW1 + 0.5 * color_HW3))


def _compress(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(rng.integers(28, 90)))
    with Image.open(file) as compressed:
        return compressed.convert("RGB")


def _to_image(image_HW3: Floats) -> Image.Image:
    return Image.fromarray((image_HW3 * 255 + 0.5).clip(0, 255).astype(np.uint8))
