"""What the tests of augmentations share."""

import torch
import torch.nn.functional as F
from torch import Tensor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 5) -> Tensor:
    return torch.rand(shape, generator=generator(seed))


def smooth(batch: int, height: int, width: int) -> Tensor:
    """Pictures without symmetry, in all colours, float in [0, 1]."""
    return F.interpolate(noise(batch, 3, 6, 6), (height, width), mode="bicubic").clamp(0, 1)
