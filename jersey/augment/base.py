"""Augments whole batches on the device, with random parameters of its own for each crop.

All randomness comes from the generator that the training step passes, so the augmentation of a batch is a function of
(seed, epoch, batch), for any number of processes.

No operation mirrors (2 and 5 would swap) or crops strongly (12 would become 1);
`jersey.evaluation.label_preservation` measures how often a pipeline preserves the number.

Shapes: B batch, C channels (3), H W size. Images are float in [0, 1] between the operations.
"""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from jersey.core.errors import UserError

RANGES = {
    "p": (0, 1),
    "area": (0, 1),
    "max_shift": (0, 0.5),  # half the color circle in both directions
    "sigma_px": (0, math.inf),
    "length_px": (0, math.inf),
    "factor": (1, math.inf),
    "quality": (1, 95),  # libjpeg's scale, of which Pillow recommends no more than 95
}
"""The min and max of the operations' settings, by name."""


class Augmentation(nn.Module):
    """A random operation on a batch of images, which keeps their shape.

    `forward` takes images, float [B,3,H,W] in [0, 1], and a generator on their device. The caller may change the
    result, which may be the input itself. Operations with settings are dataclasses, which raise a UserError for a
    setting outside RANGES.
    """

    def __post_init__(self) -> None:
        super().__init__()
        for name, (low, high) in RANGES.items():
            value = getattr(self, name, low)  # a setting that this operation lacks is in its range
            if not low <= value <= high:
                allowed = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise UserError(f"{type(self).__name__} has {name}={value}; set a value {allowed}")

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        raise NotImplementedError


class Augment(nn.Module):
    """Applies named operations in order: uint8 [B,3,H,W] to float [B,3,H,W] in 0..255, the input of `Network`.

    Args:
        operations: operations by name, as in the config path `module.augment.geometry.rotation_deg`; None for none.
    """

    def __init__(self, **operations: Augmentation | None) -> None:
        super().__init__()
        self.operations = nn.ModuleDict({name: each for name, each in operations.items() if each is not None})

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        # Autocast would round the sampling points of `warp` to 8 bits, half a pixel at 224.
        with torch.autocast(images_BCHW.device.type, enabled=False):
            # In place on our own tensor: on a CPU, allocating memory takes longer than the arithmetic.
            images = images_BCHW.float().div_(255)
            for operation in self.operations.values():
                images = operation(images, generator).clamp_(0, 1)
            return images.mul_(255)


def uniform(shape: Sequence[int], low: float, high: float, generator: Generator) -> Tensor:
    """Samples uniform numbers in [low, high) on the generator's device."""
    return torch.rand(tuple(shape), generator=generator, device=generator.device) * (high - low) + low


def bernoulli_mask(batch: int, p: float, generator: Generator) -> Tensor:
    """Samples which crops of a batch are changed, each with probability `p`, bool [B]."""
    return torch.rand(batch, generator=generator, device=generator.device) < p
