"""The camera of the style "varied": views, light, blur, resolution, noise and compression over a wide range.

What changes is limited by the height of the digits, as in `camera.py`, so the number remains legible.
"""

import numpy as np
from PIL import Image, ImageFilter

from jersey.synth import camera
from jersey.synth.camera import Blur, View

# Digits of at least this height in the crop can be distinguished if the crop is not blurred in addition.
MIN_DIGIT_PX = 7.5
_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
_FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def random_view(*, picture_px: int, painting_px: int, rng: np.random.Generator) -> View:
    """Samples a view of the middle of the painting, from mild to oblique."""
    angle_deg = np.clip(rng.normal(0, 9), -30, 30)
    stretch = np.exp(rng.uniform(-0.25, 0.45, 2))
    squeeze_33 = np.array([(stretch[0], rng.normal(0, 0.14), 0), (rng.normal(0, 0.05), stretch[1], 0), (0, 0, 1)])
    tilt_2 = rng.normal(0, 0.2, 2).clip(-0.4, 0.4)
    return View.of_middle(angle_deg, squeeze_33, tilt_2, picture_px=picture_px, painting_px=painting_px)


def degrade(
    picture: Image.Image,
    size_px: tuple[int, int],
    *,
    digit_height_px: float,
    rng: np.random.Generator,
    blur: Blur | None,
) -> Image.Image:
    """Degrades an RGB picture and resizes it to the crop.

    Args:
        picture: the sharp picture.
        size_px: width and height of the crop.
        digit_height_px: height of the digits in the picture.
        rng: source of randomness.
        blur: replaces the blur that keeps the number legible.

    Returns:
        The RGB crop with the size `size_px`.
    """
    scale = size_px[1] / picture.height
    # Small digits bear less blur: all of it from a height of 26 pixels on, none at the minimum.
    room = float(np.clip((digit_height_px * scale - MIN_DIGIT_PX) / 20, 0.0, 1.0))
    picture = _relight(picture, rng)
    picture = blur(picture, digit_height_px, rng) if blur else _blur(picture, digit_height_px, room, rng)
    crop = picture.resize(size_px, _FILTERS[rng.integers(len(_FILTERS))])
    if rng.random() < 0.6:
        crop = camera.noise(crop, rng.uniform(0.0, 0.03 + 0.04 * room), rng)
    if rng.random() < 0.2:
        crop = crop.filter(ImageFilter.UnsharpMask(rng.uniform(0.5, 2), int(rng.integers(50, 250)), 0))
    return _compress(crop, room, rng) if rng.random() < 0.75 else crop


def _relight(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Changes exposure, gamma, contrast, white balance and saturation; adds a gradient and sometimes a highlight."""
    image_HW3 = np.asarray(picture, dtype=np.float32) / 255
    height, width = image_HW3.shape[:2]
    x_W = np.linspace(-1, 1, width, dtype=np.float32)
    y_H = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light_HW = 1 + x_W * rng.uniform(-0.35, 0.35) + y_H * rng.uniform(-0.35, 0.35)
    if rng.random() < 0.15:  # a spotlight or the edge of a shadow
        across_HW = np.cos(angle := rng.uniform(0, 2 * np.pi)) * x_W + np.sin(angle) * y_H + rng.uniform(-0.6, 0.6)
        light_HW = light_HW * (1 + rng.uniform(-0.5, 0.4) / (1 + np.exp(-across_HW * rng.uniform(3, 30))))
    balance_3 = (np.exp(rng.normal(0, 0.12, 3)) * np.exp(rng.normal(-0.03, 0.2))).astype(np.float32)
    lit_HW3 = image_HW3 ** np.float32(np.exp(rng.normal(0, 0.2))) * (light_HW[:, :, None] * balance_3)
    gray, contrast = rng.uniform(0.3, 0.7), rng.uniform(0.55, 1.25)
    lit_HW3 = (lit_HW3 - gray) * contrast + gray
    luma_HW1 = lit_HW3 @ np.array([[0.299], [0.587], [0.114]], np.float32)
    saturation = 0.0 if rng.random() < 0.04 else rng.uniform(0.5, 1.4)
    return camera.to_image(luma_HW1 + (lit_HW3 - luma_HW1) * saturation)


def _blur(picture: Image.Image, digit_height_px: float, room: float, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.4:
        picture = camera.defocus(picture, digit_height_px * rng.uniform(0.0, 0.07 * room))
    if rng.random() < 0.4:
        picture = camera.motion_blur(picture, digit_height_px * rng.uniform(0.0, 0.2 * room), rng.uniform(0, np.pi))
    return picture


def _compress(crop: Image.Image, room: float, rng: np.random.Generator) -> Image.Image:
    """Compresses a crop as a JPEG, sometimes of another size, so that blocks of 8 pixels appear larger or smaller."""
    factor = np.exp(rng.uniform(-0.2 * room, 1.0)) if rng.random() < 0.4 else 1.0
    width, height = (max(8, round(side * factor)) for side in crop.size)
    quality, subsampling = int(rng.integers(15 if room > 0.3 else 40, 95)), _SUBSAMPLINGS[rng.integers(3)]
    resized = crop.resize((width, height), Image.Resampling.BILINEAR)
    return camera.jpeg(resized, quality=quality, subsampling=subsampling).resize(crop.size, Image.Resampling.BILINEAR)
