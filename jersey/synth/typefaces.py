"""Typefaces of rendered numbers: their split, and how they render one character.

All font files come with dependencies: the TTF files in matplotlib's folder, found without importing matplotlib, and the
face inside Pillow. Athletic block digits ("varsity", straight strokes with cut corners) are the most common on real
jerseys, but no dependency includes such a font. Each of their digits is a few polylines in a unit box, and a block face
is a choice of stroke, width, corner and serif.

A font family is used in train or in val and test, not in both, not even in another weight. Block faces share their
skeleton, so those of val and test have serifs or arcs, which those of train lack.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jersey.core.errors import UserError

MARGIN_PX = 2  # empty border of every glyph
_OVERSAMPLING = 3  # Pillow's edges are not antialiased; averaging 3 x 3 pixels smooths them

# x runs right and y down, 0 to 1 spans the center lines. A third value of 1 marks a corner that is cut.
_LINES: dict[str, tuple[tuple[tuple[float, float, int], ...], ...]] = {
    "0": (((0, 0.5, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1), (0, 0.5, 0)),),
    "1": (((0.16, 0.2, 0), (0.58, 0, 0), (0.58, 1, 0)),),
    "2": (((0, 0.26, 0), (0, 0, 1), (1, 0, 1), (1, 0.46, 1), (0, 0.74, 0), (0, 1, 0), (1, 1, 0)),),
    "3": (
        ((0, 0.24, 0), (0, 0, 1), (1, 0, 1), (1, 0.48, 1), (0.36, 0.48, 0)),
        ((0.36, 0.48, 0), (1, 0.48, 1), (1, 1, 1), (0, 1, 1), (0, 0.76, 0)),
    ),
    "4": (((0.74, 1, 0), (0.74, 0, 0), (0, 0.7, 0), (1.04, 0.7, 0)),),
    "5": (((0.94, 0, 0), (0, 0, 0), (0, 0.42, 0), (1, 0.42, 1), (1, 1, 1), (0, 1, 1), (0, 0.78, 0)),),
    "6": (((1, 0.24, 0), (1, 0, 1), (0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0.45, 1), (0, 0.45, 0)),),
    "7": (((0, 0, 0), (1, 0, 0), (1, 0.14, 0), (0.36, 1, 0)),),
    "8": (
        ((0.5, 0, 0), (1, 0, 1), (1, 0.47, 1), (0, 0.47, 1), (0, 0, 1), (0.5, 0, 0)),
        ((0.5, 0.47, 0), (1, 0.47, 1), (1, 1, 1), (0, 1, 1), (0, 0.47, 1), (0.5, 0.47, 0)),
    ),
    "9": (((0, 0.76, 0), (0, 1, 1), (1, 1, 1), (1, 0, 1), (0, 0, 1), (0, 0.55, 1), (1, 0.55, 0)),),
}
# The ends of strokes with a serif in a slab face, and whether the serif is horizontal.
_SERIFS: dict[str, tuple[tuple[float, float, bool], ...]] = {
    "1": ((0.58, 1, True),),
    "2": ((0, 0.26, True), (1, 0.9, False)),
    "3": ((0, 0.24, True), (0, 0.76, True)),
    "4": ((0.74, 1, True),),
    "5": ((0.94, 0.08, False), (0, 0.78, True)),
    "6": ((1, 0.24, True),),
    "7": ((0, 0.1, False), (0.36, 1, True)),
    "9": ((0, 0.76, True),),
}


@dataclass(frozen=True)
class FontTypeface:
    """A typeface from a font file.

    Attributes:
        name: file in matplotlib's font folder without ".ttf"; "Aileron" is the face inside Pillow.
        bolder: additional stroke as a fraction of the digits' height, for faces that are too light for a jersey.
        file: path of the font file, if it is in another folder.
    """

    name: str
    bolder: float = 0.0
    file: str = ""

    def font(self, size_px: int) -> ImageFont.FreeTypeFont:
        """Returns the font at an em size."""
        return _font(self.file or self.name, size_px)

    def glyph(self, character: str, *, height_px: int, stroke_px: float) -> Image.Image:
        """Returns a digit as an 8-bit mask ("L") with an ink height of `height_px` without the stroke.

        The stroke extends the ink on every side (for outlines), and the margin with it, so the mask and its ink keep
        the same center.
        """
        bolder_px = self.bolder * height_px
        font = self.font(round((height_px - bolder_px) / _digit_height_em(self.file or self.name)))
        left, top, right, bottom = font.getbbox(character, anchor="ls")
        margin_px = round(bolder_px / 2 + stroke_px) + MARGIN_PX
        width_px, ink_height_px = round(right - left), round(bottom - top)
        mask = Image.new("L", (width_px + 2 * margin_px, ink_height_px + 2 * margin_px))
        stroke_px += bolder_px / 2
        at = (margin_px - left, margin_px - top)
        ImageDraw.Draw(mask).text(at, character, fill=255, font=font, anchor="ls", stroke_width=stroke_px)
        return mask


def _font_folder() -> Path:
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("rendering needs the fonts of matplotlib, which is not installed; run `uv sync`")
    return Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


@lru_cache(maxsize=1024)  # a few MB, however many typefaces and sizes are in use
def _font(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    """Returns the font of a name in `FontTypeface`, or of a file."""
    if name == "Aileron":
        font = ImageFont.load_default(size_px)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font
    file = Path(name) if Path(name).suffix else _font_folder() / f"{name}.ttf"
    return ImageFont.truetype(file, size_px)


@cache
def _digit_height_em(name: str) -> float:
    _, top, _, bottom = _font(name, 200).getbbox("0123456789", anchor="ls")
    return (bottom - top) / 200


@dataclass(frozen=True)
class BlockTypeface:
    """A block face; lengths are fractions of the digits' height.

    Attributes:
        name: name of the face.
        stroke: thickness of the strokes.
        width: width of the digits.
        corner: length that is cut off at each corner.
        slab: half the overhang of serifs at the ends of strokes; 0 is a face without serifs.
        rounded: whether cut corners are arcs.
    """

    name: str
    stroke: float
    width: float
    corner: float
    slab: float = 0.0
    rounded: bool = False

    def glyph(self, character: str, *, height_px: int, stroke_px: float) -> Image.Image:
        """Renders a digit like `FontTypeface.glyph`."""
        return self._draw(character, height_px * _OVERSAMPLING, stroke_px * _OVERSAMPLING).reduce(_OVERSAMPLING)

    def _draw(self, character: str, height_px: int, stroke_px: float) -> Image.Image:
        thickness_px = self.stroke * height_px
        margin_px = (round(stroke_px / _OVERSAMPLING) + MARGIN_PX) * _OVERSAMPLING
        inset_px = margin_px + thickness_px / 2
        slab_px = self.slab * height_px
        width_px = self.width * height_px - thickness_px - 2 * slab_px
        inner_height_px = height_px - thickness_px
        outer_width_px = round(self.width * height_px / _OVERSAMPLING) * _OVERSAMPLING
        mask = Image.new("L", (outer_width_px + 2 * margin_px, height_px + 2 * margin_px))
        draw = ImageDraw.Draw(mask)

        def place(x: float, y: float) -> complex:
            return complex(inset_px + slab_px + x * width_px, inset_px + y * inner_height_px)

        for line in _LINES[character]:
            points = _cut([(place(x, y), cut) for x, y, cut in line], self.corner * height_px, self.rounded)
            _draw_line(draw, points, thickness_px, stroke_px)
        half_px = (thickness_px / 2 + slab_px + stroke_px, 0.3 * thickness_px + stroke_px)
        for x, y, flat in _SERIFS.get(character, ()) if self.slab else ():
            center, (dx, dy) = place(x, y), half_px if flat else half_px[::-1]
            top, bottom = margin_px - stroke_px, mask.height - margin_px + stroke_px
            corners = (center.real - dx, max(top, center.imag - dy), center.real + dx, min(bottom, center.imag + dy))
            draw.rectangle(corners, fill=255)
        return mask


# Points are complex numbers, x + yi.


def _cut(points: list[tuple[complex, int]], corner_px: float, rounded: bool) -> list[complex]:
    """Replaces every marked corner by a straight cut, or by an arc of short segments."""
    out: list[complex] = []
    for index, (corner, cut) in enumerate(points):
        if not cut:
            out.append(corner)
            continue
        before, after = (_towards(corner, points[index + step][0], corner_px) for step in (-1, 1))
        for t in (0.0, 0.25, 0.5, 0.75, 1.0) if rounded else (0.0, 1.0):
            # A quadratic Bezier curve with the corner as its control point.
            out.append((1 - t) ** 2 * before + 2 * t * (1 - t) * corner + t**2 * after)
    return out


def _towards(start: complex, end: complex, length_px: float) -> complex:
    return start + (end - start) * min(length_px / abs(end - start), 0.5)


def _draw_line(draw: ImageDraw.ImageDraw, points: list[complex], thickness_px: float, stroke_px: float) -> None:
    half_px = thickness_px / 2 + stroke_px
    ends = [_towards(points[0], points[1], -stroke_px), *points[1:-1], _towards(points[-1], points[-2], -stroke_px)]
    draw.line([(end.real, end.imag) for end in ends], fill=255, width=round(2 * half_px))
    for before, corner, after in zip(points, points[1:-1], points[2:], strict=False):
        box = (corner.real - half_px, corner.imag - half_px, corner.real + half_px, corner.imag + half_px)
        along = ((before - corner) * (after - corner).conjugate()).real
        is_right_angle = abs(along) < 0.01 * abs(before - corner) * abs(after - corner)
        (draw.rectangle if is_right_angle else draw.ellipse)(box, fill=255)


TRAIN_FONTS = (
    FontTypeface("DejaVuSans-Bold"),
    FontTypeface("DejaVuSans-BoldOblique"),
    FontTypeface("DejaVuSans", bolder=0.06),
    FontTypeface("DejaVuSerif-Bold"),
    FontTypeface("DejaVuSerif-BoldItalic"),
    FontTypeface("DejaVuSerif", bolder=0.06),
    FontTypeface("cmb10", bolder=0.03),
    FontTypeface("cmr10", bolder=0.08),
    FontTypeface("cmss10", bolder=0.09),
)
TRAIN_BLOCKS = (
    BlockTypeface("block-varsity", stroke=0.17, width=0.64, corner=0.14),
    BlockTypeface("block-condensed", stroke=0.16, width=0.52, corner=0.10),
    BlockTypeface("block-wide", stroke=0.15, width=0.76, corner=0.18),
    BlockTypeface("block-square", stroke=0.15, width=0.62, corner=0.03),
)
UNSEEN_FONTS = (
    FontTypeface("STIXGeneralBol", bolder=0.03),
    FontTypeface("STIXGeneralBolIta", bolder=0.03),
    FontTypeface("STIXGeneral", bolder=0.08),
    FontTypeface("cmtt10", bolder=0.09),
    FontTypeface("Aileron", bolder=0.09),
)
UNSEEN_BLOCKS = (
    BlockTypeface("block-slab", stroke=0.15, width=0.63, corner=0.12, slab=0.06),
    BlockTypeface("block-round", stroke=0.16, width=0.64, corner=0.22, rounded=True),
)

Typeface = FontTypeface | BlockTypeface
TRAIN: tuple[Typeface, ...] = (*TRAIN_FONTS, *TRAIN_BLOCKS)
# Val and test share typefaces, so that the choice of the best epoch on val rewards generalization to unseen ones.
UNSEEN: tuple[Typeface, ...] = (*UNSEEN_FONTS, *UNSEEN_BLOCKS)


def random_block(rng: np.random.Generator) -> BlockTypeface:
    """Samples a block face."""
    slab = rng.uniform(0.03, 0.07) if rng.random() < 0.3 else 0.0
    return BlockTypeface(
        "block-random",
        stroke=rng.uniform(0.12, 0.21),
        width=rng.uniform(0.46, 0.85),
        corner=rng.uniform(0.02, 0.24),
        slab=slab,
        rounded=bool(rng.random() < 0.3),
    )
