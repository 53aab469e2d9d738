"""Grids of crops with captions in titled sections, rendered by Pillow in milliseconds.

Shapes: H W 3 an RGB image, uint8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageOps

from jersey.plots.canvas import PLAIN, Sheet, line_px, width_px

TILE_PX = 112  # approximate longer side of a crop
CAPTION_PX = 160  # minimum width of a caption, for "99.9 % for illegible"
TITLE_PX, HEADING_PX, CAPTION_SIZE_PX = 15, 13, 12
GAP_PX, VIEW_GAP_PX = 8, 2  # between tiles, and between the views of one crop
FRAME_PX = 3
SCALE_PX = 160
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
        view_names: names of the views of each crop, above the first row; none for crops with one view.
    """

    heading: str
    tiles: Sequence[Tile]
    out_of: int
    view_names: Sequence[str] = ()


def image_grid(
    title: str, sections: Sequence[TileSection], *, columns: int, heat_scale: tuple[str, str] | None = None
) -> Image.Image:
    """Returns an RGB image of the sections, one below the other.

    Crops are enlarged by integer factors, so that their pixels stay visible, or reduced to about 112 pixels.

    Args:
        title: title above all sections.
        sections: sections from top to bottom.
        columns: number of tiles in a row.
        heat_scale: names of the ends of the color scale of `heat_overlay`, which is then shown below the title.
    """
    sheet, y_px = Sheet(), line_px(TITLE_PX) + 2 * GAP_PX
    sheet.write(title, INSET_PX, 0, at="corner", size_px=TITLE_PX, is_bold=True)
    if heat_scale is not None:
        y_px += _write_heat_scale(sheet, *heat_scale, y_px=y_px) + 2 * GAP_PX
    tiles_of = [[_tile(tile) for tile in section.tiles] for section in sections]
    step_px = max((tile.width for tiles in tiles_of for tile in tiles), default=0) + GAP_PX
    for section, tiles in zip(sections, tiles_of, strict=True):
        count = f"{len(tiles)} of {section.out_of}" if section.out_of else "none"
        sheet.write(f"{section.heading}: {count}", INSET_PX, y_px, at="corner", is_bold=True)
        y_px += line_px(HEADING_PX) + GAP_PX
        if section.view_names and tiles:
            for place, first in enumerate(section.tiles[:columns]):
                _write_view_names(sheet, section.view_names, first, x_px=place * step_px, y_px=y_px)
            y_px += line_px(CAPTION_SIZE_PX)
        for start in range(0, len(tiles), columns):
            row = tiles[start : start + columns]
            for place, tile in enumerate(row):
                sheet.put(tile, place * step_px, y_px)
            y_px += max(tile.height for tile in row) + GAP_PX
        y_px += GAP_PX
    return sheet.rendered()


def _write_view_names(sheet: Sheet, names: Sequence[str], tile: Tile, *, x_px: int, y_px: int) -> None:
    x_px += INSET_PX
    for name, image_HW3 in zip(names, tile.images, strict=True):
        sheet.write(name, x_px, y_px, at="corner", size_px=CAPTION_SIZE_PX)
        x_px += _scaled(image_HW3).width + VIEW_GAP_PX


def _write_heat_scale(sheet: Sheet, low: str, high: str, *, y_px: int) -> int:
    """Draws the colors from low to high with the names of the ends; returns the height."""
    height_px, colors_W3 = line_px(CAPTION_SIZE_PX), (255 * colormaps["inferno"](np.linspace(0, 1, SCALE_PX))[:, :3])
    x_px = INSET_PX + width_px(low, CAPTION_SIZE_PX) + GAP_PX
    sheet.write(low, INSET_PX, y_px, at="corner", size_px=CAPTION_SIZE_PX)
    sheet.put(Image.fromarray(colors_W3.round().astype(np.uint8)[None].repeat(height_px, axis=0)), x_px, y_px)
    sheet.write(high, x_px + SCALE_PX + GAP_PX, y_px, at="corner", size_px=CAPTION_SIZE_PX)
    return height_px


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
