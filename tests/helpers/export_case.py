"""A small trained network, its crops, and its export."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from helpers.small_run import small_network
from PIL import Image
from torch import nn

from jersey.core.labels import Labels
from jersey.data.resize import resize
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.onnx_file import export_onnx
from jersey.export.parity import ParityResult, Reference
from jersey.models.network import Network

SIZE_PX = (32, 48)
LABELS = Labels(("0", "00", "01"))
TEMPERATURE = 1.5


class Crops:
    """Noise of three brightnesses in files of other sizes than the network's input, and the same resized."""

    def __init__(self, folder: Path, count: int = 30) -> None:
        rng = np.random.default_rng(0)
        self.labels_N = torch.arange(count) % 3
        self.files = [folder / f"{index}.png" for index in range(count)]
        for label, file in zip(self.labels_N.tolist(), self.files, strict=True):
            pixels = rng.integers(80 * label, 80 * label + 90, (40 + label, 61, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
        arrays = (torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] for file in self.files)
        height_px, width_px = SIZE_PX
        self.images_NCHW = torch.cat([resize(each, height_px=height_px, width_px=width_px) for each in arrays])

    def reference(self, module: ExportModule) -> Reference:
        return Reference.of(module.network, self.images_NCHW, self.labels_N, self.files)


def trained(crops: Crops, head: nn.Module | None = None) -> Network:
    """Trains a few steps, which are enough to distinguish the brightnesses."""
    torch.manual_seed(0)
    network = small_network(labels=LABELS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.head = head or network.head
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(crops.images_NCHW), crops.labels_N).backward()
        optimizer.step()
    return network


def module_of(network: Network) -> ExportModule:
    settings = ExportSettings(labels=LABELS, size_px=SIZE_PX, resize_mode="stretch", temperature=TEMPERATURE)
    return ExportModule(network, settings)


def export(network: Network, path: Path, crops: Crops, metadata: Mapping[str, str] | None = None) -> ParityResult:
    module = module_of(network)
    return export_onnx(module, path, reference=crops.reference(module), metadata=metadata or {"experiment": "test"})
