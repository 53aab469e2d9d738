"""Paints the player from behind, flat: hall, arms, neck, jersey with trims, number and name.

Coordinates are in body units: the origin is the center of the number, x runs right, y down, and 1 is the width of the
shoulders. Folds and camera follow in `camera.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from jersey.synth import colors
from jersey.synth.colors import Color, Kit
from jersey.synth.lettering import NumberPrint

Point = tuple[float, float]


@dataclass(frozen=True)
class Easel:
    """Converts body units to pixels of a square canvas.

    Attributes:
        size_px: side of the canvas.
        scale_px: width of the shoulders.
        turn: shift of the body to the right of the number in body units, as on a player who turns away.
    """

    size_px: int
    scale_px: float
    turn: float

    def px(self, points: Sequence[Point]) -> list[Point]:
        """Returns the pixel coordinates of points in body units."""
        half_px = self.size_px / 2
        return [(half_px + (x + self.turn) * self.scale_px, half_px + y * self.scale_px) for x, y in points]

    def wide(self, width: float) -> int:
        """Returns a length in whole pixels, at least 1."""
        return max(1, round(width * self.scale_px))


def paint_hall(size_px: int, rng: np.random.Generator) -> Image.Image:
    """Paints a crowd, a wall or a wooden floor, out of focus, with some lines or posts."""
    small_px = size_px // 4
    cells, spread = int(rng.integers(3, 16)), rng.uniform(5, 55)
    gray_HW1, color_HW3 = rng.normal(0, spread, (cells, cells, 1)), rng.normal(0, spread / 3, (cells, cells, 3))
    cells_HW3 = (np.array(colors.pick(colors.HALL, rng)) + gray_HW1 + color_HW3).clip(0, 255).astype(np.uint8)
    hall = Image.fromarray(cells_HW3).resize((small_px, small_px), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(hall)
    for _ in range(rng.integers(0, 4)):
        (x0, y0), (x1, y1) = rng.uniform(-0.2, 1.2, (2, 2)) * small_px
        draw.line((x0, y0, x1, y1), fill=colors.pick(colors.CLOTH, rng), width=int(rng.integers(1, 7)))
    blurred = hall.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 1.6)))
    return blurred.resize((size_px, size_px), Image.Resampling.BICUBIC)


def paint_player(
    easel: Easel,
    number: NumberPrint,
    kit: Kit,
    name: Image.Image | None,
    rng: np.random.Generator,
    *,
    from_the_side: bool = False,
) -> tuple[Image.Image, Image.Image]:
    """Paints back to front: hall, skin, jersey, trims, name, number, and from the side an arm in front of them.

    Returns:
        The RGB scene, and masks in three bands: the jersey, and the fills of the first and of the second digit.
    """
    scene = paint_hall(easel.size_px, rng)
    draw = ImageDraw.Draw(scene)
    skin = colors.pick(colors.SKIN, rng, jitter=8)
    shorts = colors.shade(kit.cloth if rng.random() < 0.8 else kit.trim, 0.8)
    draw.polygon(easel.px([(-0.42, 0.7), (0.42, 0.7), (0.55, 1.8), (-0.55, 1.8)]), fill=shorts)
    paint_head(draw, easel, skin, rng)
    paint_arms(draw, easel, skin, kit, rng)
    cloth = paint_jersey(scene, easel, kit, rng)
    if name is not None:
        height = number.digits[0].height / easel.scale_px
        _stamp(scene, easel, name, kit.fill, -height / 2 - rng.uniform(0.03, 0.06) - name.height / easel.scale_px / 2)
    for mask, color in zip(number.layers, (*reversed(kit.outlines), kit.fill), strict=True):
        _stamp(scene, easel, mask, color, 0.0)
    digits = [Image.new("L", scene.size) for _ in range(2)]
    for sheet, mask in zip(digits, number.digits, strict=False):
        sheet.paste(255, _centered(mask, easel.size_px), mask)
    if from_the_side:
        _paint_near_arm(draw, easel, skin, rng)
    return scene, Image.merge("RGB", (cloth, *digits))


def _centered(mask: Image.Image, size_px: int) -> tuple[int, int]:
    return (size_px - mask.width) // 2, (size_px - mask.height) // 2


def _stamp(scene: Image.Image, easel: Easel, mask: Image.Image, color: Color, y: float) -> None:
    left, top = _centered(mask, easel.size_px)
    scene.paste(color, (left, top + round(y * easel.scale_px)), mask)


def paint_head(draw: ImageDraw.ImageDraw, easel: Easel, skin: Color, rng: np.random.Generator) -> None:
    """Paints neck and head."""
    draw.polygon(easel.px([(-0.4, -0.5), (-0.15, -0.72), (0.15, -0.72), (0.4, -0.5)]), fill=colors.shade(skin, 0.95))
    draw.polygon(easel.px([(-0.12, -0.55), (-0.11, -0.9), (0.11, -0.9), (0.12, -0.55)]), fill=colors.shade(skin, 0.85))
    x, y, long = rng.uniform(-0.05, 0.05), -0.98, rng.uniform(-0.05, 0.12)
    hair = skin if rng.random() < 0.15 else colors.pick(colors.HAIR, rng)
    draw.ellipse(easel.px([(x - 0.18, y - 0.25), (x + 0.18, y + 0.2 + long)]), fill=hair)


def paint_arms(draw: ImageDraw.ImageDraw, easel: Easel, skin: Color, kit: Kit, rng: np.random.Generator) -> None:
    """Paints both arms in a random pose, sometimes with sleeves."""
    sleeved = rng.random() < 0.15
    for side in (-1, 1):
        shoulder = (side * 0.42, -0.44)
        elbow = (side * rng.uniform(0.5, 0.8), rng.uniform(-0.35, 0.15))
        hand = (side * rng.uniform(0.3, 1.1), elbow[1] + rng.uniform(-0.3, 0.5))
        _paint_arm(draw, easel, (shoulder, elbow, hand), skin, widths=(0.2, 0.14))
        if sleeved:
            middle = ((shoulder[0] + elbow[0]) / 2, (shoulder[1] + elbow[1]) / 2)
            _limb(draw, easel, (shoulder, middle), colors.shade(kit.cloth, 0.9), 0.24)


def _paint_near_arm(draw: ImageDraw.ImageDraw, easel: Easel, skin: Color, rng: np.random.Generator) -> None:
    shoulder, elbow = (rng.uniform(-0.06, 0.06), -0.4), (rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.15))
    hand = (elbow[0] + rng.uniform(-0.45, 0.45), elbow[1] + rng.uniform(-0.2, 0.45))
    _paint_arm(draw, easel, (shoulder, elbow, hand), skin, widths=(0.3, 0.2))


def _paint_arm(
    draw: ImageDraw.ImageDraw, easel: Easel, joints: Sequence[Point], skin: Color, *, widths: tuple[float, float]
) -> None:
    for factor, thickness in ((0.72, 1.0), (0.9, 0.78), (1.0, 0.5)):
        _limb(draw, easel, joints[1:], colors.shade(skin, factor), widths[1] * thickness)
        _limb(draw, easel, joints[:2], colors.shade(skin, factor), widths[0] * thickness)


def _limb(draw: ImageDraw.ImageDraw, easel: Easel, joints: Sequence[Point], color: Color, width: float) -> None:
    draw.line(easel.px(joints), fill=color, width=easel.wide(width))
    for x, y in joints:
        draw.ellipse(easel.px([(x - width / 2, y - width / 2), (x + width / 2, y + width / 2)]), fill=color)


def paint_jersey(
    scene: Image.Image, easel: Easel, kit: Kit, rng: np.random.Generator, cloth_layer: Image.Image | None = None
) -> Image.Image:
    """Paints the jersey over the scene and returns its mask ("L"); `cloth_layer` replaces plain cloth."""
    strap, neck, waist = rng.uniform(0.3, 0.4), rng.uniform(0.13, 0.2), rng.uniform(0.42, 0.47)
    armhole = [(strap, -0.6), (strap - 0.01, -0.42), (strap + 0.03, -0.26), (0.45, -0.16)]
    side = [armhole[-1], (waist, 0.3), (waist + 0.01, 0.8)]
    collar = [(neck, -0.66), (neck * 0.6, -0.6), (0.0, -0.58), (-neck * 0.6, -0.6), (-neck, -0.66)]
    right = [*armhole, *side]
    cloth, layer = Image.new("L", scene.size), cloth_layer or Image.new("RGB", scene.size, kit.cloth)
    ImageDraw.Draw(cloth).polygon(easel.px([*right, *_mirrored(right)[::-1], *collar[::-1]]), fill=255)
    draw = ImageDraw.Draw(layer)
    if rng.random() < 0.4:
        width = rng.uniform(0.03, 0.07)
        panel = [*side, *((x - width, y) for x, y in reversed(side))]
        for points in (panel, _mirrored(panel)):
            draw.polygon(easel.px(points), fill=kit.trim)
    if rng.random() < 0.06:
        for x in np.arange(-0.5, 0.5, 0.07):
            draw.line(easel.px([(x, -0.8), (x, 0.9)]), fill=kit.trim, width=easel.wide(0.006))
    if rng.random() < 0.7:
        piping_px = easel.wide(rng.uniform(0.03, 0.06))
        for edge in (collar, armhole, _mirrored(armhole)):
            draw.line(easel.px(edge), fill=kit.trim, width=piping_px, joint="curve")
    scene.paste(layer, (0, 0), cloth)
    return cloth


def _mirrored(points: Sequence[Point]) -> list[Point]:
    return [(-x, y) for x, y in points]
