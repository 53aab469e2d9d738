"""Renders one crop in the style "varied", from which the shipped reader learns: everything changes widely.

Instead of imitating one arena and one camera, a crop is a random combination (domain randomization, Tobin et al. 2017,
https://arxiv.org/abs/1703.06907): the back or front of a jersey, shorts, or nothing but cloth; plain, striped or
printed cloth of any color; numbers with shadows, gradients and outlines; names and sponsors; other players; strong
light and wrong white balance; 12 to 200 pixels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from jersey.synth import camera, colors, fabric, wide_camera
from jersey.synth.camera import Folds
from jersey.synth.colors import Kit
from jersey.synth.crop import LEGIBLE, Back, Crop, Kind, Player, place_in_frame, shade_cloth
from jersey.synth.lettering import NumberPrint, print_name, print_number
from jersey.synth.occlusion import occlude, occlude_fully
from jersey.synth.player import Easel, Point, paint_arms, paint_hall, paint_head, paint_jersey
from jersey.synth.typefaces import FontTypeface, Typeface

Garment = Literal["back", "front", "shorts", "cloth"]
_GARMENTS: tuple[Garment, ...] = ("back", "front", "shorts", "cloth")
_GARMENT_P = (0.45, 0.2, 0.1, 0.25)
# Height of the number, and its maximum width, in shoulder widths.
_NUMBER_HEIGHT = {"back": (0.3, 0.58), "front": (0.22, 0.45), "shorts": (0.14, 0.24), "cloth": (0.4, 0.6)}
_MAX_NUMBER_WIDTH = {"back": 0.66, "front": 0.62, "shorts": 0.26, "cloth": 1.2}
# Glyphs are rendered at one of these heights and then resized, so that few sizes of a font are loaded.
_PRINT_PX = (32, 48, 72, 108)
_NAME_PX = 24
_MIN_SIDE_PX = 12
_PAINTING_REACH = 1.6
# A crop whose number has faded is degraded again; of 255 levels, in the color channel that differs the most.
_ATTEMPTS, _MIN_CONTRAST = 4, 26.0


def render_varied(
    number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int, kind: Kind = LEGIBLE
) -> Crop:
    """Renders a crop whose longer side has 12 to `size_px` pixels; the other arguments are those of `render_crop`."""
    side_px = round(np.exp(rng.uniform(np.log(_MIN_SIDE_PX), np.log(size_px))))
    picture_px = int(np.clip(1.5 * side_px, 72, 1.25 * size_px))
    player = _paint(number, rng=rng, typefaces=typefaces, picture_px=picture_px, back=kind.back)
    return _photograph(player, (side_px, size_px), rng, kind)


def _paint(
    number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], picture_px: int, back: Back
) -> Player:
    painting_px = round(picture_px * _PAINTING_REACH)
    garment = _GARMENTS[rng.choice(len(_GARMENTS), p=_GARMENT_P)] if back != "aside" else "back"
    height = rng.uniform(*_NUMBER_HEIGHT[garment])
    # The number takes between a quarter of the picture, as on a whole player, and almost all of it.
    easel = Easel(painting_px, picture_px * rng.uniform(0.26, 0.8) / height, turn=rng.normal(0, 0.05))
    kit, typeface = fabric.random_kit(rng), typefaces[int(rng.integers(len(typefaces)))]
    width_px = easel.wide(_MAX_NUMBER_WIDTH[garment])
    number_print = _print(number, typeface, easel.wide(height), width_px, len(kit.outlines), rng)
    if back == "blank":
        number_print = number_print.left_out()
    elif back == "aside":
        seen_px = easel.wide(0.04 * len(number))
        number_print = number_print.turned_away(width_px=easel.wide(0.84), seen_px=seen_px, left=easel.turn < 0)
    scene = _background(painting_px, rng)
    if rng.random() < 0.25:
        _paint_neighbor(scene, easel, typefaces, rng)
    cloth = _paint_garment(scene, easel, garment, kit, rng)
    if back != "aside":
        _paint_words(scene, easel, garment, kit, typefaces, number_print, rng)
    _paint_number(scene, number_print, kit, rng)
    digits = [_sheet(mask, painting_px) for mask in number_print.digits]
    masks = Image.merge("RGB", (cloth, *digits, *[Image.new("L", scene.size)] * (2 - len(digits))))
    return Player(number, typeface, scene, masks, number_print.layers[0].size, picture_px, back)


def _print(
    number: str, typeface: Typeface, height_px: int, max_width_px: int, outlines: int, rng: np.random.Generator
) -> NumberPrint:
    """Returns the masks of a number of about that height, stretched and slanted at random."""
    print_px = next((px for px in _PRINT_PX if px >= height_px), _PRINT_PX[-1])
    printed = print_number(
        number,
        typeface=typeface,
        height_px=print_px,
        max_width_px=8 * print_px,
        outlines_px=[print_px * rng.uniform(0.02, 0.09) for _ in range(outlines)],
        rng=rng,
    )
    scale = height_px / print_px
    width, height = printed.layers[0].size
    wide_px = max(2, min(max_width_px, round(width * scale * np.exp(rng.uniform(-0.25, 0.2)))))
    high_px = max(2, round(height * scale))
    slant = rng.normal(0, 0.18) if rng.random() < 0.2 else 0.0
    reach_px = round(abs(slant) * high_px)

    def change(mask: Image.Image) -> Image.Image:
        mask = mask.resize((wide_px, high_px), Image.Resampling.BILINEAR)
        if not reach_px:
            return mask
        shear = (1, slant, -slant * high_px / 2 - reach_px / 2, 0, 1, 0)
        size_px = (wide_px + reach_px, high_px)
        return mask.transform(size_px, Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR)

    return printed.changed(change)


def _background(size_px: int, rng: np.random.Generator) -> Image.Image:
    """Paints a hall, or cloth of any color, as of a crowd or a wall near by."""
    if rng.random() < 0.7:
        return paint_hall(size_px, rng)
    background = fabric.random_cloth(size_px, size_px * rng.uniform(0.2, 1), fabric.random_kit(rng), rng)
    return background.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.02) * size_px))


def _paint_garment(
    scene: Image.Image, easel: Easel, garment: Garment, kit: Kit, rng: np.random.Generator
) -> Image.Image:
    """Paints a garment with its player, and returns its mask ("L")."""
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


def _paint_neighbor(scene: Image.Image, easel: Easel, typefaces: Sequence[Typeface], rng: np.random.Generator) -> None:
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
        mask = _print(digits, typeface, easel.wide(0.4 * size), easel.wide(0.6 * size), 0, rng).layers[0]
        (left, top), *_ = easel.px([(x, y)])
        scene.paste(kit.fill, (round(left - mask.width / 2), round(top - mask.height / 2)), mask)


def _paint_words(
    scene: Image.Image,
    easel: Easel,
    garment: Garment,
    kit: Kit,
    typefaces: Sequence[Typeface],
    number: NumberPrint,
    rng: np.random.Generator,
) -> None:
    """Paints a name, team or sponsor above and below the number, and logos beside them."""
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
        _stamp(scene, word.resize(size_px, Image.Resampling.BILINEAR), color, (0.0, y * easel.scale_px))
    for _ in range(rng.choice(3, p=(0.7, 0.2, 0.1))):
        x, y = rng.choice((-1, 1)) * rng.uniform(0.1, 0.36), rng.choice((-1, 1)) * (half + rng.uniform(0.06, 0.15))
        radius = rng.uniform(0.015, 0.05)
        shape = ImageDraw.Draw(scene).ellipse if rng.random() < 0.5 else ImageDraw.Draw(scene).rectangle
        shape(easel.px([(x - radius, y - radius * rng.uniform(0.3, 1)), (x + radius, y + radius)]), fill=kit.trim)


def _paint_number(scene: Image.Image, number: NumberPrint, kit: Kit, rng: np.random.Generator) -> None:
    """Paints the number with its outlines, sometimes with a shadow, a gradient, an inner line, or a hollow fill."""
    high_px, (outer, *_, fill) = number.layers[0].height, (*number.layers, number.layers[-1])
    if rng.random() < 0.15:
        shift_px = rng.uniform(-0.08, 0.08, 2) * high_px
        _stamp(scene, outer, colors.shade(kit.cloth, rng.uniform(0.3, 0.7)), (shift_px[0], shift_px[1]))
    for mask, color in zip(number.layers, (*reversed(kit.outlines), kit.fill), strict=True):
        _stamp(scene, mask, color, (0.0, 0.0))
    effect = rng.random()
    if effect < 0.08:
        lower = fabric.distinct_color(kit.cloth, rng)
        ramp = Image.linear_gradient("L").resize(fill.size)
        blank = Image.new("L", fill.size)
        _stamp(scene, Image.composite(ramp, blank, fill), lower, (0.0, 0.0))
    elif effect < 0.13:
        inner = fill.filter(ImageFilter.MinFilter(2 * max(1, round(high_px * 0.03)) + 1))
        _stamp(scene, inner, kit.trim, (0.0, 0.0))
    elif effect < 0.17 and kit.outlines:
        _stamp(scene, fill, kit.cloth, (0.0, 0.0))


def _corner(mask: Image.Image, size_px: int, shift_px: Point = (0.0, 0.0)) -> tuple[int, int]:
    return round((size_px - mask.width) / 2 + shift_px[0]), round((size_px - mask.height) / 2 + shift_px[1])


def _stamp(scene: Image.Image, mask: Image.Image, color: colors.Color, shift_px: Point) -> None:
    """Paints a mask around the center of the scene."""
    scene.paste(color, _corner(mask, scene.width, shift_px), mask)


def _sheet(mask: Image.Image, size_px: int) -> Image.Image:
    sheet = Image.new("L", (size_px, size_px))
    sheet.paste(mask, _corner(mask, size_px))
    return sheet


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
    for _ in range(_ATTEMPTS):
        image = wide_camera.degrade(scene.crop(box), size_px, digit_height_px=digit_height_px, rng=rng, blur=kind.blur)
        if kind is not LEGIBLE or _is_visible(np.asarray(image), digits_DHW.max(axis=0)):
            break
    return Crop(np.asarray(image), digits_DHW, player.typeface)


def _is_visible(image_HW3: np.ndarray, ink_HW: np.ndarray) -> bool:
    """Returns whether the mean colors of the number and of its surroundings differ."""
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
