"""Folds batch normalization into convolutions for the export, and recovers the weights from an exported file.

Folding multiplies each convolution by `weight / sqrt(running_var + eps)` of the batch normalization after it. The
metadata of the file keep the four vectors of each, so the convolution can be divided by the same factor.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.core.model_file import read_verified
from jersey.models.backbones import RESNETS, build_backbone

SETTINGS_KEY, BATCH_NORM_KEY = "network", "batch_norm"
_VECTORS = ("weight", "bias", "running_mean", "running_var")
_MIN_FACTOR = 1e-12  # a convolution that was multiplied by less has no information left, and becomes 0


def metadata_of(backbone: nn.Module, settings: Mapping[str, str]) -> dict[str, str]:
    """Returns the metadata from which `read_onnx` recovers the weights of a ResNet.

    Args:
        backbone: backbone of the exported network.
        settings: names of its architecture, stem and normalization; empty if they are unknown.
    """
    if settings.get("architecture") not in RESNETS:
        return {SETTINGS_KEY: json.dumps(dict(settings))} if settings else {}
    state = backbone.state_dict()
    vectors = [state[f"{norm}.{vector}"] for _, norm, _ in _folded(backbone) for vector in _VECTORS]
    packed = torch.cat(vectors).float().cpu().numpy().astype("<f4").tobytes()
    return {SETTINGS_KEY: json.dumps(dict(settings)), BATCH_NORM_KEY: base64.b64encode(packed).decode()}


def fold_batch_norm(backbone: nn.Module, settings: Mapping[str, str]) -> None:
    """Folds each batch normalization in place; a backbone that is not a known ResNet is not changed.

    The exporter folds it too, but first traces its parts, which takes longer.

    Args:
        backbone: backbone in evaluation mode.
        settings: names of its architecture, stem and normalization.
    """
    if settings.get("architecture") not in RESNETS:
        return
    for convolution, norm, _ in list(_folded(backbone)):
        parts: list[Any] = [backbone.get_submodule(name) for name in (convolution, norm)]
        backbone.set_submodule(convolution, fuse_conv_bn_eval(*parts))
        backbone.set_submodule(norm, nn.Identity())


def _folded(backbone: nn.Module) -> Iterator[tuple[str, str, float]]:
    """Yields the names of each convolution and of the batch normalization after it, and the eps of the latter."""
    convolution = ""
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name
        elif isinstance(module, nn.BatchNorm2d):
            yield convolution, name, module.eps


def read_onnx(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], Labels]:
    """Reads the unfolded weights of a file that jersey has exported.

    Args:
        path: path of the file.

    Returns:
        The weights by their names in a checkpoint, float32; the recorded settings of the network, with "size_px", the
        height and width of its input; its labels.

    Raises:
        UserError: the file was changed, or lacks the weights or metadata.
    """
    import onnx  # takes 0.2 s to import

    foreign = "give the model.onnx of a run, or the .pth or .safetensors of the other project"
    model = onnx.load_model_from_string(read_verified(path, foreign=foreign))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    labels = Labels.from_json(metadata.get("labels_mapping", ""), where=f"the label map in {path}")
    settings = json.loads(metadata.get(SETTINGS_KEY, "{}"))
    if settings.get("architecture") not in RESNETS or BATCH_NORM_KEY not in metadata:
        raise UserError(
            f"{path} lacks the metadata of a ResNet, from which weights are recovered; name the folder of its run"
        )
    tensors = _float_tensors(model.graph)
    with torch.device("meta"):
        backbone, _ = build_backbone(settings["architecture"])
    head = {name: value for name, value in tensors.items() if name.startswith("network.head.")}
    settings["size_px"] = [int(metadata[f"input_{side}_px"]) for side in ("height", "width")]
    return head | _unfolded(backbone, tensors, metadata[BATCH_NORM_KEY], path), settings, labels


def _float_tensors(graph: Any) -> dict[str, Tensor]:
    """Returns the float initializers by name, also those that a Cast node restores from float16, as float32."""
    from onnx import TensorProto, numpy_helper

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    tensors = {
        each.name: torch.from_numpy(numpy_helper.to_array(each).astype(np.float32))
        for each in graph.initializer
        if each.data_type in floats
    }
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    return tensors


def _unfolded(backbone: nn.Module, tensors: Mapping[str, Tensor], packed: str, path: Path) -> dict[str, Tensor]:
    """Returns the convolutions of a checkpoint and their batch normalization from the folded convolutions."""
    folded, shapes = list(_folded(backbone)), backbone.state_dict()
    vectors = torch.from_numpy(np.frombuffer(base64.b64decode(packed), "<f4").astype(np.float32))
    sizes = [len(shapes[f"{norm}.weight"]) for _, norm, _ in folded for _ in _VECTORS]
    if len(vectors) != sum(sizes):
        raise UserError(f"{path} has a damaged metadata {BATCH_NORM_KEY!r}; export it again, or name the run folder")
    state: dict[str, Tensor] = {}
    parts = iter(vectors.split(sizes))
    for convolution, norm, eps in folded:
        name = f"network.backbone.{convolution}.weight"
        if name not in tensors:
            raise UserError(f"{path} has no float weights ({name} is missing); name the model.onnx of the run")
        values = {vector: next(parts) for vector in _VECTORS}
        state |= {f"network.backbone.{norm}.{vector}": value for vector, value in values.items()}
        factor_C = values["weight"] / (values["running_var"] + eps).sqrt()
        inverse_C = torch.where(factor_C.abs() > _MIN_FACTOR, 1 / factor_C, 0.0)
        state[name] = tensors[name] * inverse_C[:, None, None, None]
    return state
