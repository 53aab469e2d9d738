"""Measures how much an augmentation changes crops, on a few synthetic ones, so that no data set is needed.

Shapes: B crops, H W size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor

from jersey.augment.base import Augment, Augmentation
from jersey.augment.geometry import Geometry, project_grid
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN

TOGETHER = "all together"  # the name of the whole pipeline beside those of its operations
NUMBERS = ("1", "4", "7", "00", "12", "23", "38", "56")  # short and long ones, with every digit but 9
SIZE_PX = 64


@dataclass(frozen=True)
class Magnitude:
    """The size of an augmentation's changes.

    Attributes:
        change: mean absolute change of a pixel, in 0..255.
        moved_mean_percent: mean distance by which `Geometry` moves a point, in percent of a side.
        moved_p95_percent: 95th percentile of that distance.
    """

    change: float
    moved_mean_percent: float | None = None
    moved_p95_percent: float | None = None


def magnitudes(augment: Callable[[Tensor, Generator], Tensor] | None) -> dict[str, Magnitude]:
    """Measures each operation alone and all together.

    Args:
        augment: function from uint8 crops [B,3,H,W] and a generator to float crops in 0..255, or None.

    Returns:
        Magnitudes by name of the operation (of an `Augment`) and for `TOGETHER`; empty for None.
    """
    if augment is None:
        return {}
    found = {}
    operations = dict(augment.operations.items()) if isinstance(augment, Augment) else {}
    for name, operation in operations.items():
        moved = _moved_percent(operation) if isinstance(operation, Geometry) else ()
        found[name] = Magnitude(mean_change(Augment(operation=cast("Augmentation", operation))), *moved)
    return found | {TOGETHER: Magnitude(mean_change(augment))}


@torch.no_grad()
def mean_change(augment: Callable[[Tensor, Generator], Tensor], *, rounds: int = 1) -> float:
    """Returns the mean absolute change of a pixel over `rounds` x 64 crops; it is the same in every call."""
    crops_BCHW, changes = reference_crops(), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for an operation that samples from torch instead of the generator
        generator = torch.Generator().manual_seed(0)
        for _ in range(rounds):
            changes.append((augment(crops_BCHW, generator) - crops_BCHW.float()).abs().mean().item())
    return sum(changes) / rounds


def _moved_percent(geometry: Geometry) -> tuple[float, float]:
    """Returns mean and 95th percentile of the distance by which points are moved, in percent of a side."""
    homographies_B33 = geometry.sample_homographies(64, torch.Generator().manual_seed(0))
    moved_BHW2 = project_grid(homographies_B33, size_px=(SIZE_PX, SIZE_PX))
    still_1HW2 = project_grid(torch.eye(3)[None], size_px=(SIZE_PX, SIZE_PX))
    percent = (moved_BHW2 - still_1HW2).norm(dim=-1).flatten() / 2 * 100  # a side is 2 long
    return percent.mean().item(), percent.quantile(0.95).item()


@cache
def reference_crops() -> Tensor:
    """Returns eight synthetic crops, each eight times, uint8 [64,3,64,64]."""
    rng = np.random.default_rng(0)
    crops = [render_crop(number, rng=rng, typefaces=TRAIN, size_px=SIZE_PX).image_HW3 for number in NUMBERS]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).repeat(8, 1, 1, 1).contiguous()
