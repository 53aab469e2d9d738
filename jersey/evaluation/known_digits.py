"""Drawn numbers of which every digit's place is known, and a reader of digits that needs no training.

The numbers lie as `jersey.synth` draws them, in perspective and folds and in any of its typefaces, but are painted
plainly, light on dark, so that what is seen of them later is the doing of what they went through. The reader compares
what it sees in a digit's box with that typeface's ten digits, each stretched to the box.

Shapes: N crops, D digits (2; a number of one digit lacks the second), T templates (10), P points of a box, H W size.
"""

import math
from collections.abc import Sequence
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

    Args:
        numbers: of each crop.
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
        rows, columns = TEMPLATE_SIZE
        y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
        shares_P2 = torch.stack([x, y], dim=-1).view(-1, 2)
        low_ND12, high_ND12 = self.boxes_ND4[:, :, None, :2], self.boxes_ND4[:, :, None, 2:]
        return low_ND12 + shares_P2 * (high_ND12 - low_ND12)

    def similarities(self, pictures_NHW: Tensor, points_NDP2: Tensor) -> Tensor:
        """How much what is seen at `points` looks like each digit: absolute correlation, 0 to 1, [N,D,T].

        Absolute, as a dark number on light cloth reads as well as a light one on dark.
        """
        seen_NDP = look(pictures_NHW - pictures_NHW.mean(dim=(1, 2), keepdim=True), points_NDP2)
        return (standardised(seen_NDP) @ self.templates_NTP.mT).abs()

    def those(self, wanted_N: Tensor) -> "KnownDigits":
        """The crops where `wanted` is true."""
        numbers = tuple(number for number, keep in zip(self.numbers, wanted_N.tolist(), strict=True) if keep)
        return KnownDigits(numbers, *(each[wanted_N] for each in self.tensors()))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All but the numbers, in order."""
        return self.ink_NDHW, self.boxes_ND4, self.digits_ND, self.templates_NTP


@cache
def known_digits(size_px: int) -> KnownDigits:
    """Each of `NUMBERS` once; drawn anew where the reader is not sure of it before anything has happened to it."""
    found: list[KnownDigits] = []
    missing: tuple[str, ...] = NUMBERS
    for attempt in range(_ATTEMPTS):
        drawn = _draw(missing, size_px, attempt)
        similarities_NDT = drawn.similarities(drawn.pictures(), drawn.box_points())
        own_NDT = F.one_hot(drawn.digits_ND.clamp(min=0), 10).bool()
        own_ND, other_ND = (similarities_NDT.masked_fill(out, 0).amax(dim=2) for out in (~own_NDT, own_NDT))
        sure_N = ((own_ND > other_ND + _MARGIN) | (drawn.digits_ND < 0)).all(dim=1)
        found.append(drawn.those(sure_N))
        missing = drawn.those(~sure_N).numbers
        if not missing:
            break
    numbers = tuple(number for each in found for number in each.numbers)
    tensors = (torch.cat(each) for each in zip(*(each.tensors() for each in found), strict=True))
    return KnownDigits(numbers, *tensors)


def _draw(numbers: Sequence[str], size_px: int, attempt: int) -> KnownDigits:
    faces = (*TRAIN, *UNSEEN)
    drawn = [
        render_crop(number, rng=np.random.default_rng([attempt, *number.encode()]), typefaces=faces, size_px=size_px)
        for number in numbers
    ]
    ink_NDHW = torch.zeros(len(drawn), 2, size_px, size_px)
    for ink_DHW, crop in zip(ink_NDHW, drawn, strict=True):
        ink_DHW[: len(crop.digits_DHW)] = torch.from_numpy(crop.digits_DHW) / 255
    boxes = [[_box(digit_HW) for digit_HW in ink_DHW.numpy()] for ink_DHW in ink_NDHW]
    digits = [[int(number[place]) if place < len(number) else -1 for place in range(2)] for number in numbers]
    shapes_NTP = np.stack([templates(crop.typeface) for crop in drawn]).reshape(len(drawn), 10, -1)
    templates_NTP = standardised(torch.from_numpy(shapes_NTP).float())
    return KnownDigits(tuple(numbers), ink_NDHW, torch.tensor(boxes), torch.tensor(digits), templates_NTP)


def _box(ink_HW: np.ndarray) -> tuple[float, ...]:
    box = Image.fromarray((ink_HW > 0.5).astype(np.uint8)).getbbox() or (0, 0, 1, 1)
    return tuple(map(float, box))


def look(pictures_NHW: Tensor, points_NDP2: Tensor) -> Tensor:
    """Values of the pictures at points (x, y) in pixels, 0 outside, [N,D,P]."""
    size_2 = torch.tensor([pictures_NHW.shape[2], pictures_NHW.shape[1]])
    grid_NDP2 = points_NDP2 / size_2 * 2 - 1
    return F.grid_sample(pictures_NHW[:, None], grid_NDP2, padding_mode="zeros", align_corners=False)[:, 0]


def standardised(values: Tensor) -> Tensor:
    """With mean 0 and length 1 along the last axis; 0 where all are equal."""
    centred = values - values.mean(dim=-1, keepdim=True)
    return centred / centred.norm(dim=-1, keepdim=True).clamp(min=1e-3)
