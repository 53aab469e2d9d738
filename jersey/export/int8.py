"""Quantizes the convolutions of model.onnx to int8: a quarter of the size, and faster on CPUs with int8 arithmetic.

All nodes from the first convolution to the last are quantized. Resize, normalization and head stay float, since 8-bit
logits are too coarse to separate the best class from the second. Quantization is static: the range of each activation
is calibrated on real crops. With dynamic ranges, a prediction would depend on the other crops of its batch.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from jersey.export.onnx_file import save_with_metadata

BATCH = 32  # crops that are calibrated at once; it only limits the memory
QUANTIZED = ("Conv", "Relu", "Add", "MaxPool")  # the operators of ResNets between the first convolution and the last


def write_int8(source: Path, path: Path, metadata: Mapping[str, str], *, calibration_NCHW: np.ndarray) -> None:
    """Quantizes the float32 file `source` into the file `path`, without a parity check.

    Args:
        source: float32 file.
        path: file to write.
        metadata: all metadata of the file.
        calibration_NCHW: uint8 crops, which calibrate the ranges of the activations.
    """
    with TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            _Crops(calibration_NCHW),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            nodes_to_quantize=convolutional_part(onnx.load(prepared).graph),
            per_channel=True,
            # Weights use 7 bits: with 8, sums overflow on x86 CPUs without VNNI, and logits depend on the CPU.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        save_with_metadata(onnx.load(quantized), path, metadata)


def convolutional_part(graph: onnx.GraphProto) -> list[str]:
    """Returns the names of the nodes from the first convolution to the last; raises ValueError if there is none."""
    indices = [index for index, node in enumerate(graph.node) if node.op_type == "Conv"]
    if not indices:
        raise ValueError("the network has no convolution")
    return [node.name for node in graph.node[indices[0] : indices[-1] + 1]]


class _Crops(CalibrationDataReader):
    """Returns a batch of the crops at each call, and None at the end."""

    def __init__(self, crops_NCHW: np.ndarray) -> None:
        self._batches = (crops_NCHW[start : start + BATCH] for start in range(0, len(crops_NCHW), BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}
