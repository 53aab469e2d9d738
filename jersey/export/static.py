"""model.onnx for crops of one size, for runtimes that cannot take any: OpenCV 4 is one.

The fit is left to the consumer, who can get it wrong, and open reading is left out.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from jersey.export.export_module import DeployedNetwork
from jersey.export.onnx_file import write_onnx


class FixedSizeNetwork(DeployedNetwork):
    """A deployed network without the fit: uint8 [B,3,H,W] of its own size."""

    def fitted(self, images_BChw: Tensor) -> Tensor:
        return images_BChw

    @property
    def dynamic_axes(self) -> dict[int, str]:
        return {0: "batch"}

    @property
    def _reads_open(self) -> bool:
        return False


def write_fixed(deployed: DeployedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the file unchecked."""
    fixed = FixedSizeNetwork(
        deployed.network,
        labels=deployed.labels,
        size_px=deployed.size_px,
        fit_mode=deployed.fit_mode,
        temperature=deployed.temperature,
    )
    write_onnx(fixed.eval(), path, metadata)
