"""One crop: the back of a basketball player with a number, as a function of a random generator alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from jersey.synth import camera, colors
from jersey.synth.camera import Folds, View
from jersey.synth.degrade import degrade
from jersey.synth.name import print_name
from jersey.synth.number import NumberPrint, print_number
from jersey.synth.occlusion import occlude
from jersey.synth.player import Easel, Painting, paint_player
from jersey.synth.typefaces import FontTypeface, Typeface

# Paintings are twice as fine as crops, and reach beyond the frame so that a turned one still fills it.
_OVERSAMPLING = 2
_PAINTING_REACH = 1.5


@dataclass(frozen=True)
class Crop:
    """A drawn crop.

    Args:
        image_HW3: RGB, uint8.
        mask_HW: the digits' fill, uint8 from 0 to 255, hidden parts included, sharp where the image is blurred.
    """

    image_HW3: NDArray[np.uint8]
    mask_HW: NDArray[np.uint8]


def draw_crop(number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int) -> Crop:
    """Draws a square crop.

    Args:
        number: one or two digits as printed ("0", "00" and "01" are three numbers).
        rng: the only source of randomness.
        typefaces: one of these is used; at least one must be a `FontTypeface`, for names.
        size_px: side of the crop.
    """
    picture_px = size_px * _OVERSAMPLING
    painting_px = round(picture_px * _PAINTING_REACH)
    easel = Easel(painting_px, picture_px * rng.uniform(0.75, 1.2), turn=rng.normal(0, 0.05))
    painting, number_print = _paint(number, easel, typefaces, rng)

    view = _keep_in_frame(
        View.random(picture_px=picture_px, painting_px=painting_px, rng=rng), number_print, painting_px, picture_px, rng
    )
    folds = Folds.random(rng)
    cells = camera.mesh(view, folds, picture_px=picture_px, painting_px=painting_px, depth=rng.uniform(0.0, 0.02))
    scene = camera.photograph(painting.scene, cells, picture_px).reduce(_OVERSAMPLING)
    cloth, *digits = camera.photograph(painting.masks, cells, picture_px).reduce(_OVERSAMPLING).split()

    scene = _shade_cloth(scene, cloth, folds, rng)
    if rng.random() < 0.4:
        occlude(scene, digits[: len(number)], rng)
    mask_HW = np.max([np.asarray(digit) for digit in digits], axis=0)
    rows = np.flatnonzero(mask_HW.max(axis=1) > 127)
    scene = degrade(scene, digit_height_px=float(np.ptp(rows)) + 1, rng=rng)
    return Crop(np.asarray(scene), mask_HW)


def _paint(
    number: str, easel: Easel, typefaces: Sequence[Typeface], rng: np.random.Generator
) -> tuple[Painting, NumberPrint]:
    kit = colors.pick_kit(rng)
    height_px = easel.wide(rng.uniform(0.36, 0.52))
    number_print = print_number(
        number,
        typeface=typefaces[rng.integers(len(typefaces))],
        height_px=height_px,
        outlines_px=height_px * rng.uniform(0.025, 0.06, len(kit.outlines)),
        rng=rng,
    )
    name = None
    if rng.random() < 0.6:
        fonts = [typeface for typeface in typefaces if isinstance(typeface, FontTypeface)]
        font = fonts[rng.integers(len(fonts))]
        letters_px = easel.wide(rng.uniform(0.07, 0.1))
        name = print_name(font, height_px=letters_px, max_width_px=easel.wide(0.62), rng=rng)
    return paint_player(easel, number_print, kit, name, rng), number_print


def _keep_in_frame(
    view: View, number_print: NumberPrint, painting_px: int, picture_px: int, rng: np.random.Generator
) -> View:
    """Shifts the view at random, but cuts off at most a few percent of the number at the edge of the frame."""
    width_px, height_px = number_print.layers[0].size
    half = np.array([(-width_px, -height_px), (width_px, -height_px), (width_px, height_px), (-width_px, height_px)]) / 2
    corners_42 = view.to_picture(half + painting_px / 2)
    low, high = corners_42.min(axis=0), corners_42.max(axis=0)
    cut_px = (rng.uniform(0.0, 0.05) if rng.random() < 0.12 else -0.02) * (high - low)
    shift_px = rng.normal(0, 0.09, 2) * picture_px
    slack_low, slack_high = -cut_px - low, picture_px + cut_px - high
    shift_px = np.where(slack_low <= slack_high, shift_px.clip(slack_low, np.maximum(slack_low, slack_high)), (slack_low + slack_high) / 2)
    return view.shifted(*shift_px)


def _shade_cloth(scene: Image.Image, cloth: Image.Image, folds: Folds, rng: np.random.Generator) -> Image.Image:
    """Darkens the slopes of folds that turn away from the light, and the sides, where the body curves away."""
    slopes = folds.slopes(24, rng.uniform(0, 2 * np.pi))
    strength = rng.uniform(0.1, 0.4) / max(1e-6, float(np.abs(slopes).max()))
    folding = Image.fromarray((slopes * strength).astype(np.float32)).resize(scene.size, Image.Resampling.BICUBIC)
    inside = cloth.filter(ImageFilter.GaussianBlur(scene.width * rng.uniform(0.04, 0.1)))
    curving_HW = (np.asarray(inside, dtype=np.float32) / 255 - 1) * rng.uniform(0.2, 0.8)
    shading_HW = 1 + (np.asarray(folding) + curving_HW) * (np.asarray(cloth, dtype=np.float32) / 255)
    return Image.fromarray((np.asarray(scene) * shading_HW[:, :, None]).clip(0, 255).astype(np.uint8))
