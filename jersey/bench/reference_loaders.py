"""The usual ways to read a folder of crops, for benches: torchvision's and timm's, as their references set them up.

Both decode and augment every crop again in each epoch, one by one, in worker processes. Here they get what helps them:
workers that live on between epochs, as many as there are cores, and no mirroring to spend time on.

Shapes: B batch, H W size.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from jersey.models.normalization import MEAN_RGB, STD_RGB

Loader = Callable[[], Iterator[tuple[Tensor, Tensor]]]
"""Called for each epoch: yields float images [B,3,H,W] and labels [B] on the device."""

MEAN, STD = ([value / 255 for value in values] for values in (MEAN_RGB, STD_RGB))


def torchvision_loader(
    folder: Path, *, size_px: tuple[int, int], batch_size: int, batches: int, device: torch.device
) -> Loader:
    """ImageFolder, v2 transforms and a DataLoader.

    Args:
        folder: of a split with a folder for each class.
        size_px: H and W.
        batch_size: B.
        batches: of an epoch.
        device: where they are wanted.
    """
    transform = v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomResizedCrop(size_px, scale=(0.6, 1.0), antialias=True),
            v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    crops = ImageFolder(str(folder), transform)
    crops.samples = _some(crops.samples, batches * batch_size)
    loader = DataLoader(
        crops,
        batch_size,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
        drop_last=True,
    )
    return lambda: _moved(loader, device)


def timm_loader(
    folder: Path, *, size_px: tuple[int, int], batch_size: int, batches: int, device: torch.device
) -> Loader | None:
    """timm's dataset, transforms and loader, which normalises on the GPU and copies ahead there; None without timm.

    Args: as `torchvision_loader`.
    """
    try:
        from timm.data import ImageDataset, create_loader
    except ImportError:
        return None
    crops = ImageDataset(str(folder))
    crops.reader.samples = _some(crops.reader.samples, batches * batch_size)
    loader = create_loader(
        crops,
        input_size=(3, *size_px),
        batch_size=batch_size,
        is_training=True,
        scale=(0.6, 1.0),
        hflip=0.0,
        color_jitter=0.3,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        use_prefetcher=device.type == "cuda",
        device=device,
        pin_memory=device.type == "cuda",
    )
    return lambda: _moved(loader, device)


def _some(samples: list[Any], count: int) -> list[Any]:
    """So many crops from all over the folder, or all, in turn, where there are fewer."""
    return [samples[round(index * len(samples) / count) % len(samples)] for index in range(count)]


def _moved(loader: Any, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for images_BCHW, labels_B in loader:
        yield images_BCHW.to(device, non_blocking=True), labels_B.to(device, non_blocking=True)
