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
from jersey.synth.player import Easel, paint_player
from jersey.synth.typefaces import FontTypeface, Typeface

# Paintings are twice as fine as crops, and reach beyond the frame so that a turned one still fills it.
_OVERSAMPLING = 2
_PAINTING_REACH = 1.7
# In widths of the shoulders; a wider number would touch the side panels, and those look like a 1.
_MAX_NUMBER_WIDTH = 0.6
# Fractions of the number's size, outlines included.
_MAX_CUT = 0.1
_MIN_BORDER = 0.02


@dataclass(frozen=True)
class Crop:
    """A drawn crop.

    Args:
        image_HW3: RGB, uint8.
        digits_DHW: the fill of each digit, left to right, uint8 from 0 to 255, hidden parts included, sharp where the
            image is blurred.
        typeface: of the digits.
    """

    image_HW3: NDArray[np.uint8]
    digits_DHW: NDArray[np.uint8]
    typeface: Typeface

    @property
    def mask_HW(self) -> NDArray[np.uint8]:
        """The fill of the whole number."""
        return self.digits_DHW.max(axis=0)


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
    typeface = typefaces[int(rng.integers(len(typefaces)))]
    easel = Easel(painting_px, picture_px * rng.uniform(0.95, 1.45), turn=rng.uniform(-0.05, 0.05))
    kit = colors.pick_kit(rng)
    number_print = _print_number(number, easel, typeface, kit, rng)
    painting = paint_player(easel, number_print, kit, _print_name(easel, typefaces, rng), rng)

    view = View.random(picture_px=picture_px, painting_px=painting_px, rng=rng)
    view = _place_in_frame(view, number_print.layers[0].size, painting_px, picture_px, rng)
    folds = Folds.random(rng)
    cells = camera.mesh(view, folds, picture_px=picture_px, painting_px=painting_px, depth=rng.uniform(0.0, 0.02))
    scene = camera.photograph(painting.scene, cells, picture_px).reduce(_OVERSAMPLING)
    cloth, *bands = camera.photograph(painting.masks, cells, picture_px).reduce(_OVERSAMPLING).split()
    digits = bands[: len(number)]

    scene = _shade_cloth(scene, cloth, folds, rng)
    if rng.random() < 0.4:
        occlude(scene, digits, number=number, typeface=typeface, rng=rng)
    digits_DHW = np.stack([np.asarray(digit) for digit in digits])
    digit_height_px = float(np.count_nonzero(digits_DHW.max(axis=(0, 2)) > 127))
    return Crop(np.asarray(degrade(scene, digit_height_px=digit_height_px, rng=rng)), digits_DHW, typeface)


def _print_number(
    number: str, easel: Easel, typeface: Typeface, kit: colors.Kit, rng: np.random.Generator
) -> NumberPrint:
    height_px = easel.wide(rng.uniform(0.36, 0.52))
    outlines_px = [height_px * rng.uniform(0.025, 0.06) for _ in kit.outlines]
    return print_number(
        number,
        typeface=typeface,
        height_px=height_px,
        max_width_px=easel.wide(_MAX_NUMBER_WIDTH),
        outlines_px=outlines_px,
        rng=rng,
    )


def _print_name(easel: Easel, typefaces: Sequence[Typeface], rng: np.random.Generator) -> Image.Image | None:
    if rng.random() < 0.4:
        return None
    fonts = [typeface for typeface in typefaces if isinstance(typeface, FontTypeface)]
    height_px = easel.wide(rng.uniform(0.07, 0.1))
    return print_name(fonts[rng.integers(len(fonts))], height_px=height_px, max_width_px=easel.wide(0.62), rng=rng)


def _place_in_frame(
    view: View, number_size_px: tuple[int, int], painting_px: int, picture_px: int, rng: np.random.Generator
) -> View:
    """Shifts the view at random; some views cut off one edge of the number, no more than `_MAX_CUT` of it."""
    signs_42 = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    corners_42 = view.to_picture(painting_px / 2 + signs_42 * np.array(number_size_px) / 2)
    low, high = corners_42.min(axis=0), corners_42.max(axis=0)
    border_px = _MIN_BORDER * (high - low)
    least, most = border_px - low, picture_px - border_px - high
    middle = (least + most) / 2  # The only place for a number that is too wide for its frame.
    shift_px = (rng.normal(0, 0.09, 2) * picture_px).clip(np.minimum(least, middle), np.maximum(most, middle))
    if rng.random() < 0.12:
        axis = int(rng.integers(2))
        cut_px = rng.uniform(0.0, _MAX_CUT) * (high - low)[axis]
        shift_px[axis] = -low[axis] - cut_px if rng.random() < 0.5 else picture_px - high[axis] + cut_px
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
