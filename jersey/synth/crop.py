"""Renders one crop: the back of a basketball player with a number, as a function of a random generator alone.

A player is painted once, flat, and then photographed; a tracklet is a series of pictures of one player. Illegible crops
have the same kits, bodies, frames, folds, light and noise as legible ones, so a model cannot recognize them by these
and has to learn to abstain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from jersey.synth import camera, colors
from jersey.synth.camera import Blur, Folds, View
from jersey.synth.lettering import print_name, print_number
from jersey.synth.occlusion import occlude, occlude_fully
from jersey.synth.player import Easel, paint_player
from jersey.synth.typefaces import FontTypeface, Typeface

# Paintings have twice the resolution of crops, and extend beyond the frame so that a rotated one still fills it.
_OVERSAMPLING = 2
_PAINTING_REACH = 1.7
# In shoulder widths; a wider number would touch the side panels, which look like a 1.
_MAX_NUMBER_WIDTH = 0.6
# Fractions of the number's size, outlines included.
_MAX_CUT = 0.1
_MIN_BORDER = 0.02
# In shoulder widths: a body seen from the side, before it is narrowed, and the visible width of each digit on it.
_BODY_WIDTH = 0.84
_WIDTH_ASIDE = 0.04
_NARROWING_ASIDE = 1.6

# The visible part of a player: the back with its number, a back without one, or the side.
Back = Literal["number", "blank", "aside"]


@dataclass(frozen=True)
class Crop:
    """A rendered crop.

    Attributes:
        image_HW3: RGB image.
        digits_DHW: fills of the digits, left to right, 0 to 255, occluded parts included and without blur.
        typeface: typeface of the number.
    """

    image_HW3: NDArray[np.uint8]
    digits_DHW: NDArray[np.uint8]
    typeface: Typeface

    @property
    def mask_HW(self) -> NDArray[np.uint8]:
        """The fill of the whole number."""
        return self.digits_DHW.max(axis=0)


@dataclass(frozen=True)
class Player:
    """A painted player, of whom many pictures can be taken.

    Attributes:
        number: number on the back, even if the painting does not show it.
        typeface: typeface of the number.
        scene: RGB painting.
        masks: three bands over the painting: the jersey, and the fills of the first and of the second digit.
        number_size_px: width and height of the region that the camera keeps in the frame.
        picture_px: side of a picture before it is reduced to a crop.
        back: visible part of the player.
    """

    number: str
    typeface: Typeface
    scene: Image.Image
    masks: Image.Image
    number_size_px: tuple[int, int]
    picture_px: int
    back: Back


@dataclass(frozen=True)
class Kind:
    """The legibility of a crop.

    Attributes:
        back: visible part of the player.
        hidden: whether an occluder hides the number, instead of one that keeps it legible.
        blur: blur that replaces the one that keeps the number legible.
    """

    back: Back = "number"
    hidden: bool = False
    blur: Blur | None = None


LEGIBLE = Kind()


def _fast_motion(picture: Image.Image, digit_height_px: float, rng: np.random.Generator) -> Image.Image:
    """Simulates fast motion, slightly out of focus."""
    blurred = camera.motion_blur(picture, digit_height_px * rng.uniform(0.8, 1.4), rng.uniform(0, np.pi))
    return camera.defocus(blurred, digit_height_px * rng.uniform(0.08, 0.14))


KINDS = {
    "blank": Kind(back="blank"),
    "hidden": Kind(hidden=True),
    "aside": Kind(back="aside"),
    # The digits are 2 to 4 pixels high.
    "far": Kind(blur=lambda picture, digit_px, rng: camera.lose_resolution(picture, rng.uniform(2, 4) / digit_px, rng)),
    "defocused": Kind(blur=lambda picture, digit_px, rng: camera.defocus(picture, digit_px * rng.uniform(0.22, 0.35))),
    "moved": Kind(blur=_fast_motion),
}
"""The kinds of illegible crops."""


def render_crop(
    number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int, kind: Kind = LEGIBLE
) -> Crop:
    """Renders a square crop.

    Args:
        number: one or two digits as printed ("0", "00" and "01" are three numbers).
        rng: the only source of randomness.
        typefaces: typefaces to choose from; at least one must be a `FontTypeface`, for names.
        size_px: side of the crop.
        kind: `LEGIBLE`, or one of `KINDS` for an illegible crop.
    """
    player = paint(number, rng=rng, typefaces=typefaces, size_px=size_px, back=kind.back)
    return photograph(player, lambda part: rng, kind)


def paint(
    number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int, back: Back = "number"
) -> Player:
    """Paints a player; equal generators paint the same player with any `back`."""
    picture_px = size_px * _OVERSAMPLING
    painting_px = round(picture_px * _PAINTING_REACH)
    typeface = typefaces[int(rng.integers(len(typefaces)))]
    easel = Easel(painting_px, picture_px * rng.uniform(0.95, 1.45), turn=rng.uniform(-0.05, 0.05))
    kit = colors.pick_kit(rng)
    height_px = easel.wide(rng.uniform(0.36, 0.52))
    number_print = print_number(
        number,
        typeface=typeface,
        height_px=height_px,
        max_width_px=easel.wide(_MAX_NUMBER_WIDTH),
        outlines_px=[height_px * rng.uniform(0.025, 0.06) for _ in kit.outlines],
        rng=rng,
    )
    name = None
    if rng.random() >= 0.4:
        fonts = [typeface for typeface in typefaces if isinstance(typeface, FontTypeface)]
        name_px = easel.wide(rng.uniform(0.07, 0.1))
        font = fonts[rng.integers(len(fonts))]
        name = print_name(font, height_px=name_px, max_width_px=easel.wide(0.62), rng=rng)
    if back == "blank":
        number_print = number_print.left_out()
    elif back == "aside":
        width_px, seen_px = easel.wide(_BODY_WIDTH), easel.wide(_WIDTH_ASIDE * len(number))
        number_print, name = number_print.turned_away(width_px=width_px, seen_px=seen_px, left=easel.turn < 0), None
    scene, masks = paint_player(easel, number_print, kit, name, rng, from_the_side=back == "aside")
    return Player(number, typeface, scene, masks, number_print.layers[0].size, picture_px, back)


def photograph(player: Player, rng_of: Callable[[str], np.random.Generator], kind: Kind) -> Crop:
    """Takes a picture of a player; `rng_of` returns the generator of each step by name."""
    number, picture_px, painting_px = player.number, player.picture_px, player.scene.width
    rng = rng_of("view")
    view = View.random(picture_px=picture_px, painting_px=painting_px, rng=rng)
    if player.back == "aside":
        view = view.narrowed(_NARROWING_ASIDE, picture_px)
    view = place_in_frame(view, player.number_size_px, painting_px, picture_px, rng)
    rng = rng_of("folds")
    folds = Folds.random(rng)
    cells = camera.mesh(view, folds, picture_px=picture_px, painting_px=painting_px, depth=rng.uniform(0.0, 0.02))
    scene = camera.warp(player.scene, cells, picture_px).reduce(_OVERSAMPLING)
    cloth, *bands = camera.warp(player.masks, cells, picture_px).reduce(_OVERSAMPLING).split()
    digits = bands[: len(number)]

    scene = shade_cloth(scene, cloth, folds, rng_of("shading"))
    rng = rng_of("occlusion")
    if kind.hidden:
        occlude_fully(scene, digits, rng=rng)
    elif rng.random() < 0.4:
        occlude(scene, digits, number=number, typeface=player.typeface, rng=rng)
    digits_DHW = np.stack([np.asarray(digit) for digit in digits])
    digit_height_px = max(1.0, float(np.count_nonzero(digits_DHW.max(axis=(0, 2)) > 127)))
    image = camera.degrade(scene, digit_height_px=digit_height_px, rng=rng_of("degradation"), blur=kind.blur)
    return Crop(np.asarray(image), digits_DHW, player.typeface)


def place_in_frame(
    view: View, number_size_px: tuple[int, int], painting_px: int, picture_px: int, rng: np.random.Generator
) -> View:
    """Shifts the view at random; some views cut off one edge of the number, up to `_MAX_CUT` of it."""
    signs_42 = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    corners_42 = view.to_picture(painting_px / 2 + signs_42 * np.array(number_size_px) / 2)
    low, high = corners_42.min(axis=0), corners_42.max(axis=0)
    border_px = _MIN_BORDER * (high - low)
    min_px, max_px = border_px - low, picture_px - border_px - high
    middle_px = (min_px + max_px) / 2  # the only shift for a number that is too wide for its frame
    shift_px = (rng.normal(0, 0.09, 2) * picture_px).clip(np.minimum(min_px, middle_px), np.maximum(max_px, middle_px))
    if rng.random() < 0.12:
        axis = int(rng.integers(2))
        cut_px = rng.uniform(0.0, _MAX_CUT) * (high - low)[axis]
        shift_px[axis] = -low[axis] - cut_px if rng.random() < 0.5 else picture_px - high[axis] + cut_px
    return view.shifted(*shift_px)


def shade_cloth(scene: Image.Image, cloth: Image.Image, folds: Folds, rng: np.random.Generator) -> Image.Image:
    """Darkens slopes of folds that face away from the light, and the sides of the body."""
    slopes = folds.slopes(24, rng.uniform(0, 2 * np.pi))
    strength = rng.uniform(0.1, 0.4) / max(1e-6, float(np.abs(slopes).max()))
    folding = Image.fromarray((slopes * strength).astype(np.float32)).resize(scene.size, Image.Resampling.BICUBIC)
    inside = cloth.filter(ImageFilter.GaussianBlur(scene.width * rng.uniform(0.04, 0.1)))
    curving_HW = (np.asarray(inside, dtype=np.float32) / 255 - 1) * rng.uniform(0.2, 0.8)
    shading_HW = 1 + (np.asarray(folding) + curving_HW) * (np.asarray(cloth, dtype=np.float32) / 255)
    return Image.fromarray((np.asarray(scene) * shading_HW[:, :, None]).clip(0, 255).astype(np.uint8))
