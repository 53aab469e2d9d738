"""Reads weights from files of jersey and of other projects; weights are data, and nothing is unpickled.

Formats: jersey's checkpoints and ONNX files, checkpoints of Lightning, state dicts of torchvision and timm (whose
ResNets have the same names), also inside a training checkpoint, and safetensors.
"""

import argparse
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from torchvision import models

from jersey.core.errors import UserError, shorten
from jersey.core.labels import Labels
from jersey.core.model_file import READER
from jersey.models.folding import read_onnx
from jersey.models.resnet import Architecture, resnet
from jersey.runs.folder import BEST_CHECKPOINT

FORMATS = "a run folder, a .ckpt, a model.onnx of jersey, a .safetensors, or a .pth of torchvision or timm"
NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")  # keys of the weights, EMA weights first
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
SAFE_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}

State = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """Weights from a file.

    Attributes:
        name: value of `module.network.weights`.
        architecture: name of the ResNet whose weights they are.
        backbone: weights of the backbone, by torchvision's names.
        head: weights of jersey's head; empty if another project wrote the file.
        labels: label map of the head; None if unknown.
        settings: "stem" and "normalization" of the network, as far as the file records them.
        size_px: height and width of the crops of its training; None if unknown.
    """

    name: str
    architecture: str
    backbone: State
    head: State
    labels: Labels | None
    settings: Mapping[str, str]
    size_px: tuple[int, int] | None


def read_weights(weights: str, *, architecture: Architecture) -> Source:
    """Reads weights.

    Args:
        weights: "imagenet", "reader", or the path of a run folder or file.
        architecture: architecture of the ImageNet weights.

    Raises:
        UserError: the file cannot be read, or has no weights of a ResNet that jersey knows.
    """
    if weights == "imagenet":
        return _source(weights, _download(architecture), {}, None)
    readers = {".onnx": read_onnx, ".safetensors": _read_safetensors}
    file = _file_of(weights)
    try:
        return _source(weights, *readers.get(file.suffix, _read_torch)(file))
    except UserError as error:
        sentence = str(error).replace(str(file), file.name)
        raise UserError(f"module.network.weights={weights}: {sentence}") from None
    except Exception as error:  # torch parses any text as pickle opcodes, which can raise almost any exception
        what = f"cannot read module.network.weights={weights}, because {_reason(error)}"
        raise UserError(f"{what}; give {FORMATS}") from None


def _file_of(weights: str) -> Path:
    """Returns the file with the weights: the reader, a path, or the best checkpoint of a run folder."""
    if weights == "reader":
        return READER
    path, choices = Path(weights), f"imagenet, reader, None, {FORMATS}"
    if not path.exists():
        raise UserError(f"module.network.weights={weights}: there is no such file or folder; give {choices}")
    if path.is_dir() and not (path / BEST_CHECKPOINT).is_file():
        raise UserError(f"module.network.weights={weights}: the folder has no {BEST_CHECKPOINT}; give {choices}")
    return path / BEST_CHECKPOINT if path.is_dir() else path


def _source(weights: str, state: State, settings: Mapping[str, Any], labels: Labels | None) -> Source:
    """Returns the weights of the first ResNet in a state dict, under any prefix, and of jersey's head beside it."""
    first, last = "conv1.weight", "layer4.0.conv1.weight"
    prefixes = (name.removesuffix(first) for name in state if name.endswith(first))
    prefix = next((prefix for prefix in prefixes if f"{prefix}{last}" in state), None)
    if prefix is None:
        raise UserError(f"it contains no ResNet (no weights named {last}); give {FORMATS}")
    backbone = _without_counters(_below(prefix, state))
    found = next((each for each in get_args(Architecture) if _shapes(backbone) == _shapes(_empty(each))), None)
    if found is None:
        known = ", ".join(get_args(Architecture))
        raise UserError(f"it contains a network that is none of {known}, or a part of one; give the weights of these")
    head = _below(f"{prefix.removesuffix('backbone.')}head.", state) if labels else {}
    if not all(value.isfinite().all() for value in (*backbone.values(), *head.values())):
        raise UserError("it contains values that are not finite; give the weights of an earlier epoch")
    recorded = {name: str(settings[name]) for name in ("stem", "normalization") if name in settings}
    height_px, width_px = settings.get("size_px", (0, 0))
    size_px = (int(height_px), int(width_px)) if height_px else None
    return Source(weights, found, backbone, head, labels, recorded, size_px)


def _below(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _without_counters(state: State) -> State:
    """Leaves out the classifier, and the batch counters, which nothing reads and not every file has."""
    pattern = re.compile(r"(conv1|bn1|layer\d+)\.(?!.*num_batches_tracked)")
    return {name: value for name, value in state.items() if pattern.match(name)}


def _empty(architecture: Architecture) -> State:
    with torch.device("meta"):
        return _without_counters(resnet(architecture)[0].state_dict())


def _shapes(state: State) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _download(architecture: Architecture) -> State:
    choice = models.get_model_weights(architecture).DEFAULT
    try:
        return dict(choice.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except Exception as error:  # no network, a wrong hash, or a damaged file in torch's cache (see `read_weights`)
        raise UserError(
            f"cannot download the ImageNet weights of {architecture} ({_reason(error)}); download {choice.url} on a "
            f"machine with a network and set module.network.weights=/path/to/{Path(choice.url).name}, or train "
            "from scratch with module.network.weights=None"
        ) from None


def _read_torch(path: Path) -> tuple[State, Mapping[str, Any], Labels | None]:
    """Reads a checkpoint or a state dict; in jersey's checkpoints `state_dict` has the EMA weights if they exist."""
    # The training scripts of timm and torchvision also save their arguments, in this class, which only holds values.
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise UserError(f"it contains no state dict; give {FORMATS}")
    state = next((content[name] for name in NESTED if isinstance(content.get(name), dict)), content)
    state = {str(name): value for name, value in state.items() if isinstance(value, Tensor) and _is_dense(value)}
    recorded = content.get("jersey")
    if not isinstance(recorded, dict):
        return state, {}, None
    settings = {**recorded.get("network", {}), "size_px": recorded.get("size_px", (0, 0))}
    return state, settings, Labels(tuple(recorded["labels"]))


def _is_dense(value: Tensor) -> bool:
    return value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized


def _read_safetensors(path: Path) -> tuple[State, Mapping[str, Any], None]:
    """Reads a file of https://huggingface.co/docs/safetensors: length of the header, JSON header, values."""
    content = bytearray(path.read_bytes())
    header_bytes = int.from_bytes(content[:8], "little")
    if header_bytes > min(MAX_HEADER_BYTES, len(content) - 8):
        raise UserError(f"it is incomplete, or is not a safetensors file; give {FORMATS}")
    header = json.loads(content[8 : 8 + header_bytes].decode())
    header.pop("__metadata__", None)
    start = 8 + header_bytes
    state = {}
    for name, entry in header.items():
        dtype, shape, (begin, end) = SAFE_DTYPES.get(entry["dtype"]), entry["shape"], entry["data_offsets"]
        if dtype is None:  # a ResNet has no such weights
            continue
        sizes = (*shape, begin, end, end - begin, len(content) - start - end)
        if any(type(size) is not int or size < 0 for size in sizes) or end - begin != math.prod(shape) * dtype.itemsize:
            raise UserError(f"its shape and offsets of {shorten(name)} contradict the size of the file; give {FORMATS}")
        if end > begin:  # a view, because overlapping entries would otherwise multiply the memory
            values = torch.frombuffer(content, dtype=dtype, count=math.prod(shape), offset=start + begin)
            state[name] = values.reshape(shape)
    return state, {}, None


def _reason(error: Exception) -> str:
    """Returns why a file cannot be read; the messages of parsers, such as the number 101, would explain nothing."""
    if type(error).__name__ == "UnpicklingError":
        return "it is damaged, or contains objects other than tensors, which are never unpickled"
    if isinstance(error, OSError) and str(error):
        return error.strerror or str(error).splitlines()[0]
    return "it is damaged, or is not a file of the format that its name ends with"
