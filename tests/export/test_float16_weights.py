"""float16 weights halve the file, and everything else of it stays."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers.exported import wide_model
from onnx import TensorProto
from PIL import Image

from jersey.core.errors import UserError
from jersey.export.float16_weights import MIN_ELEMENTS, Agreement, compare, write_float16_weights
from jersey.inference.onnx_model import OnnxModel


@pytest.fixture
def crops(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{index}.png" for index in range(12)]
    for index, file in enumerate(files):
        Image.fromarray(rng.integers(0, 256, (30 + index, 20, 3), dtype=np.uint8)).save(file)
    return files


@pytest.fixture
def float32(tmp_path: Path) -> Path:
    return wide_model(tmp_path / "model.onnx")


def test_the_file_is_half_as_large_with_the_same_interface_and_its_own_checksum(float32: Path, tmp_path: Path) -> None:
    write_float16_weights(float32, tmp_path / "half.onnx")
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * float32.stat().st_size
    one, other = OnnxModel(float32), OnnxModel(tmp_path / "half.onnx")  # which verifies the checksum
    assert (other.metadata, other.labels) == (one.metadata, one.labels)
    assert b".py" in float32.read_bytes()  # in the exporter's notes
    assert b".py" not in (tmp_path / "half.onnx").read_bytes()
    graphs = [onnx.load(path).graph for path in (float32, tmp_path / "half.onnx")]
    assert graphs[0].input == graphs[1].input
    assert graphs[0].output == graphs[1].output


def test_large_weights_keep_their_names_and_their_values_are_rounded(float32: Path, tmp_path: Path) -> None:
    write_float16_weights(float32, tmp_path / "half.onnx")
    originals, tensors = (
        {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
        for path in (float32, tmp_path / "half.onnx")
    )
    assert originals.keys() == tensors.keys()
    halved = {name for name, tensor in tensors.items() if tensor.data_type == TensorProto.FLOAT16}
    large = {name for name, tensor in originals.items() if np.prod(tensor.dims) >= MIN_ELEMENTS}
    assert halved == large != set(tensors)
    for name, tensor in originals.items():
        array = onnx.numpy_helper.to_array(tensor)
        expected = torch.tensor(array).half().numpy() if name in large else array
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensors[name]), expected)


def test_the_agreement_is_that_of_the_probabilities(float32: Path, tmp_path: Path, crops: list[Path]) -> None:
    assert compare(float32, float32, crops) == Agreement(len(crops), 1.0, 0.0)
    write_float16_weights(float32, tmp_path / "half.onnx")
    rounded = compare(float32, tmp_path / "half.onnx", crops)
    assert rounded.agreement == 1
    assert 0 < rounded.max_difference < 0.01
    another = compare(float32, wide_model(tmp_path / "another.onnx", seed=1), crops)
    assert another.agreement < 1
    assert another.max_difference > rounded.max_difference


def test_a_foreign_file_and_a_bad_crop_are_user_errors(float32: Path, tmp_path: Path, crops: list[Path]) -> None:
    crops[3].write_bytes(b"no image")
    with pytest.raises(UserError, match=r"3\.png is not an image"):
        compare(float32, float32, crops)
    with pytest.raises(UserError, match="is not a model that jersey has exported"):
        write_float16_weights(crops[0], tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()
