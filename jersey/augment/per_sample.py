"""Applies any torchvision transform crop by crop; this is slower than the batched operations.

torchvision samples from torch's global generators. They are seeded for each crop from the generator that is passed in,
and restored afterwards, so training stays a function of (seed, epoch, batch).

Shapes: B batch, C channels (3), H W size. Images are float in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as tv

from jersey.augment.base import Augmentation
from jersey.core.errors import UserError


class PerSample(Augmentation):
    """Applies a transform to each crop separately; the host waits for the device once per batch.

    Args:
        transform: function of a crop, such as `v2.RandAugment()`. It gets uint8 [3,H,W], which every transform accepts,
            and returns uint8 or float in [0, 1] of the same size.

    Raises:
        UserError: the transform changes the size of a crop (from `forward`).
    """

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        if not len(images_BCHW):
            return images_BCHW
        seeds = torch.randint(2**63 - 1, (len(images_BCHW),), generator=generator, device=generator.device).tolist()
        bytes_BCHW = (images_BCHW * 255).round().to(torch.uint8)
        device = images_BCHW.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return torch.stack([self._transformed(crop, seed) for crop, seed in zip(bytes_BCHW, seeds, strict=True)])

    def _transformed(self, crop_CHW: Tensor, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)
        if crop_CHW.is_cuda:
            torch.cuda.manual_seed(seed)  # torch.manual_seed would also seed other devices, which are not restored
        changed = self.transform(crop_CHW)
        if changed.shape != crop_CHW.shape:
            what = f"makes {list(changed.shape)} of a crop of {list(crop_CHW.shape)}"
            name = type(self.transform).__name__
            raise UserError(f"{name} in PerSample {what}; set its size to that of the crops, data.size_px")
        return tv.to_dtype(changed, torch.float32, scale=True)
