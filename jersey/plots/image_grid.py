"""Crops in a grid with captions, in titled sections: only pixels and words, so Pillow draws it, in milliseconds.

Shapes: H W 3 an RGB image, uint8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont, ImageOps

from jersey.plots.sheet import BOLD, PLAIN

TILE_PX = 112
CAPTION_PX = 160
MARGIN_PX = 16
GAP_PX = 8
FRAME_PX = 3
INSET_PX = FRAME_PX + 1  # of crops in their frames, and of words, so that they stand in one line
MARK_COLOR = (176, 0, 0)  # dark, so that it is a frame in greyscale too


@dataclass(frozen=True)
class Tile:
    """What belongs to one crop.

    Args:
        images: views of it, put side by side.
        caption: lines below; what is too long ends in an ellipsis.
        is_marked: whether a frame calls attention to it.
    """

    images: Sequence[np.ndarray]
    caption: Sequence[str]
    is_marked: bool = False


@dataclass(frozen=True)
class Section:
    """Tiles under a heading.

    Args:
        heading: what they show; the counts are added.
        tiles: possibly none.
        out_of: how many there are in all, shown or not.
    """

    heading: str
    tiles: Sequence[Tile]
    out_of: int


def image_grid(title: str, sections: Sequence[Section], *, columns: int) -> Image.Image:
    """Draws the sections one below the other, as an RGB image that is as wide as its contents need.

    Crops are enlarged by whole factors, so that their pixels can be counted, or reduced to about 112 pixels.
    """
    drawn = [[_tile(tile) for tile in section.tiles] for section in sections]
    width_px = max((tile.width for tiles in drawn for tile in tiles), default=0)
    parts = [_text(title, BOLD.font(15))]
    for section, tiles in zip(sections, drawn, strict=True):
        padded = [_widened(tile, width_px) for tile in tiles]
        rows = [_beside(padded[start : start + columns], GAP_PX) for start in range(0, len(padded), columns)]
        count = f"{len(tiles)} of {section.out_of}" if section.out_of else "none"
        parts.append(_below([_text(f"{section.heading}: {count}", BOLD.font(13)), *rows], GAP_PX))
    return ImageOps.expand(_below(parts, 2 * GAP_PX), MARGIN_PX, "white")


def _tile(tile: Tile) -> Image.Image:
    views = _beside([_scaled(image_HW3) for image_HW3 in tile.images], 2)
    framed = ImageOps.expand(
        ImageOps.expand(views, INSET_PX - FRAME_PX, "white"), FRAME_PX, MARK_COLOR if tile.is_marked else "white"
    )
    font, most_px = PLAIN.font(12), max(framed.width, CAPTION_PX)
    return _below([framed, *(_text(_shortened(line, font, most_px), font) for line in tile.caption)], 1)


def _scaled(image_HW3: np.ndarray) -> Image.Image:
    image = Image.fromarray(image_HW3)
    longest_px = max(image.size)
    if longest_px > TILE_PX:
        return image.reduce(round(longest_px / TILE_PX))
    factor = round(TILE_PX / longest_px)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _shortened(line: str, font: ImageFont.FreeTypeFont, most_px: int) -> str:
    if font.getlength(line) <= most_px:
        return line
    kept = next(count for count in range(len(line), -1, -1) if font.getlength(f"{line[:count]}…") <= most_px)
    return f"{line[:kept]}…"


def _text(line: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    ascent_px, descent_px = font.getmetrics()
    _, _, right, _ = font.getbbox(line)
    image = Image.new("RGB", (int(right) + INSET_PX + 2, ascent_px + descent_px), "white")
    ImageDraw.Draw(image).text((INSET_PX, 0), line, fill="black", font=font)
    return image


def _widened(image: Image.Image, width_px: int) -> Image.Image:
    return ImageOps.expand(image, (0, 0, width_px - image.width, 0), "white")


def _beside(images: Sequence[Image.Image], gap_px: int) -> Image.Image:
    width_px = sum(image.width for image in images) + gap_px * (len(images) - 1)
    whole = Image.new("RGB", (width_px, max(image.height for image in images)), "white")
    left_px = 0
    for image in images:
        whole.paste(image, (left_px, 0))
        left_px += image.width + gap_px
    return whole


def _below(images: Sequence[Image.Image], gap_px: int) -> Image.Image:
    height_px = sum(image.height for image in images) + gap_px * (len(images) - 1)
    whole = Image.new("RGB", (max(image.width for image in images), height_px), "white")
    top_px = 0
    for image in images:
        whole.paste(image, (0, top_px))
        top_px += image.height + gap_px
    return whole


def heat_overlay(image_HW3: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
    """The crop in grey under a heat map of values in [0, 1]: from black, for 0, to yellow, for 1."""
    grey_HW1 = image_HW3.mean(axis=2, keepdims=True)
    heat_HW3 = 255 * colormaps["inferno"](map_HW)[..., :3]  # monotone in greyscale
    return (0.5 * grey_HW1 + 0.5 * heat_HW3).round().astype(np.uint8)
