"""model.onnx in float16: half the file. Made for GPUs; a CPU mostly lacks the arithmetic and is slower with it.

The fit and the normalisation stay in float32, as pixels of 0 to 255 between float16's steps would round otherwise than
they did in training.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from jersey.export.deployed import DeployedNetwork
from jersey.export.onnx_file import write_onnx


class HalfNetwork(nn.Module):
    """A network in float16, behind a normalisation in float32.

    Args:
        network: a `jersey.models.network.Network`; its backbone and head are converted in place.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.normalise = network.get_submodule("normalise")
        self.backbone = network.get_submodule("backbone").half()
        self.head = network.get_submodule("head").half()

    def features(self, images_BCHW: Tensor) -> Tensor:
        return self.backbone(self.normalise(images_BCHW).half().contiguous(memory_format=torch.channels_last))


def write_fp16(deployed: DeployedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the file unchecked; `deployed` is not changed."""
    half = copy.deepcopy(deployed)
    half.network = HalfNetwork(half.network)
    write_onnx(half, path, metadata)
