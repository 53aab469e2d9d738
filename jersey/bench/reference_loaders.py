"""Reference loaders of a folder of crops for benchmarks: torchvision's and timm's, set up as in their training scripts.

Both decode and augment every crop anew in each epoch, one by one, in worker processes. They run with favorable
settings: one persistent worker per core, and no horizontal flip.

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
"""An iterable that yields a new epoch each time: images, float [B,3,H,W], and labels, int [B], on the device."""

# Mean and standard deviation of ImageNet for pixels in [0, 1].
MEAN, STD = ([value / 255 for value in values] for values in (MEAN_RGB, STD_RGB))


@dataclass(frozen=True)
class DeviceLoader:
    """Copies the batches of a loader to a device.

    Attributes:
        loader: loader of pairs of images and labels.
        device: device of the copies.
    """

    loader: Any
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images_BCHW, labels_B in self.loader:
            yield images_BCHW.to(self.device, non_blocking=True), labels_B.to(self.device, non_blocking=True)


def reference_loaders(data: JerseyDataModule, *, batches: int, device: torch.device) -> dict[str, DeviceLoader]:
    """Returns loaders of the train split by library: "torchvision", and "timm" if it is installed.

    Args:
        data: data set with one folder per class; its input size and batch size are used.
        batches: number of batches per epoch.
        device: device of the batches.
    """
    makers = {"torchvision": _torchvision_loader} | ({"timm": _timm_loader} if find_spec("timm") else {})
    settings = {
        "batch_size": data.batch_size,
        "num_workers": os.cpu_count() or 1,
        "persistent_workers": True,
        "pin_memory": device.type == "cuda",
    }
    crops = batches * data.batch_size
    return {name: DeviceLoader(make(data, crops, device, settings), device) for name, make in makers.items()}


def _torchvision_loader(data: JerseyDataModule, crops: int, device: torch.device, settings: dict[str, Any]) -> Any:
    """Returns a DataLoader of an ImageFolder with v2 transforms."""
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
    dataset.samples = _evenly_spaced(dataset.samples, crops)
    return DataLoader(dataset, shuffle=True, drop_last=True, **settings)


def _timm_loader(data: JerseyDataModule, crops: int, device: torch.device, settings: dict[str, Any]) -> Any:
    """Returns timm's loader of its dataset and transforms, which prefetches to the GPU and normalizes there."""
    from timm.data import ImageDataset, create_loader

    dataset = ImageDataset(str(data.root / "train"))
    dataset.reader.samples = _evenly_spaced(dataset.reader.samples, crops)
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


def _evenly_spaced(samples: list[Any], count: int) -> list[Any]:
    """Returns `count` evenly spaced samples of the folder; repeats them if it has fewer."""
    return [samples[round(index * len(samples) / count) % len(samples)] for index in range(count)]
