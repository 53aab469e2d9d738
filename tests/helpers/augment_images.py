"""Random images and assertions for the tests of augmentations."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 5) -> Tensor:
    return torch.rand(shape, generator=generator(seed))


def smooth(batch: int, height: int, width: int) -> Tensor:
    """Returns images without symmetry, in all colors, float in [0, 1]."""
    return F.interpolate(noise(batch, 3, 6, 6), (height, width), mode="bicubic").clamp(0, 1)


def mild(batch: int, height: int, width: int) -> Tensor:
    """Returns such images within 0.25 ... 0.75, so that small changes are not clipped."""
    return smooth(batch, height, width) / 2 + 0.25


def assert_uniform_within(values_B: Tensor, limit: float) -> None:
    """Asserts that the values are uniform in -limit ... limit."""
    assert values_B.abs().max() <= limit * (1 + 1e-4)
    quartiles_3 = values_B.double().quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)) / limit
    np.testing.assert_allclose(quartiles_3, [-0.5, 0, 0.5], atol=0.06)
    assert values_B.min() < -0.98 * limit
    assert values_B.max() > 0.98 * limit
