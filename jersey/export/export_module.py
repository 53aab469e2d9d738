"""The exported graph (resize, network, softmax) and its metadata.

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
from jersey.models import folding
from jersey.models.network import Network
from jersey.models.parts import NUMBERS

# Names of the outputs; the last exists only with an open vocabulary.
OUTPUTS = ("logits", "probabilities", "open_vocabulary_probabilities")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """The settings of the graph around the network.

    Attributes:
        labels: label map of the network.
        size_px: height and width of the network's input, in pixels.
        resize_mode: how crops are resized to that size, see `jersey.data.resize`.
        temperature: divisor of the logits before the softmax, see `jersey.evaluation.calibration`.
        frame_correlation: correlation of a tracklet's frames, see `jersey.inference.tracklet`; None if unknown.
        is_static: whether the graph only takes crops of `size_px`, without the resize and the open vocabulary; for
            runtimes without dynamic shapes, such as OpenCV 4.
        is_half: whether the network computes in float16, which halves the file; most CPUs lack this arithmetic.
    """

    labels: Labels
    size_px: tuple[int, int]
    resize_mode: ResizeMode
    temperature: float = 1.0
    frame_correlation: float | None = None
    is_static: bool = False
    is_half: bool = False


class ExportModule(nn.Module):
    """The graph to export: it maps uint8 RGB crops [B,3,h,w] of any size to `outputs`.

    Args:
        network: network to export, which is copied to the CPU and not changed.
        settings: settings of the graph around the network.
    """

    def __init__(self, network: Network, settings: ExportSettings) -> None:
        super().__init__()
        copied = copy.deepcopy(network).cpu().float()
        copied = copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.network = copied.half_precision() if settings.is_half else copied
        self.settings = settings
        self.has_open_vocabulary = network.has_open_vocabulary and not settings.is_static
        self.eval()

    def changed(self, **settings: Any) -> "ExportModule":
        """Returns a copy with some of the `ExportSettings` changed."""
        return ExportModule(self.network, replace(self.settings, **settings))

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # the parameter's name is the graph's input name
        if not self.settings.is_static:
            height_px, width_px = self.settings.size_px
            input = resize(input, height_px=height_px, width_px=width_px, mode=self.settings.resize_mode)
        # Not `features`: channels-last only speeds up torch, and would add transposes to the graph.
        features_BD = self.network.backbone(self.network.normalize(input))
        logits_BK = self.network.head(features_BD).float()
        outputs = [logits_BK, (logits_BK / self.settings.temperature).softmax(dim=1)]
        if self.has_open_vocabulary:
            open_BN = self.network.open_vocabulary_logits_of_features(features_BD).float()
            outputs.append((open_BN / self.settings.temperature).softmax(dim=1))
        return tuple(outputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return OUTPUTS if self.has_open_vocabulary else OUTPUTS[:2]

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata that a consumer of the file needs."""
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
            **folding.metadata_of(self.network.backbone, self.network.settings),
        }
