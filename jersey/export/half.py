"""model.onnx in float16: half the file. Made for GPUs; a CPU mostly lacks the arithmetic and is slower with it.

The fit and the normalisation stay in float32, as pixels of 0 to 255 between float16's steps would round otherwise than
they did in training.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from jersey.export.onnx_file import DeployedNetwork, write_onnx


class HalfNetwork(nn.Module):
    """A network in float16, from float32 pixels to float32 logits.

    Args:
        network: a `jersey.models.network.Network`; its backbone and head are converted in place.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.normalise = network.get_submodule("normalise")
        self.backbone = network.get_submodule("backbone").half()
        self.head = network.get_submodule("head").half()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        pixels_BCHW = self.normalise(images_BCHW).half().contiguous(memory_format=torch.channels_last)
        return self.head(self.backbone(pixels_BCHW)).float()


def write_fp16(deployed: DeployedNetwork, path: Path, facts: Mapping[str, str]) -> None:
    """Writes the file unchecked; `deployed` is not changed."""
    half = HalfNetwork(copy.deepcopy(deployed.network))
    write_onnx(DeployedNetwork(half, size_px=deployed.size_px, fit_mode=deployed.fit_mode).eval(), path, facts)
