"""model.onnx with its convolutions in integers of 8 bits: a quarter of the file, and faster where the CPU has them.

From the first convolution to the last; what is before (the fit, the normalization) and behind (the head) stays float,
since a logit in 8 bits is too coarse to tell the best from the next. Static: the range of every activation is read off
real crops beforehand. Ranges found anew for each batch would make an answer depend on what else is in the batch.

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

BATCH = 32
QUANTIZED = ("Conv", "Relu", "Add", "MaxPool")


def write_int8(source: Path, path: Path, facts: Mapping[str, str], *, calibration_NCHW: np.ndarray) -> None:
    """Writes `path` unchecked, from the float32 file; uint8, fitted crops show how far activations reach."""
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
            # 7 bits of the weights: with 8, sums overflow on x86 CPUs without VNNI, and answers depend on the CPU.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        save_with_metadata(onnx.load(quantized), path, facts)


def convolutional_part(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes from the first convolution to the last; ValueError where there is none."""
    places = [place for place, node in enumerate(graph.node) if node.op_type == "Conv"]
    if not places:
        raise ValueError("the network has no convolution")
    return [node.name for node in graph.node[places[0] : places[-1] + 1]]


class _Crops(CalibrationDataReader):
    def __init__(self, crops_NCHW: np.ndarray) -> None:
        self._batches = (crops_NCHW[start : start + BATCH] for start in range(0, len(crops_NCHW), BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}
