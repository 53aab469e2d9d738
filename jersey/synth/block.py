"""Athletic block digits ("varsity"): straight strokes with cut corners, drawn from centre lines.

Real jerseys use such faces more than any other and no dependency ships one, so each digit is a few polylines in a
unit box, and a face is a choice of stroke, width, corner and serif.
"""

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw

Point = tuple[float, float]

MARGIN_PX = 2  # Empty border of every glyph.
_OVERSAMPLING = 3  # Pillow draws hard edges; averaging 3 x 3 pixels makes them soft.

# x runs right and y down, 0 to 1 spans the centre lines. A third value of 1 marks a corner that is cut.
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
# The ends of strokes that carry a serif in a slab face, and whether the serif lies flat.
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
class BlockTypeface:
    """A block face; lengths are fractions of the digits' height.

    Args:
        name: unique name.
        stroke: thickness of the strokes.
        width: width of the digits.
        corner: how much of each corner is cut off.
        slab: half the overhang of serifs at the ends of strokes; 0 is a face without serifs.
        rounded: cut corners become arcs.
    """

    name: str
    stroke: float
    width: float
    corner: float
    slab: float = 0.0
    rounded: bool = False

    def glyph(self, character: str, *, height_px: int, stroke_px: float) -> Image.Image:
        """See `typefaces.Typeface`."""
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

        def place(x: float, y: float) -> Point:
            return inset_px + slab_px + x * width_px, inset_px + y * inner_height_px

        for line in _LINES[character]:
            points = _cut([(*place(x, y), cut) for x, y, cut in line], self.corner * height_px, self.rounded)
            _draw_line(draw, points, thickness_px, stroke_px)
        if self.slab:
            half_px = (thickness_px / 2 + slab_px + stroke_px, 0.3 * thickness_px + stroke_px)
            for x, y, flat in _SERIFS.get(character, ()):
                (center_x, center_y), (dx, dy) = place(x, y), half_px if flat else half_px[::-1]
                top, bottom = margin_px - stroke_px, mask.height - margin_px + stroke_px
                corners = (center_x - dx, max(top, center_y - dy), center_x + dx, min(bottom, center_y + dy))
                draw.rectangle(corners, fill=255)
        return mask


def _cut(points: list[tuple[float, float, int]], corner_px: float, rounded: bool) -> list[Point]:
    """Replaces every marked corner by a straight cut, or by an arc of short straight cuts."""
    out: list[Point] = []
    for index, (x, y, cut) in enumerate(points):
        if not cut:
            out.append((x, y))
            continue
        before, after = (_towards((x, y), points[index + step][:2], corner_px) for step in (-1, 1))
        for t in (0.0, 0.25, 0.5, 0.75, 1.0) if rounded else (0.0, 1.0):
            # A quadratic Bezier curve with the corner as its control point.
            weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
            corner = zip(before, (x, y), after, strict=True)
            bx, by = (sum(w * c for w, c in zip(weights, axis, strict=True)) for axis in corner)
            out.append((bx, by))
    return out


def _towards(start: Point, end: Point, length_px: float) -> Point:
    distance = math.dist(start, end)
    step = min(length_px / distance, 0.5)
    return start[0] + (end[0] - start[0]) * step, start[1] + (end[1] - start[1]) * step


def _draw_line(draw: ImageDraw.ImageDraw, points: list[Point], thickness_px: float, stroke_px: float) -> None:
    half_px = thickness_px / 2 + stroke_px
    ends = [_towards(points[0], points[1], -stroke_px), *points[1:-1], _towards(points[-1], points[-2], -stroke_px)]
    draw.line(ends, fill=255, width=round(2 * half_px))
    for before, (x, y), after in zip(points, points[1:-1], points[2:], strict=False):
        box = (x - half_px, y - half_px, x + half_px, y + half_px)
        if _is_right_angle(before, (x, y), after):
            draw.rectangle(box, fill=255)
        else:
            draw.ellipse(box, fill=255)


def _is_right_angle(before: Point, corner: Point, after: Point) -> bool:
    ax, ay, bx, by = before[0] - corner[0], before[1] - corner[1], after[0] - corner[0], after[1] - corner[1]
    return abs(ax * bx + ay * by) < 0.01 * math.hypot(ax, ay) * math.hypot(bx, by)
