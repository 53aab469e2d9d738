"""A real exported file of a tiny network, for tests of its readers."""

from pathlib import Path

import torch
from helpers.small_run import small_network
from torch import nn

from jersey.core.labels import Labels
from jersey.evaluation.calibration import Predictions, calibrate
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.onnx_file import write_onnx
from jersey.models.heads import CompositionalHead
from jersey.models.network import Network

LABELS = Labels(("0", "00", "01", "10", "23"))
SIZE_PX = (32, 32)
TEMPERATURE = 0.5


def tiny_model(folder: Path, *, is_open_vocabulary: bool = True, seed: int = 0) -> Path:
    """Exports `model.onnx` with random weights and thresholds for invented predictions, which never reach 0.99."""
    torch.manual_seed(seed)
    network = small_network(labels=LABELS)
    if is_open_vocabulary:
        network.head = CompositionalHead(features=8, labels=LABELS)
        torch.nn.init.normal_(network.head.parts.weight)
    network(torch.randint(0, 256, (16, 3, *SIZE_PX)))  # statistics for batch normalization
    settings = ExportSettings(labels=LABELS, size_px=SIZE_PX, resize_mode="stretch", temperature=TEMPERATURE)
    metadata = {"experiment": "tiny", **calibrate(_correct_predictions(60), _correct_predictions(60)).metadata}
    write_onnx(ExportModule(network, settings), folder / "model.onnx", metadata)
    return folder / "model.onnx"


def wide_model(path: Path, *, seed: int = 0, offset: float = 0.0, labels: Labels = LABELS) -> Path:
    """Exports a network with random weights, most of them in large tensors; `offset` is added to those of its head."""
    torch.manual_seed(seed)
    convolutions = nn.Conv2d(3, 64, 5, stride=4), nn.ReLU(), nn.Conv2d(64, 256, 3, stride=2), nn.ReLU()
    backbone = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(2), nn.Flatten())
    network = Network(backbone, nn.Linear(1024, len(labels)))
    with torch.no_grad():
        network.head.weight.mul_(100).add_(offset)  # numbers without training differ little
    settings = ExportSettings(labels=labels, size_px=SIZE_PX, resize_mode="stretch", temperature=TEMPERATURE)
    metadata = {"experiment": "wide", **calibrate(_correct_predictions(60), _correct_predictions(60)).metadata}
    write_onnx(ExportModule(network, settings), path, metadata)
    return path


def _correct_predictions(crops: int) -> Predictions:
    """Returns predictions that are all correct, with increasing confidence."""
    labels_N = torch.arange(crops) % len(LABELS)
    logits_NK = torch.nn.functional.one_hot(labels_N).double() * torch.linspace(1, 6, crops)[:, None]
    return Predictions(logits_NK.numpy(), labels_N.numpy())
