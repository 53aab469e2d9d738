"""The two ways to make an image of a figure, and the colors and sizes that all figures share.

`rendered` converts a matplotlib figure into an image. A `Sheet` holds text and pixels, rendered by Pillow in
milliseconds; the hundreds of labels on a figure of 43 classes take matplotlib a second. Both grow to hold all of their
contents, so that nothing is cut off.
"""

import io
from functools import lru_cache
from typing import Any, Literal

from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from jersey.synth.typefaces import FontTypeface

DARK, LIGHT, PALE, RED = "#20557a", "#e0903a", "#a9c9e0", "#b03a1e"
STYLE: Any = {  # settings of matplotlib, for `rc_context` around a plot
    "font.size": 9,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "figure.titlesize": 12,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "legend.frameon": False,
    "text.parse_math": False,
}
BESIDE: dict[str, Any] = {
    "loc": "upper left",
    "bbox_to_anchor": (1.01, 1),
    "borderaxespad": 0,
}  # arguments of a legend beside the axes
DOTS_PER_IN = 100
MARGIN_IN, MARGIN_PX = 0.15, 16  # of a figure of matplotlib and of a `Sheet`
PLAIN, BOLD = FontTypeface("DejaVuSans"), FontTypeface("DejaVuSans-Bold")  # with Greek and Cyrillic letters

# The point of a line of text that `Sheet.write` places, and its position as fractions of width and height.
Edge = Literal["left", "right", "top", "bottom", "middle", "corner"]
ANCHOR: dict[Edge, tuple[float, float]] = {
    "left": (0, 0.5), "right": (1, 0.5), "top": (0.5, 0), "bottom": (0.5, 1), "middle": (0.5, 0.5), "corner": (0, 0),
}  # fmt: skip


def rendered(figure: Figure) -> Image.Image:
    """Returns the figure as an RGB image that also holds what lies outside of its axes: long names, legends, titles."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DOTS_PER_IN, bbox_inches="tight", pad_inches=MARGIN_IN, pil_kwargs={"compress_level": 1})
    return Image.open(buffer).convert("RGB")


class Sheet:
    """An unbounded sheet; x grows to the right, y downwards, and both may be negative."""

    def __init__(self) -> None:
        self._put: list[tuple[int, int, Image.Image, Image.Image | None]] = []

    def put(self, image: Image.Image, x_px: float, y_px: float, mask: Image.Image | None = None) -> None:
        """Places the upper left corner of an RGB image at (x_px, y_px); the mask, "L", is its opacity."""
        self._put.append((round(x_px), round(y_px), image, mask))

    def fill(self, color: str, x_px: float, y_px: float, width_px: int, height_px: int) -> None:
        """Places the upper left corner of a rectangle of one color at (x_px, y_px)."""
        self.put(Image.new("RGB", (width_px, height_px), color), x_px, y_px)

    def write(
        self,
        words: str,
        x_px: float,
        y_px: float,
        *,
        at: Edge,
        size_px: int = 13,
        color: str = "black",
        is_bold: bool = False,
        is_upright: bool = False,
    ) -> None:
        """Writes one line of text.

        Args:
            words: text without line breaks.
            x_px: position of `at`, to the right.
            y_px: position of `at`, downwards.
            at: part of the line at this position: the middle of an edge, its own middle, or its upper left corner.
            size_px: font size.
            color: name or hex code.
            is_bold: whether the font is bold.
            is_upright: whether the text runs from the bottom up.
        """
        mask = _mask(words, size_px, is_bold, is_upright)
        left, top = x_px - mask.width * ANCHOR[at][0], y_px - mask.height * ANCHOR[at][1]
        self.put(Image.new("RGB", mask.size, color), left, top, mask)

    def rendered(self, *, margin_px: int = MARGIN_PX) -> Image.Image:
        """Returns an image of all contents, in the order of their placement, on white with a margin."""
        boxes = [(x_px, y_px, x_px + image.width, y_px + image.height) for x_px, y_px, image, _ in self._put]
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        left, top = min(lefts) - margin_px, min(tops) - margin_px
        whole = Image.new("RGB", (max(rights) + margin_px - left, max(bottoms) + margin_px - top), "white")
        for x_px, y_px, image, mask in self._put:
            whole.paste(image, (x_px - left, y_px - top), mask)
        return whole


def width_px(words: str, size_px: int = 13) -> int:
    """Returns the width of a line of plain text, as `Sheet.write` renders it."""
    return _mask(words, size_px, False, False).width


def line_px(size_px: int) -> int:
    """Returns the height of a line of plain text of this font size."""
    return sum(PLAIN.font(size_px).getmetrics())


@lru_cache(maxsize=2048)
def _mask(words: str, size_px: int, is_bold: bool, is_upright: bool) -> Image.Image:
    font = (BOLD if is_bold else PLAIN).font(size_px)
    ascent_px, descent_px = font.getmetrics()
    left, top, right, bottom = font.getbbox(words)
    # Diacritics may reach beyond the line.
    top, bottom = min(top, 0), max(bottom, ascent_px + descent_px)
    mask = Image.new("L", (max(round(right - left), 1), round(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), words, fill=255, font=font)
    return mask.transpose(Image.Transpose.ROTATE_90) if is_upright else mask
