"""Stores the weights of a model.onnx as float16, which halves the file, and compares it with the original.

The arithmetic stays float32: a Cast node follows each weight, and onnxruntime evaluates it once, when it loads the
file. So a crop takes the same time as with float32 weights, and only the rounding of the weights changes a prediction.
The variant `fp16` differs: it also computes in float16, which most CPUs lack.

Shapes: K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from jersey.core.errors import UserError
from jersey.export.onnx_file import save_with_metadata
from jersey.inference import Predictor
from jersey.inference.onnx_model import OnnxModel

MIN_ELEMENTS = 1024  # smaller tensors, such as biases, are a thousandth of the file


@dataclass(frozen=True)
class Agreement:
    """The agreement of two files on the same crops.

    Attributes:
        crops: number of crops.
        agreement: fraction of crops with the same likeliest number.
        max_difference: max absolute difference of any probability.
    """

    crops: int
    agreement: float
    max_difference: float


def write_float16_weights(source: Path, path: Path) -> None:
    """Writes a copy of a float32 file with float16 weights, and with the same inputs, outputs and metadata.

    The initializers keep their names, and the outputs of their Cast nodes are named after them. The exporter's notes on
    the nodes are removed, as they contain paths of the machine that trained.

    Args:
        source: float32 file.
        path: file to write.

    Raises:
        UserError: the source is not a file that jersey has exported.
    """
    metadata = OnnxModel(source).metadata
    model = onnx.load(source)
    graph, casts, cast_of = model.graph, [], {}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= MIN_ELEMENTS:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
            cast_of[tensor.name] = f"{tensor.name}_float32"
            casts.append(helper.make_node("Cast", [tensor.name], [cast_of[tensor.name]], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    for node in nodes:
        node.input[:] = [cast_of.get(name, name) for name in node.input]
    for each in (graph, *nodes):
        del each.metadata_props[:]
    del graph.value_info[:]  # optional; those of the weights declare float32
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    save_with_metadata(model, path, metadata)


def compare(one: Path, other: Path, crops: Sequence[Path]) -> Agreement:
    """Compares the probabilities of two files on crops, at their original sizes.

    Args:
        one: exported file.
        other: another, with the same labels.
        crops: image files.

    Raises:
        UserError: a crop cannot be read.
    """
    same, difference = 0, 0.0
    results = (Predictor(path).probabilities(crops) for path in (one, other))
    for one_K, other_K in zip(*results, strict=True):
        if isinstance(one_K, UserError) or isinstance(other_K, UserError):
            raise one_K if isinstance(one_K, UserError) else other_K
        same += int(one_K.argmax() == other_K.argmax())
        difference = float(np.maximum(difference, np.abs(one_K - other_K).max()))  # keeps NaN
    return Agreement(len(crops), same / len(crops), difference)
