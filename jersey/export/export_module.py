"""What leaves: the network with the fit in front of it, probabilities behind it, and what a reader has to know of it.

Shapes: B crops, h w any size, H W the network's input size, D features, K classes.
"""

import copy
import json

import numpy as np
import torch
from torch import Tensor, nn

from jersey.core.labels import Labels
from jersey.data.resize import FitMode, fit
from jersey.inference.onnx_model import CONTRACT
from jersey.models.heads import CompositionalHead
from jersey.models.parts import NUMBERS

OUTPUTS = ("logits", "probabilities", "open_probabilities")


class DeployedNetwork(nn.Module):
    """The network with the fit in front and probabilities behind: uint8 [B,3,h,w] of any size to `OUTPUTS`.

    Args:
        network: a `jersey.models.network.Network`.
        labels: the label map.
        size_px: height and width that the network takes.
        fit_mode: how crops are brought to that size.
        temperature: what logits are divided by before they become probabilities (`jersey.evaluation.calibration`);
            to be set later, as `frame_correlation`, which `jersey.inference.tracklet` takes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        labels: Labels,
        size_px: tuple[int, int],
        fit_mode: FitMode,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.labels = labels
        self.size_px = size_px
        self.fit_mode: FitMode = fit_mode
        self.temperature = temperature
        self.frame_correlation: float | None = None

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # the parameter's name is the graph's input name
        pixels_BCHW = self.network.get_submodule("normalise")(self.fitted(input))
        features_BD = self.network.get_submodule("backbone")(pixels_BCHW.to(self.dtype))
        logits_BK = self._head(features_BD).float()
        outputs = [logits_BK, (logits_BK / self.temperature).softmax(dim=1)]
        if isinstance(self._head, CompositionalHead) and self._reads_open:
            outputs.append((self._head.open_logits(features_BD).float() / self.temperature).softmax(dim=1))
        return tuple(outputs)

    def fitted(self, images_BChw: Tensor) -> Tensor:
        """Crops as the network takes them, uint8 [B,3,H,W]."""
        height_px, width_px = self.size_px
        return fit(images_BChw, height_px=height_px, width_px=width_px, mode=self.fit_mode)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Their names, in order."""
        return OUTPUTS if self._reads_open else OUTPUTS[:2]

    @property
    def facts(self) -> dict[str, str]:
        """What a reader of the file has to know of it."""
        height_px, width_px = self.size_px
        return {
            "contract": CONTRACT,
            "labels_mapping": self.labels.to_json(),
            "labels_sha256": self.labels.sha256,
            "input_height_px": str(height_px),
            "input_width_px": str(width_px),
            "fit_mode": self.fit_mode,
            "calibration": json.dumps({"temperature": self.temperature, "frame_correlation": self.frame_correlation}),
            **({"open_numbers": json.dumps(NUMBERS)} if self._reads_open else {}),
        }

    @property
    def dynamic_axes(self) -> dict[int, str]:
        """The axes of the input that may have any size, with their names."""
        return {0: "batch", 2: "height", 3: "width"}

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.network.get_submodule("backbone").parameters()).dtype

    @property
    def _head(self) -> nn.Module:
        return self.network.get_submodule("head")

    @property
    def _reads_open(self) -> bool:
        return isinstance(self._head, CompositionalHead)


def deployed_copy(
    network: nn.Module, *, labels: Labels, size_px: tuple[int, int], fit_mode: FitMode
) -> DeployedNetwork:
    """The network as it is shipped; the one that is given stays as it is."""
    # Channels-last is for speed in torch, and would put detours into the graph.
    copied = copy.deepcopy(network).cpu().float().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return DeployedNetwork(copied, labels=labels, size_px=size_px, fit_mode=fit_mode).eval()


def torch_logits(deployed: DeployedNetwork, crops_NCHW: Tensor) -> np.ndarray:
    """What torch says of fitted crops, [N,K]."""
    with torch.inference_mode():
        return torch.cat([deployed.network(part) for part in crops_NCHW.split(64)]).numpy()
