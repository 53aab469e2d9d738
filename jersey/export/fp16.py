"""model.onnx in float16: half the file. Made for GPUs; a CPU mostly lacks the arithmetic and is slower with it.

The fit and the normalisation stay in float32, as pixels of 0 to 255 between float16's steps would round otherwise than
they did in training.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

from jersey.export.export_module import DeployedNetwork
from jersey.export.onnx_file import write_onnx


def write_fp16(deployed: DeployedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the file unchecked; `deployed` is not changed."""
    half = copy.deepcopy(deployed)
    half.network.get_submodule("backbone").half()
    half.network.get_submodule("head").half()
    write_onnx(half, path, metadata)
