"""Grids of crops with captions in titled sections, rendered by Pillow in milliseconds.

Shapes: H W 3 an RGB image, uint8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageOps

from jersey.plots.canvas import PLAIN, Sheet, line_px

TILE_PX = 112  # approximate longer side of a crop
CAPTION_PX = 160  # minimum width of a caption, for "99.9 % for illegible"
TITLE_PX, HEADING_PX, CAPTION_SIZE_PX = 15, 13, 12
GAP_PX, VIEW_GAP_PX = 8, 2  # between tiles, and between the views of one crop
FRAME_PX = 3
INSET_PX = FRAME_PX + 1  # distance of crops from the edge of their tile, and of text, so that both are aligned
MARK_COLOR = "#b00000"  # dark, so that the frame is visible in grayscale too


@dataclass(frozen=True)
class Tile:
    """One crop with its caption.

    Attributes:
        images: views of the crop, uint8 [H, W, 3], placed side by side.
        caption: lines below it; long lines end in an ellipsis.
        is_marked: whether it has a frame.
    """

    images: Sequence[np.ndarray]
    caption: Sequence[str]
    is_marked: bool = False


@dataclass(frozen=True)
class TileSection:
    """Tiles under a heading.

    Attributes:
        heading: heading without the counts, which are added.
        tiles: the tiles, possibly none.
        out_of: number of all crops of this kind, shown or not.
    """

    heading: str
    tiles: Sequence[Tile]
    out_of: int


def image_grid(title: str, sections: Sequence[TileSection], *, columns: int) -> Image.Image:
    """Returns an RGB image of the sections, one below the other.

    Crops are enlarged by integer factors, so that their pixels stay visible, or reduced to about 112 pixels.

    Args:
        title: title above all sections.
        sections: sections from top to bottom.
        columns: number of tiles in a row.
    """
    sheet, y_px = Sheet(), line_px(TITLE_PX) + 2 * GAP_PX
    sheet.write(title, INSET_PX, 0, at="corner", size_px=TITLE_PX, is_bold=True)
    tiles_of = [[_tile(tile) for tile in section.tiles] for section in sections]
    step_px = max((tile.width for tiles in tiles_of for tile in tiles), default=0) + GAP_PX
    for section, tiles in zip(sections, tiles_of, strict=True):
        count = f"{len(tiles)} of {section.out_of}" if section.out_of else "none"
        sheet.write(f"{section.heading}: {count}", INSET_PX, y_px, at="corner", is_bold=True)
        y_px += line_px(HEADING_PX) + GAP_PX
        for start in range(0, len(tiles), columns):
            row = tiles[start : start + columns]
            for place, tile in enumerate(row):
                sheet.put(tile, place * step_px, y_px)
            y_px += max(tile.height for tile in row) + GAP_PX
        y_px += GAP_PX
    return sheet.rendered()


def _tile(tile: Tile) -> Image.Image:
    views = [_scaled(image_HW3) for image_HW3 in tile.images]
    width = sum(view.width for view in views) + VIEW_GAP_PX * (len(views) - 1) + 2 * INSET_PX
    height = max(view.height for view in views) + 2 * INSET_PX
    sheet, x_px = Sheet(), INSET_PX
    sheet.fill(MARK_COLOR if tile.is_marked else "white", 0, 0, width, height)
    sheet.fill("white", FRAME_PX, FRAME_PX, width - 2 * FRAME_PX, height - 2 * FRAME_PX)
    for view in views:
        sheet.put(view, x_px, INSET_PX)
        x_px += view.width + VIEW_GAP_PX
    for line, words in enumerate(tile.caption):
        shown, y_px = _shortened(words, max(width, CAPTION_PX)), height + 1 + line * (line_px(CAPTION_SIZE_PX) + 1)
        sheet.write(shown, INSET_PX, y_px, at="corner", size_px=CAPTION_SIZE_PX)
    return sheet.rendered(margin_px=0)


def _scaled(image_HW3: np.ndarray) -> Image.Image:
    image = Image.fromarray(image_HW3)
    longest_px = max(image.size)
    if longest_px > TILE_PX:
        return image.reduce(round(longest_px / TILE_PX))
    return ImageOps.scale(image, round(TILE_PX / longest_px), Image.Resampling.NEAREST)


def _shortened(line: str, max_px: int) -> str:
    length = PLAIN.font(CAPTION_SIZE_PX).getlength
    if length(line) <= max_px:
        return line
    kept = len(line)
    while kept > 0 and length(f"{line[:kept]}…") > max_px:
        kept -= 1
    return f"{line[:kept]}…"


def heat_overlay(image_HW3: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
    """Returns the grayscale crop under a heat map, uint8 [H, W, 3].

    Args:
        image_HW3: crop, uint8.
        map_HW: values in [0, 1], from black for 0 to yellow for 1.
    """
    gray_HW1 = image_HW3.mean(axis=2, keepdims=True)
    heat_HW3 = 255 * colormaps["inferno"](map_HW)[..., :3]  # monotone in grayscale
    return (0.5 * gray_HW1 + 0.5 * heat_HW3).round().astype(np.uint8)
