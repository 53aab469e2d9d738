"""Defines a crop of the source, which is a whole image or a box in a larger one, and cuts boxes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jersey.core.labels import ILLEGIBLE, JERSEY_NUMBER, SplitName, parse_label
from jersey.data.unused import Unused

MAX_NUMBER = 1e6  # no image is larger
MIN_SIDE_PX = 8  # the two digits of a narrower box would have three columns of pixels each


class BoxReason(StrEnum):
    """Why a box is not used."""

    NOT_A_BOX = "not a box with four numbers and a known category"
    NO_IMAGE = "its image is not in the source, or in several places"
    OUTSIDE_SOURCE = "the path of its image leads out of the source"
    BAD_TRACKLET = "its tracklet is not a name"
    NO_NUMBER = "its category is not a number of one or two digits"
    BAD_IMAGE = "its image cannot be decoded"
    OTHER_SIZE = "its image has another size than the export states"
    EMPTY = "has no area"
    OUTSIDE = "lies outside of its image"
    TINY = f"is narrower or lower than {MIN_SIDE_PX} pixels"


class Box(NamedTuple):
    """A box in an image.

    Attributes:
        left: left edge, in pixels or as a fraction of the width.
        top: upper edge, in pixels or as a fraction of the height.
        width: width in the same unit.
        height: height in the same unit.
        is_relative: whether the numbers are fractions.
        image_size_px: width and height of the image as the export states them; None if it does not.
    """

    left: float
    top: float
    width: float
    height: float
    is_relative: bool = False
    image_size_px: tuple[int, int] | None = None


@dataclass(frozen=True)
class Crop:
    """A crop of the source.

    Attributes:
        path: image file.
        label: label, or ILLEGIBLE.
        tracklet: name of its tracklet, or "".
        split: split in the source; None if it has no splits.
        name: path that tells it apart from other crops of its split, relative, with the suffix of an image.
        box: part of the image; None for the whole.
    """

    path: str
    label: str
    tracklet: str
    split: SplitName | None
    name: str
    box: Box | None = None


@dataclass
class Source:
    """The crops of a source, and what is not used.

    Attributes:
        root: folder of the source.
        crops: crops by split, label, file name and path.
        unused: files that are not used.
        unused_boxes: places of boxes that are not used, with the reason.
        notes: sentences on what was recognized.
        warnings: sentences on what may be a mistake.
    """

    root: Path
    crops: list[Crop] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)
    unused_boxes: list[tuple[str, BoxReason]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def region(box: Box, width_px: int, height_px: int, margin: float) -> tuple[int, int, int, int] | BoxReason:
    """Returns the left, upper, right and lower edge in pixels of a box within its image, or why there is none.

    Args:
        box: box in the image.
        width_px: width of the upright image.
        height_px: height of the upright image.
        margin: fraction of the box's width and height that is added on each side, as far as the image reaches.
    """
    if box.image_size_px not in (None, (width_px, height_px)):
        return BoxReason.OTHER_SIZE
    if box.width <= 0 or box.height <= 0:
        return BoxReason.EMPTY
    across, down = (width_px, height_px) if box.is_relative else (1, 1)
    edges = []
    for start, length, scale, size_px in (
        (box.left, box.width, across, width_px),
        (box.top, box.height, down, height_px),
    ):
        # Exports round to six digits, so an edge may lie a little beyond its pixel.
        first, last = max(start * scale, 0.0), min((start + length) * scale, float(size_px))
        if last <= first:
            return BoxReason.OUTSIDE
        if last - first < MIN_SIDE_PX - 0.01:
            return BoxReason.TINY
        beyond = margin * length * scale
        low = math.floor(max(start * scale - beyond, 0.0) + 0.01)
        high = math.ceil(min((start + length) * scale + beyond, float(size_px)) - 0.01)
        edges.append((low, high))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def cut(pixels_HW3: np.ndarray, box: Box, margin: float) -> np.ndarray | BoxReason:
    """Returns the pixels of a box with its margin, uint8 [h,w,3], or why there are none."""
    found = region(box, pixels_HW3.shape[1], pixels_HW3.shape[0], margin)
    if isinstance(found, BoxReason):
        return found
    left, top, right, bottom = found
    return np.ascontiguousarray(pixels_HW3[top:bottom, left:right])


def pixel_numbers(values: object, count: int) -> list[float] | None:
    """Returns a list of that many numbers, which are finite and at most MAX_NUMBER, or None if the values are none."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        return None
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return None
    return [float(each) for each in values] if all(abs(each) <= MAX_NUMBER for each in values) else None


def number_of(category: object) -> str | None:
    """Returns the label that the name of a category means, ILLEGIBLE among them; None if it is no number."""
    label = parse_label(str(category).strip()) if isinstance(category, str | int) else None
    return label if label == ILLEGIBLE or (label is not None and JERSEY_NUMBER.fullmatch(label)) else None


def order_of(crops: Iterable[Crop]) -> list[Crop]:
    """Sorts crops as the index of a data set does: by label, file name and path, illegible ones last."""
    return sorted(
        crops, key=lambda crop: (crop.label == ILLEGIBLE, crop.label, crop.name.rpartition("/")[2], crop.name)
    )
