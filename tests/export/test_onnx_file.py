"""The export gate: a file that disagrees with torch raises an error and is not written."""

import copy
import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers.export_case import LABELS, TEMPERATURE, Crops, export, module_of
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from jersey.export import onnx_file
from jersey.export.export_module import ExportModule
from jersey.export.onnx_file import ExportError, write_onnx
from jersey.export.parity import check_parity
from jersey.inference.onnx_model import OnnxModel
from jersey.models.network import Network


def test_one_file_with_input_output_names_shapes_and_metadata(network: Network, float32: Path, crops: Crops) -> None:
    assert [file.name for file in float32.parent.iterdir()] == ["model.onnx"]
    graph = onnx.load(float32).graph
    (images,) = graph.input
    assert (images.name, images.type.tensor_type.elem_type) == ("input", onnx.TensorProto.UINT8)
    shape = images.type.tensor_type.shape.dim
    assert (shape[0].dim_param, shape[1].dim_value) == ("batch", 3)
    assert [node.name for node in graph.output] == ["logits", "probabilities"] == list(module_of(network).outputs)
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    model = OnnxModel(float32)
    assert model.metadata["labels_sha256"] == LABELS.sha256
    settings = [model.metadata[name] for name in ("input_height_px", "input_width_px", "resize_mode", "experiment")]
    assert settings == ["32", "48", "stretch", "test"]
    assert network.training  # the export does not change the network
    assert (model.temperature, model.vocabulary) == (TEMPERATURE, ())
    expected_NK = torch.from_numpy(model.logits(crops.images_NCHW.numpy()) / TEMPERATURE).softmax(dim=1)
    np.testing.assert_allclose(model.output("probabilities", crops.images_NCHW.numpy()), expected_NK, atol=1e-6)


def test_an_export_leaves_no_results_in_torchs_caches(network: Network, tmp_path: Path) -> None:
    write_onnx(module_of(network), tmp_path / "model.onnx", {})
    kept = [each for each in gc.get_objects() if type(each) is ShapeEnv and each.fake_tensor_cache]
    assert kept == []


def negated(module: ExportModule) -> ExportModule:
    other = copy.deepcopy(module)
    for value in other.network.head.parameters():
        value.data.neg_()
    return other


def with_half_temperature(module: ExportModule) -> ExportModule:
    return module.changed(temperature=module.settings.temperature / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [(negated, "disagrees with torch on"), (with_half_temperature, "probabilities differ from torch's by up to")],
)
def test_a_file_that_disagrees_with_torch_is_not_written(
    network: Network,
    crops: Crops,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[ExportModule], ExportModule],
    message: str,
) -> None:
    monkeypatch.setattr(onnx_file, "write_onnx", lambda module, *rest: write_onnx(change(module), *rest))
    with pytest.raises(ExportError, match=message):
        export(network, tmp_path / "model.onnx", crops)
    assert list(tmp_path.iterdir()) == []


def test_missing_image_files_are_compared_by_their_cached_crops(
    network: Network, float32: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crops = Crops(tmp_path, count=5)
    crops.files[0].unlink()
    crops.files[3].write_bytes(b"")
    parity = check_parity(OnnxModel(float32), crops.reference(module_of(network)))
    assert (parity.crops, parity.disagreements) == (5, [])
    assert 0 < parity.max_logit_difference < 1e-4
    (warning,) = (text for name, _, text in caplog.record_tuples if name.startswith("jersey"))
    assert warning.startswith("2 files can no longer be read")
    assert f"{crops.files[0]} does not exist; {crops.files[3]} is empty" in warning


def test_ties_are_listed_and_do_not_count_as_disagreements(
    network: Network, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tied = copy.deepcopy(network)
    with torch.no_grad():
        tied.head.weight[1], tied.head.bias[1] = tied.head.weight[0], tied.head.bias[0]
        tied.head.weight[2], tied.head.bias[2] = 0, -1000.0
    original = OnnxModel.logits

    def nudged(self: OnnxModel, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        return original(self, images_NChw, batch_size=batch_size) + np.float32([0, 5e-5, 0])

    monkeypatch.setattr(OnnxModel, "logits", nudged)
    parity = export(tied, tmp_path / "model.onnx", crops)
    assert parity.ties == [str(file) for file in crops.files]
    assert parity.disagreements == []
