"""Drawn numbers of which every digit's place is known, and a reader of digits that needs no training.

The numbers lie as `jersey.synth` draws them, in perspective and folds and in any of its typefaces, but are painted
plainly, light on dark, so that what is seen of them later is the doing of what they went through. The reader compares
what it sees in a digit's box with that typeface's ten digits, each stretched to the box.

Shapes: N crops, D digits (2; a number of one digit lacks the second), T templates (10), P points of a box, H W size.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from jersey.synth.crop import render_crop
from jersey.synth.occlusion import templates
from jersey.synth.typefaces import TRAIN, UNSEEN

NUMBERS = (*map(str, range(100)), "00")
TEMPLATE_SIZE = templates(TRAIN[0]).shape[1:]
_ATTEMPTS = 10
_MARGIN = 0.08  # of similarity, between a digit and the next
DARK, LIGHT = 64, 192  # room for changes of brightness and contrast


@dataclass(frozen=True)
class KnownDigits:
    """Numbers and the reader's knowledge of them.

    Attributes:
        ink_NDHW: of each digit, 0 to 1.
        boxes_ND4: of its ink: left, top, right, bottom in pixels.
        digits_ND: their values, -1 where there is none.
        templates_NTP: the ten digits of the crop's typeface in a box, with mean 0 and length 1.
    """

    numbers: tuple[str, ...]
    ink_NDHW: Tensor
    boxes_ND4: Tensor
    digits_ND: Tensor
    templates_NTP: Tensor

    def pictures(self) -> Tensor:
        """The numbers, light on dark, 0 to 255, [N,H,W]."""
        return DARK + (LIGHT - DARK) * self.ink_NDHW.amax(dim=1)

    def corners(self) -> Tensor:
        """Of the box around each whole number: left top and right bottom (x, y), [N,2,2]."""
        absent_ND1 = (self.digits_ND < 0)[..., None]
        low_N2 = self.boxes_ND4[..., :2].masked_fill(absent_ND1, math.inf).amin(dim=1)
        high_N2 = self.boxes_ND4[..., 2:].masked_fill(absent_ND1, -math.inf).amax(dim=1)
        return torch.stack([low_N2, high_N2], dim=1)

    def box_points(self) -> Tensor:
        """The centres of a box's cells, as many as a template has, in pixels, [N,D,P,2]."""
        shares_P2 = cell_centres(*TEMPLATE_SIZE) / torch.tensor(TEMPLATE_SIZE[::-1])
        low_ND12, high_ND12 = self.boxes_ND4[:, :, None, :2], self.boxes_ND4[:, :, None, 2:]
        return low_ND12 + shares_P2 * (high_ND12 - low_ND12)

    def similarities(self, pictures_NHW: Tensor, points_NDP2: Tensor) -> Tensor:
        """How much what is seen at `points` looks like each digit: absolute correlation, 0 to 1, [N,D,T].

        Absolute, as a dark number on light cloth reads as well as a light one on dark.
        """
        seen_NDP = look(pictures_NHW - pictures_NHW.mean(dim=(1, 2), keepdim=True), points_NDP2)
        return (standardized(seen_NDP) @ self.templates_NTP.mT).abs()

    def is_sure(self) -> bool:
        """Whether the reader tells every digit from the nine others before anything has happened to them."""
        similarities_NDT = self.similarities(self.image_meta(), self.box_points())
        own_NDT = F.one_hot(self.digits_ND.clamp(min=0), 10).bool()
        own_ND, other_ND = (similarities_NDT.masked_fill(out, 0).amax(dim=2) for out in (~own_NDT, own_NDT))
        return bool(((own_ND > other_ND + _MARGIN) | (self.digits_ND < 0)).all())


@cache
def known_digits(size_px: int) -> KnownDigits:
    """Each of `NUMBERS` once, drawn anew where the reader is not sure of it; left out where it never is."""
    found: list[KnownDigits] = []
    for number in NUMBERS:
        attempts = (_draw(number, size_px, attempt) for attempt in range(_ATTEMPTS))
        found += itertools.islice((drawn for drawn in attempts if drawn.is_sure()), 1)
    columns = zip(*((each.ink_NDHW, each.boxes_ND4, each.digits_ND, each.templates_NTP) for each in found), strict=True)
    return KnownDigits(tuple(each.numbers[0] for each in found), *map(torch.cat, columns))


def _draw(number: str, size_px: int, attempt: int) -> KnownDigits:
    rng = np.random.default_rng([attempt, *number.encode()])
    crop = render_crop(number, rng=rng, typefaces=(*TRAIN, *UNSEEN), size_px=size_px)
    ink_DHW = np.zeros((2, size_px, size_px), np.float32)
    ink_DHW[: len(crop.digits_DHW)] = crop.digits_DHW / 255
    boxes = [Image.fromarray((ink_HW > 0.5).astype(np.uint8)).getbbox() or (0, 0, 1, 1) for ink_HW in ink_DHW]
    digits = [int(number[place]) if place < len(number) else -1 for place in range(2)]
    templates_TP = standardized(torch.from_numpy(templates(crop.typeface)).float().flatten(1))
    values = (torch.from_numpy(ink_DHW), torch.tensor(boxes).float(), torch.tensor(digits), templates_TP)
    return KnownDigits((number,), *(value[None] for value in values))


def cell_centres(rows: int, columns: int) -> Tensor:
    """Of a grid of cells of size 1, row by row, (x, y), [P,2]."""
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2)


def look(pictures_NHW: Tensor, points_NDP2: Tensor) -> Tensor:
    """Values of the pictures at points (x, y) in pixels, 0 outside, [N,D,P]."""
    size_2 = torch.tensor([pictures_NHW.shape[2], pictures_NHW.shape[1]])
    grid_NDP2 = points_NDP2 / size_2 * 2 - 1
    return F.grid_sample(pictures_NHW[:, None], grid_NDP2, padding_mode="zeros", align_corners=False)[:, 0]


def standardized(values: Tensor) -> Tensor:
    """With mean 0 and length 1 along the last axis; 0 where all are equal."""
    centred = values - values.mean(dim=-1, keepdim=True)
    return centred / centred.norm(dim=-1, keepdim=True).clamp(min=1e-3)
