"""Words and pixels put anywhere on a sheet that grows to hold them: nothing can be cut off.

Pillow draws it, in milliseconds; the hundreds of small words on a picture of 43 classes cost matplotlib a second.
"""

from functools import lru_cache
from typing import Literal

from PIL import Image, ImageDraw

from jersey.synth.typefaces import FontTypeface

MARGIN_PX = 16
PLAIN, BOLD = FontTypeface("DejaVuSans"), FontTypeface("DejaVuSans-Bold")  # they have Greek and Cyrillic

Edge = Literal["left", "right", "top", "bottom", "middle"]
SHARE_BEFORE: dict[Edge, tuple[float, float]] = {
    "left": (0, 0.5),
    "right": (1, 0.5),
    "top": (0.5, 0),
    "bottom": (0.5, 1),
    "middle": (0.5, 0.5),
}


class Sheet:
    """An endless sheet; x grows to the right, y downwards, and both may be negative."""

    def __init__(self) -> None:
        self._put: list[tuple[int, int, Image.Image, Image.Image | None]] = []

    def put(self, image: Image.Image, x_px: float, y_px: float) -> None:
        """Puts the upper left corner of an RGB image there."""
        self._put.append((round(x_px), round(y_px), image, None))

    def fill(self, color: str, x_px: float, y_px: float, width_px: int, height_px: int) -> None:
        """Puts the upper left corner of a plain rectangle there."""
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
        """Writes one line, the middle of its edge `at` (or its own) there; upright words read from the bottom up."""
        mask = _mask(words, size_px, is_bold, is_upright)
        left, top = (x_px - mask.width * SHARE_BEFORE[at][0], y_px - mask.height * SHARE_BEFORE[at][1])
        self._put.append((round(left), round(top), Image.new("RGB", mask.size, color), mask))

    def rendered(self) -> Image.Image:
        """All that was put and written, in that order, on white, with a margin around it."""
        left = min(x_px for x_px, _, _, _ in self._put) - MARGIN_PX
        top = min(y_px for _, y_px, _, _ in self._put) - MARGIN_PX
        right = max(x_px + image.width for x_px, _, image, _ in self._put) + MARGIN_PX
        bottom = max(y_px + image.height for _, y_px, image, _ in self._put) + MARGIN_PX
        whole = Image.new("RGB", (right - left, bottom - top), "white")
        for x_px, y_px, image, mask in self._put:
            whole.paste(image, (x_px - left, y_px - top), mask)
        return whole


def width_px(words: str, size_px: int = 13) -> int:
    """How wide `Sheet.write` writes these words."""
    return _mask(words, size_px, False, False).width


@lru_cache(maxsize=2048)
def _mask(words: str, size_px: int, is_bold: bool, is_upright: bool) -> Image.Image:
    font = (BOLD if is_bold else PLAIN).font(size_px)
    ascent_px, descent_px = font.getmetrics()
    left, top, right, bottom = font.getbbox(words)
    # Marks on top of letters may reach out of the line.
    top, bottom = min(top, 0), max(bottom, ascent_px + descent_px)
    mask = Image.new("L", (max(round(right - left), 1), round(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), words, fill=255, font=font)
    return mask.transpose(Image.Transpose.ROTATE_90) if is_upright else mask
