"""Synthetic numbers with known positions of all digits, and a digit classifier that needs no training.

`jersey.synth` renders the numbers with perspective and folds, in any of its typefaces, but in plain light on dark, so
that any later damage is due to the augmentation. The classifier correlates the pixels in a digit's box with the ten
digits of that typeface, each stretched to the box.

Shapes: N crops, D digits (2; a number of one digit lacks the second), T templates (10), P points of a box, H W size.
"""

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
_ATTEMPTS = 10  # enough for every number at 64 px
_MARGIN = 0.08  # min difference of similarity between the best digit and the second best
DARK, LIGHT = 64, 192  # levels that leave headroom for changes of brightness and contrast


@dataclass(frozen=True)
class KnownDigits:
    """Numbers with what the classifier knows about them.

    Attributes:
        numbers: number on each crop.
        ink_NDHW: opacity of each digit, 0 to 1.
        boxes_ND4: bounding box of each digit: left, top, right, bottom in pixels.
        digits_ND: value of each digit, -1 if absent.
        templates_NTP: the ten digits of the crop's typeface in a box, with mean 0 and norm 1.
    """

    numbers: tuple[str, ...]
    ink_NDHW: Tensor
    boxes_ND4: Tensor
    digits_ND: Tensor
    templates_NTP: Tensor

    def images(self) -> Tensor:
        """Returns images of the numbers, light on dark, 0 to 255, [N,H,W]."""
        return DARK + (LIGHT - DARK) * self.ink_NDHW.amax(dim=1)

    def corners(self) -> Tensor:
        """Returns the left top and right bottom corner (x, y) of the box around each number, [N,2,2]."""
        absent_ND1 = (self.digits_ND < 0)[..., None]
        low_N2 = self.boxes_ND4[..., :2].masked_fill(absent_ND1, math.inf).amin(dim=1)
        high_N2 = self.boxes_ND4[..., 2:].masked_fill(absent_ND1, -math.inf).amax(dim=1)
        return torch.stack([low_N2, high_N2], dim=1)

    def box_points(self) -> Tensor:
        """Returns the centers of the cells of each box, one per template pixel, (x, y) in pixels, [N,D,P,2]."""
        relative_P2 = cell_centers(*TEMPLATE_SIZE) / torch.tensor(TEMPLATE_SIZE[::-1])
        low_ND12, high_ND12 = self.boxes_ND4[:, :, None, :2], self.boxes_ND4[:, :, None, 2:]
        return low_ND12 + relative_P2 * (high_ND12 - low_ND12)

    def similarities(self, images_NHW: Tensor, points_NDP2: Tensor) -> Tensor:
        """Returns the absolute correlation of the images at `points` with each digit, 0 to 1, [N,D,T].

        It is absolute because a dark number on light cloth is as legible as a light one on dark.
        """
        seen_NDP = sample(images_NHW - images_NHW.mean(dim=(1, 2), keepdim=True), points_NDP2)
        return (standardized(seen_NDP) @ self.templates_NTP.mT).abs()

    def is_unambiguous(self) -> bool:
        """Whether the classifier separates every digit from the other nine by the margin before any augmentation."""
        similarities_NDT = self.similarities(self.images(), self.box_points())
        own_NDT = F.one_hot(self.digits_ND.clamp(min=0), 10).bool()
        own_ND = similarities_NDT.masked_fill(~own_NDT, 0).amax(dim=2)
        other_ND = similarities_NDT.masked_fill(own_NDT, 0).amax(dim=2)
        return bool(((own_ND > other_ND + _MARGIN) | (self.digits_ND < 0)).all())


@cache
def known_digits(size_px: int) -> KnownDigits:
    """Renders each of `NUMBERS` until it is unambiguous; a number that is ambiguous at every attempt is omitted."""
    found: list[KnownDigits] = []
    for number in NUMBERS:
        for attempt in range(_ATTEMPTS):
            rendered = _render(number, size_px, attempt)
            if rendered.is_unambiguous():
                found.append(rendered)
                break
    return KnownDigits(
        numbers=tuple(each.numbers[0] for each in found),
        ink_NDHW=torch.cat([each.ink_NDHW for each in found]),
        boxes_ND4=torch.cat([each.boxes_ND4 for each in found]),
        digits_ND=torch.cat([each.digits_ND for each in found]),
        templates_NTP=torch.cat([each.templates_NTP for each in found]),
    )


def _render(number: str, size_px: int, attempt: int) -> KnownDigits:
    """Renders one number (N = 1); another attempt has other random parameters."""
    rng = np.random.default_rng([attempt, *number.encode()])
    crop = render_crop(number, rng=rng, typefaces=(*TRAIN, *UNSEEN), size_px=size_px)
    ink_DHW = np.zeros((2, size_px, size_px), np.float32)
    ink_DHW[: len(crop.digits_DHW)] = crop.digits_DHW / 255
    boxes = [Image.fromarray((ink_HW > 0.5).astype(np.uint8)).getbbox() or (0, 0, 1, 1) for ink_HW in ink_DHW]
    digits = [int(number[place]) if place < len(number) else -1 for place in range(2)]
    templates_TP = standardized(torch.from_numpy(templates(crop.typeface)).float().flatten(1))
    return KnownDigits(
        numbers=(number,),
        ink_NDHW=torch.from_numpy(ink_DHW)[None],
        boxes_ND4=torch.tensor(boxes).float()[None],
        digits_ND=torch.tensor(digits)[None],
        templates_NTP=templates_TP[None],
    )


def cell_centers(rows: int, columns: int) -> Tensor:
    """Returns the centers (x, y) of a grid of cells of size 1, row by row, [P,2]."""
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2)


def sample(images_NHW: Tensor, points_NDP2: Tensor) -> Tensor:
    """Returns the values of the images at points (x, y) in pixels, 0 outside, [N,D,P]."""
    size_2 = torch.tensor([images_NHW.shape[2], images_NHW.shape[1]])
    grid_NDP2 = points_NDP2 / size_2 * 2 - 1
    return F.grid_sample(images_NHW[:, None], grid_NDP2, padding_mode="zeros", align_corners=False)[:, 0]


def standardized(values: Tensor) -> Tensor:
    """Scales values to mean 0 and norm 1 along the last axis; constant values become 0."""
    centered = values - values.mean(dim=-1, keepdim=True)
    return centered / centered.norm(dim=-1, keepdim=True).clamp(min=1e-3)
