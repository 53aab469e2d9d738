"""Renders one crop in the style "varied", from which the pretrained reader learns: everything changes widely.

Instead of imitating one arena and one camera, a crop is a random combination (domain randomization, Tobin et al. 2017,
https://arxiv.org/abs/1703.06907): the back or front of a jersey, shorts, or nothing but cloth; plain, striped or
printed cloth of any color; numbers with shadows, gradients and outlines; names and sponsors; other players; strong
light and wrong white balance; from 12 pixels on.

Shape suffixes: H, W pixels of a picture or crop, D digits of the number, N pixels of the number or of its surroundings.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from jersey.synth import camera, fabric, wide_camera
from jersey.synth.camera import Folds
from jersey.synth.crop import LEGIBLE, Back, Crop, Kind, Player, place_in_frame, shade_cloth
from jersey.synth.garments import GARMENTS, paint_background, paint_garment, paint_neighbor, paint_words
from jersey.synth.occlusion import occlude, occlude_fully
from jersey.synth.player import Easel
from jersey.synth.prints import paint_number, random_print, sheet
from jersey.synth.typefaces import Typeface

_GARMENT_P = (0.45, 0.2, 0.1, 0.25)  # in the order of GARMENTS
# Height of the number, and its maximum width, in shoulder widths.
_NUMBER_HEIGHT = {"back": (0.3, 0.58), "front": (0.22, 0.45), "shorts": (0.14, 0.24), "cloth": (0.4, 0.6)}
_MAX_NUMBER_WIDTH = {"back": 0.66, "front": 0.62, "shorts": 0.26, "cloth": 1.2}
# In pictures: a wider number would lose a digit at the edge of its picture.
_MAX_WIDTH = 0.95
_MIN_SIDE_PX = 12
_PAINTING_REACH = 1.6
# A legible crop whose number has faded or is hidden is rendered again.
_ATTEMPTS = 4
_MIN_CONTRAST = 26.0  # of 255 levels, in the color channel that differs the most


def render_varied(
    number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int, kind: Kind = LEGIBLE
) -> Crop:
    """Renders a crop of any aspect ratio.

    Args:
        number: one or two digits as printed.
        rng: the only source of randomness.
        typefaces: typefaces to choose from; at least one must be a `FontTypeface`, for names.
        size_px: maximum of the longer side, at least 32; the minimum is 12.
        kind: `LEGIBLE`, or one of `crop.KINDS` for an illegible crop.
    """
    side_px = round(np.exp(rng.uniform(np.log(_MIN_SIDE_PX), np.log(size_px))))
    picture_px = int(np.clip(1.5 * side_px, 72, 1.25 * size_px))
    for _ in range(_ATTEMPTS):
        player = _paint(number, rng=rng, typefaces=typefaces, picture_px=picture_px, back=kind.back)
        crop = _photograph(player, (side_px, size_px), rng, kind)
        if kind is not LEGIBLE or _is_visible(crop):
            break
    return crop


def _paint(
    number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], picture_px: int, back: Back
) -> Player:
    painting_px = round(picture_px * _PAINTING_REACH)
    garment = GARMENTS[rng.choice(len(GARMENTS), p=_GARMENT_P)] if back != "aside" else "back"
    height = rng.uniform(*_NUMBER_HEIGHT[garment])
    # The number takes between a quarter of the picture, as on a whole player, and almost all of it.
    easel = Easel(painting_px, picture_px * rng.uniform(0.26, 0.8) / height, turn=rng.normal(0, 0.05))
    kit, typeface = fabric.random_kit(rng), typefaces[int(rng.integers(len(typefaces)))]
    number_print = random_print(
        number,
        typeface=typeface,
        height_px=easel.wide(height),
        max_width_px=min(easel.wide(_MAX_NUMBER_WIDTH[garment]), round(_MAX_WIDTH * picture_px)),
        outlines=len(kit.outlines),
        rng=rng,
    )
    if back == "blank":
        number_print = number_print.left_out()
    elif back == "aside":
        seen_px = easel.wide(0.04 * len(number))
        number_print = number_print.turned_away(width_px=easel.wide(0.84), seen_px=seen_px, left=easel.turn < 0)
    scene = paint_background(painting_px, rng)
    if rng.random() < 0.25:
        paint_neighbor(scene, easel, typefaces, rng)
    cloth = paint_garment(scene, easel, garment, kit, rng)
    if back != "aside":
        paint_words(scene, easel, garment, kit, typefaces, number_print, rng)
    paint_number(scene, number_print, kit, rng)
    digits = [sheet(mask, painting_px) for mask in number_print.digits]
    masks = Image.merge("RGB", (cloth, *digits, *[Image.new("L", scene.size)] * (2 - len(digits))))
    return Player(number, typeface, scene, masks, number_print.layers[0].size, picture_px, back)


def _photograph(player: Player, sides_px: tuple[int, int], rng: np.random.Generator, kind: Kind) -> Crop:
    """Takes a picture of a player; `sides_px` are the crop's intended and its maximum longer side."""
    picture_px, painting_px = player.picture_px, player.scene.width
    view = wide_camera.random_view(picture_px=picture_px, painting_px=painting_px, rng=rng)
    if player.back == "aside":
        view = view.narrowed(1.6, picture_px)
    view = place_in_frame(view, player.number_size_px, painting_px, picture_px, rng)
    folds = Folds.random(rng)
    cells = camera.mesh(view, folds, picture_px=picture_px, painting_px=painting_px, depth=rng.uniform(0.0, 0.035))
    scene, masks = camera.warp(player.scene, cells, picture_px), camera.warp(player.masks, cells, picture_px)
    cloth, *bands = masks.split()
    digits = bands[: len(player.number)]
    scene = shade_cloth(scene, cloth, folds, rng)
    if kind.hidden:
        occlude_fully(scene, digits, rng=rng)
    elif rng.random() < 0.3:
        occlude(scene, digits, number=player.number, typeface=player.typeface, rng=rng)
    ink_HW = np.stack([np.asarray(digit) for digit in digits]).max(axis=0) > 127
    digit_height_px = max(1.0, float(np.count_nonzero(ink_HW.any(axis=1))))
    box = _random_box(ink_HW, rng)
    size_px = _crop_size(box, sides_px, digit_height_px)
    digits_DHW = np.stack([np.asarray(digit.crop(box).resize(size_px, Image.Resampling.BOX)) for digit in digits])
    image = wide_camera.degrade(scene.crop(box), size_px, digit_height_px=digit_height_px, rng=rng, blur=kind.blur)
    return Crop(np.asarray(image), digits_DHW, player.typeface)


def _is_visible(crop: Crop) -> bool:
    """Returns whether the mean colors of the number and of its surroundings differ."""
    image_HW3, ink_HW = crop.image_HW3, crop.mask_HW
    rows, columns = np.flatnonzero(ink_HW.any(axis=1)), np.flatnonzero(ink_HW.any(axis=0))
    if not len(rows):
        return False
    near = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    image_HW3, ink_HW = image_HW3[near], ink_HW[near]
    ink_N3, cloth_N3 = image_HW3[ink_HW > 160], image_HW3[ink_HW < 80]
    if not len(ink_N3) or not len(cloth_N3):
        return True
    return float(np.abs(ink_N3.mean(axis=0) - cloth_N3.mean(axis=0)).max()) >= _MIN_CONTRAST


def _random_box(ink_HW: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Samples a box of any aspect ratio that contains the number, as a detector would return it."""
    height, width = ink_HW.shape
    rows, columns = np.flatnonzero(ink_HW.any(axis=1)), np.flatnonzero(ink_HW.any(axis=0))
    if not len(rows):
        return 0, 0, width, height
    border_px = round(0.06 * (rows[-1] - rows[0])) + 1
    spare = (columns[0], rows[0], width - 1 - columns[-1], height - 1 - rows[-1])
    trims = [int(max(0, room - border_px) * rng.uniform(0, 1) * (rng.random() < 0.6)) for room in spare]
    return trims[0], trims[1], width - trims[2], height - trims[3]


def _crop_size(box: tuple[int, int, int, int], sides_px: tuple[int, int], digit_height_px: float) -> tuple[int, int]:
    """Returns width and height of the crop of a box: the intended longer side, or more if the digits need it."""
    width, height = box[2] - box[0], box[3] - box[1]
    side_px, max_side_px = sides_px
    scale = max(side_px / max(width, height), wide_camera.MIN_DIGIT_PX / digit_height_px)
    scale = min(scale, max_side_px / max(width, height))
    return max(_MIN_SIDE_PX, round(width * scale)), max(_MIN_SIDE_PX, round(height * scale))
