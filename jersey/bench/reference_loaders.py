"""The usual ways to read a folder of crops, for benches: torchvision's and timm's, as their references set them up.

Both decode and augment every crop again in each epoch, one by one, in worker processes. Here they get what helps them:
workers that live on between epochs, as many as there are cores, and no mirroring to spend time on.

Shapes: B batch, H W size.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from jersey.data.datamodule import JerseyDataModule
from jersey.models.normalization import MEAN_RGB, STD_RGB

TrainBatches = Iterable[tuple[Tensor, Tensor]]
"""An epoch, and each time another: float images [B,3,H,W] and labels [B] on the device."""

MEAN, STD = ([value / 255 for value in values] for values in (MEAN_RGB, STD_RGB))


@dataclass(frozen=True)
class OnDevice:
    """Copies the batches of a loader to the device."""

    loader: Any
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images_BCHW, labels_B in self.loader:
            yield images_BCHW.to(self.device, non_blocking=True), labels_B.to(self.device, non_blocking=True)


def reference_loaders(data: JerseyDataModule, *, batches: int, device: torch.device) -> dict[str, OnDevice]:
    """Epochs of so many batches of the train split, by library; timm's is left out where it is not installed."""
    makers = {"torchvision": _torchvision_loader} | ({"timm": _timm_loader} if find_spec("timm") else {})
    settings = {
        "batch_size": data.batch_size,
        "num_workers": os.cpu_count() or 1,
        "persistent_workers": True,
        "pin_memory": device.type == "cuda",
    }
    crops = batches * data.batch_size
    return {name: OnDevice(make(data, crops, device, settings), device) for name, make in makers.items()}


def _torchvision_loader(data: JerseyDataModule, crops: int, device: torch.device, settings: dict[str, Any]) -> Any:
    """ImageFolder, v2 transforms and a DataLoader."""
    transform = v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomResizedCrop(data.size_px, scale=(0.6, 1.0), antialias=True),
            v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    dataset = ImageFolder(str(data.root / "train"), transform)
    dataset.samples = _some(dataset.samples, crops)
    return DataLoader(dataset, shuffle=True, drop_last=True, **settings)


def _timm_loader(data: JerseyDataModule, crops: int, device: torch.device, settings: dict[str, Any]) -> Any:
    """timm's dataset, transforms and loader, which normalises on the GPU and copies ahead there."""
    from timm.data import ImageDataset, create_loader

    dataset = ImageDataset(str(data.root / "train"))
    dataset.reader.samples = _some(dataset.reader.samples, crops)
    return create_loader(
        dataset,
        input_size=(3, *data.size_px),
        is_training=True,
        scale=(0.6, 1.0),
        hflip=0.0,
        color_jitter=0.3,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        use_prefetcher=device.type == "cuda",
        device=device,
        **settings,
    )


def _some(samples: list[Any], count: int) -> list[Any]:
    """So many crops from all over the folder, or all, in turn, where there are fewer."""
    return [samples[round(index * len(samples) / count) % len(samples)] for index in range(count)]
