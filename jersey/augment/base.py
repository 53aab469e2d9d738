"""Augmentation of whole batches on the device, every crop with its own random parameters.

All randomness comes from the generator that the training step hands over, so what happens to a batch is a function of
(seed, epoch, batch), on any number of workers.

None of the operations mirrors (2 and 5 would swap) or crops hard (12 would become 1);
`jersey.evaluation.label_preservation` measures what a pipeline does to numbers.

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
    "max_shift": (0, 0.5),
    "sigma_px": (0, math.inf),
    "length_px": (0, math.inf),
    "factor": (1, math.inf),
    "quality": (1, 95),
}
"""The least and the greatest value of the operations' settings, by name."""


class Augmentation(nn.Module):
    """One random operation: images_BCHW float in [0, 1] and a generator on their device, to images of that shape.

    What comes out is the caller's to change, and may be what came in. Operations with settings are dataclasses, which
    raise a UserError for a setting outside of RANGES.
    """

    def __post_init__(self) -> None:
        settings = vars(self).copy()
        super().__init__()
        for name in settings.keys() & RANGES.keys():
            value, (least, most) = settings[name], RANGES[name]
            if not least <= value <= most:
                allowed = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
                raise UserError(f"{type(self).__name__} has {name}={value}; give a value {allowed}")

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        raise NotImplementedError


class Augment(nn.Module):
    """Named operations in order: uint8 [B,3,H,W] to float [B,3,H,W] in 0..255, what `Network` takes.

    Args:
        operations: by name, so that a config can reach `module.augment.geometry.rotation_deg`; None leaves one out.
    """

    def __init__(self, **operations: Augmentation | None) -> None:
        super().__init__()
        self.operations = nn.ModuleDict({name: each for name, each in operations.items() if each is not None})

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        # Autocast would round the sampling points of `warp` to 8 bits, half a pixel at 224.
        with torch.autocast(images_BCHW.device.type, enabled=False):
            # In place where it is our own: on a CPU fresh memory takes longer than the arithmetic.
            images = images_BCHW.float().div_(255)
            for operation in self.operations.values():
                images = operation(images, generator).clamp_(0, 1)
            return images.mul_(255)


def uniform(shape: Sequence[int], low: float, high: float, generator: Generator) -> Tensor:
    """Uniform numbers on the generator's device."""
    return torch.rand(tuple(shape), generator=generator, device=generator.device) * (high - low) + low


def bernoulli_mask(batch: int, p: float, generator: Generator) -> Tensor:
    """Which crops of a batch an operation with probability `p` changes, bool [B]."""
    return torch.rand(batch, generator=generator, device=generator.device) < p
