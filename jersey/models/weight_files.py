"""Reads weights from files of jersey and of other projects; weights are data, and nothing is unpickled.

Formats: jersey's checkpoints and ONNX files, checkpoints of Lightning, state dicts of torchvision and timm (whose
ResNets have the same names), also inside a training checkpoint, and safetensors.

The architecture of weights is recognized by their names and shapes, that of the config or a ResNet.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError, shorten
from jersey.core.labels import Labels
from jersey.core.model_file import READER
from jersey.models.backbones import RESNETS, build_backbone, pretrained_url
from jersey.models.folding import read_onnx
from jersey.runs.checkpoints import load_tensors, require_known_format
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
_COUNTER = "num_batches_tracked"

State = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """Weights from a file.

    Attributes:
        name: value of `module.network.weights`.
        architecture: name of the backbone whose weights they are.
        backbone: weights of the backbone, by the names of its library.
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


def read_weights(weights: str, *, architecture: str, backbone: nn.Module) -> Source:
    """Reads weights.

    Args:
        weights: "imagenet", "reader", or the path of a run folder or file.
        architecture: name of the backbone of the config.
        backbone: that backbone.

    Raises:
        UserError: the file cannot be read, or has neither weights of this backbone nor of a ResNet.
    """
    if weights == "imagenet":
        return Source(weights, architecture, _download(architecture), {}, None, {}, None)
    readers = {".onnx": read_onnx, ".safetensors": _read_safetensors}
    file = _file_of(weights)
    try:
        return _source(weights, *readers.get(file.suffix, _read_torch)(file), (architecture, backbone))
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
    if not path.is_dir() and not path.is_file():
        raise UserError(f"module.network.weights={weights} is not a file, but a device or a pipe; give {choices}")
    return path / BEST_CHECKPOINT if path.is_dir() else path


def _source(
    weights: str, state: State, settings: Mapping[str, Any], labels: Labels | None, config: tuple[str, nn.Module]
) -> Source:
    """Returns the weights of a backbone in a state dict, under any prefix, and of jersey's head beside it."""
    architecture, prefix, names = _recognized(state, settings.get("architecture"), *config)
    backbone = {name: state[f"{prefix}{name}"] for name in names}
    head = _below(f"{prefix.removesuffix('backbone.')}head.", state) if labels else {}
    if not all(value.isfinite().all() for value in (*backbone.values(), *head.values())):
        raise UserError("it contains values that are not finite; give the weights of an earlier epoch")
    recorded = {name: str(settings[name]) for name in ("stem", "normalization") if name in settings}
    height_px, width_px = settings.get("size_px", (0, 0))
    size_px = (int(height_px), int(width_px)) if height_px else None
    return Source(weights, architecture, backbone, head, labels, recorded, size_px)


def _recognized(state: State, recorded: object, here: str, backbone: nn.Module) -> tuple[str, str, list[str]]:
    """Returns the architecture of the weights, their prefix and their names.

    Args:
        state: state dict of a file.
        recorded: architecture that the file records; None if it records none.
        here: architecture of the config.
        backbone: backbone of the config.
    """
    if recorded not in (None, here, *RESNETS):
        there = shorten(str(recorded))
        raise UserError(
            f"it has the weights of a network with architecture={there}, and the config has {here}; set "
            f"module.network.architecture={there}, or choose other weights"
        )
    known = tuple(dict.fromkeys((here, *RESNETS)))
    for architecture in known:
        shapes = _shapes(backbone if architecture == here else _empty(architecture))
        first = next(iter(shapes))
        for prefix in (name.removesuffix(first) for name in state if name.endswith(first)):
            if _has_backbone(_below(prefix, state), shapes):
                return architecture, prefix, list(shapes)
    raise UserError(f"it contains a network that is none of {', '.join(known)}, or a part of one; give {FORMATS}")


def _has_backbone(state: State, shapes: Mapping[str, torch.Size]) -> bool:
    """Whether a state dict has all weights of a backbone, and in the same submodules at most those of one classifier.

    A ResNet-34 has all weights of a ResNet-18, and more in each stage.
    """
    if any(name not in state or state[name].shape != shape for name, shape in shapes.items()):
        return False
    submodules = {name.partition(".")[0] for name in shapes}
    more = {name for name in state if name.partition(".")[0] in submodules and not name.endswith(_COUNTER)} - {*shapes}
    return len({name.rpartition(".")[0] for name in more}) <= 1


def _below(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _empty(architecture: str) -> nn.Module:
    with torch.device("meta"):
        return build_backbone(architecture)[0]


def _shapes(backbone: nn.Module) -> dict[str, torch.Size]:
    """Returns the shapes of the weights; nothing reads the counters of batches, which not every file has."""
    return {name: value.shape for name, value in backbone.state_dict().items() if not name.endswith(_COUNTER)}


def _download(architecture: str) -> State:
    try:
        return dict(build_backbone(architecture, pretrained=True)[0].state_dict())
    except UserError:
        raise
    except Exception as error:  # no network, a wrong hash, a damaged file in the cache, or no such weights
        address = pretrained_url(architecture)
        by_file = f"download {address} on a machine with a network and set module.network.weights=/path/to/"
        raise UserError(
            f"cannot download the ImageNet weights of {architecture} ({_reason(error)}); "
            f"{by_file + Path(address).name + ', or ' if address else ''}train from scratch with "
            "module.network.weights=None"
        ) from None


def _read_torch(path: Path) -> tuple[State, Mapping[str, Any], Labels | None]:
    """Reads a checkpoint or a state dict; in jersey's checkpoints `state_dict` has the EMA weights if they exist."""
    # The training scripts of timm and torchvision also save their arguments, in this class, which only holds values.
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = load_tensors(path, device="cpu")
    if not isinstance(content, dict):
        raise UserError(f"it contains no state dict; give {FORMATS}")
    state = next((content[name] for name in NESTED if isinstance(content.get(name), dict)), content)
    state = {str(name): value for name, value in state.items() if isinstance(value, Tensor) and _is_dense(value)}
    recorded = content.get("jersey")
    if not isinstance(recorded, dict):
        return state, {}, None
    require_known_format(recorded, path)
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
        return "it is damaged, or holds more than tensors in torch's pickle protocol 2; nothing else is unpickled"
    if isinstance(error, OSError) and str(error):
        return error.strerror or str(error).splitlines()[0]
    return "it is damaged, or is not a file of the format that its name ends with"
