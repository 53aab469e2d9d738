"""The exported graph: the network behind the resize and in front of the softmax, and its metadata.

Shapes: B crops, h w any size, H W the network's input size, K classes.
"""

import copy
import json
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jersey.core.labels import Labels
from jersey.data.resize import ResizeMode, resize
from jersey.inference.onnx_model import FORMAT_VERSION
from jersey.models.network import Network
from jersey.models.parts import NUMBERS

OUTPUTS = ("logits", "probabilities", "open_vocabulary_probabilities")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What surrounds the network in an exported graph.

    Attributes:
        size_px: height and width of the network's input.
        resize_mode: how crops are brought to that size.
        temperature: divisor of the logits before the softmax, see `jersey.evaluation.calibration`.
        frame_correlation: of a tracklet's frames, see `jersey.inference.tracklet`; None where it is not known.
        is_static: takes crops of `size_px` only: the resize is left to the consumer, and so is the open vocabulary.
            For runtimes that cannot take any size: OpenCV 4 is one.
        is_half: computes in float16: half the file. Made for GPUs; a CPU mostly lacks the arithmetic and is slower.
    """

    labels: Labels
    size_px: tuple[int, int]
    resize_mode: ResizeMode
    temperature: float = 1.0
    frame_correlation: float | None = None
    is_static: bool = False
    is_half: bool = False


class ExportModule(nn.Module):
    """The graph to export, a copy of a network on the CPU: uint8 crops [B,3,h,w] of any size to `OUTPUTS`."""

    def __init__(self, network: Network, settings: ExportSettings) -> None:
        super().__init__()
        copied = copy.deepcopy(network).cpu().float()
        copied = copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.network = copied.half_precision() if settings.is_half else copied
        self.settings = settings
        self.has_open_vocabulary = network.has_open_vocabulary and not settings.is_static
        self.eval()

    def changed(self, **settings: Any) -> "ExportModule":
        """The same with other settings."""
        return ExportModule(self.network, replace(self.settings, **settings))

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # the parameter's name is the graph's input name
        if not self.settings.is_static:
            height_px, width_px = self.settings.size_px
            input = resize(input, height_px=height_px, width_px=width_px, mode=self.settings.resize_mode)
        # Not `features`: channels-last is for speed in torch, and would put detours into the graph.
        features_BD = self.network.backbone(self.network.normalize(input))
        logits_BK = self.network.head(features_BD).float()
        outputs = [logits_BK, (logits_BK / self.settings.temperature).softmax(dim=1)]
        if self.has_open_vocabulary:
            open_BN = self.network.open_vocabulary_logits_of_features(features_BD).float()
            outputs.append((open_BN / self.settings.temperature).softmax(dim=1))
        return tuple(outputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Their names, in order."""
        return OUTPUTS if self.has_open_vocabulary else OUTPUTS[:2]

    @property
    def facts(self) -> dict[str, str]:
        """The metadata that a reader of the file needs."""
        settings = self.settings
        height_px, width_px = settings.size_px
        calibration = {"temperature": settings.temperature, "frame_correlation": settings.frame_correlation}
        return {
            "format_version": FORMAT_VERSION,
            "labels_mapping": settings.labels.to_json(),
            "labels_sha256": settings.labels.sha256,
            "input_height_px": str(height_px),
            "input_width_px": str(width_px),
            "resize_mode": settings.resize_mode,
            "calibration": json.dumps(calibration),
            **({"vocabulary": json.dumps(NUMBERS)} if self.has_open_vocabulary else {}),
        }
