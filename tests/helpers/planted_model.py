"""An exported file with known predictions, without training: red encodes the number, green the confidence.

A crop of one color (red, green, any blue) gets the logits -(red / STEP - i)^2 * green / 100 over the numbers i. So red
`STEP * i` predicts number i, and with green 0 all numbers are equally likely.

Shapes: h w any size, K numbers.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from jersey.core.labels import Labels
from jersey.core.model_file import with_checksum
from jersey.inference.onnx_model import FORMAT_VERSION

STEP = 2
LABELS = ("0", "00", "01", "10", "23")
OPEN_NUMBERS = (*LABELS, "5", "05", "50", "77")
THRESHOLDS = {0.95: 0.5, 0.98: 0.8, 0.99: None}


def crop_of(
    number: str, *, certainty: int = 255, size_px: tuple[int, int] = (4, 6), numbers: Sequence[str] = OPEN_NUMBERS
) -> np.ndarray:
    """Returns a crop, uint8 [h,w,3], with a prediction of this number."""
    return np.full((*size_px, 3), (STEP * list(numbers).index(number), certainty, 7), np.uint8)


def textured_crop(number: str, seed: int, *, certainty: int = 255, shift_px: int = 0, side_px: int = 64) -> np.ndarray:
    """Returns such a crop with smooth noise in blue, which the model ignores, so that every seed is another image."""
    crop_hw3 = crop_of(number, certainty=certainty, size_px=(side_px, side_px))
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8))
    smooth_hw = np.asarray(coarse.resize((side_px, side_px), Image.Resampling.BICUBIC))
    crop_hw3[:, :, 2] = np.roll(smooth_hw, shift_px, axis=1)
    return crop_hw3


def file_of(path: Path, number: str, **options: int) -> Path:
    """Writes such a crop to an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(crop_of(number, **options)).save(path)
    return path


def expected(number: str, *, certainty: int = 255, numbers: Sequence[str] = LABELS) -> np.ndarray:
    """Returns the probabilities [K] of such a crop."""
    distance_K = np.arange(len(numbers)) - list(OPEN_NUMBERS).index(number)
    p_K = np.exp(-(distance_K.astype(np.float64) ** 2) * certainty / 100)
    return p_K / p_K.sum()


def planted_model(path: Path, *, labels: Sequence[str] = LABELS, is_open_vocabulary: bool = True, **more: str) -> Path:
    """Writes the file; `more` metadata replace the default ones or are added to them."""
    label_map = Labels(tuple(labels))
    metadata = {
        "format_version": FORMAT_VERSION,
        "labels_mapping": label_map.to_json(),
        "labels_sha256": label_map.sha256,
        "calibration": json.dumps({"temperature": 1.0, "crops": 100}),
        "thresholds": json.dumps([_threshold(*each) for each in THRESHOLDS.items()]),
        **({"vocabulary": json.dumps(OPEN_NUMBERS)} if is_open_vocabulary else {}),
    }
    path.write_bytes(with_checksum(_model(len(labels), is_open_vocabulary, metadata | more).SerializeToString()))
    return path


def _threshold(precision: float, confidence: float | None) -> dict[str, float | None]:
    return {
        "precision": precision,
        "confidence": confidence,
        "val_coverage": 0.9,
        "test_precision": precision,
        "test_coverage": 0.9,
    }


def _model(classes: int, is_open_vocabulary: bool, metadata: dict[str, str]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["input"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["color"], keepdims=0),
        helper.make_node("Split", ["color"], ["red", "green", "blue"], axis=1, num_outputs=3),
        helper.make_node("Div", ["red", "step"], ["place"]),
        helper.make_node("Div", ["green", "minus_hundred"], ["slope"]),
        *_scores("numbers", "logits"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
        helper.make_tensor("step", TensorProto.FLOAT, [], [STEP]),
        helper.make_tensor("minus_hundred", TensorProto.FLOAT, [], [-100]),
        helper.make_tensor("numbers", TensorProto.FLOAT, [1, classes], range(classes)),
    ]
    outputs = {"logits": classes, "probabilities": classes}
    if is_open_vocabulary:
        nodes += [
            *_scores("all", "open_vocabulary_logits"),
            helper.make_node("Softmax", ["open_vocabulary_logits"], ["open_vocabulary_probabilities"]),
        ]
        constants += [helper.make_tensor("all", TensorProto.FLOAT, [1, len(OPEN_NUMBERS)], range(len(OPEN_NUMBERS)))]
        outputs["open_vocabulary_probabilities"] = len(OPEN_NUMBERS)
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count]) for name, count in outputs.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    return model


def _scores(numbers: str, output: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Sub", ["place", numbers], [f"{output} distance"]),
        helper.make_node("Mul", [f"{output} distance"] * 2, [f"{output} square"]),
        helper.make_node("Mul", [f"{output} square", "slope"], [output]),
    ]
