"""The export gate: a file that disagrees with torch is refused and leaves nothing behind."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers.small_run import small_network
from PIL import Image

from jersey.core.labels import Labels
from jersey.export import (
    Agreement,
    ExportError,
    ExportModule,
    ExportSettings,
    Reference,
    export_copy,
    export_onnx,
    onnx_file,
    torch_logits,
)
from jersey.export.onnx_file import write_onnx
from jersey.inference.onnx_model import OnnxModel
from jersey.models.network import Network

SIZE_PX = (32, 48)
LABELS = Labels(("0", "00", "01"))
TEMPERATURE = 1.5


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    network = small_network(labels=LABELS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for _ in range(3):  # so that batch normalisation has statistics to fold
        network(torch.randint(0, 256, (8, 3, *SIZE_PX)))
    return network


@pytest.fixture
def crops(tmp_path: Path) -> tuple[torch.Tensor, list[Path]]:
    """Five crops as files of other sizes than the network's, and fitted by Pillow-free means of the data path."""
    from jersey.data.datamodule import JerseyDataModule

    rng = np.random.default_rng(0)
    for index in range(15):
        path = tmp_path / "crops" / ("train", "val", "test")[index % 3] / LABELS.names[index // 5] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (60 + index, 41, 3), dtype=np.uint8)).save(path)
    data = JerseyDataModule(str(tmp_path / "crops"), seed=0, size_px=SIZE_PX, fit_mode="letterbox")
    data.setup()
    return data.decoded["val"].images_NCHW, list(data.splits["val"].paths)


def run_export(network: Network, path: Path, crops: tuple[torch.Tensor, list[Path]]) -> Agreement:
    images_NCHW, files = crops
    settings = ExportSettings(labels=LABELS, size_px=SIZE_PX, fit_mode="letterbox", temperature=TEMPERATURE)
    module = ExportModule(export_copy(network), settings)
    labels_N = torch.zeros(len(files), dtype=torch.long)
    reference = Reference(images_NCHW, labels_N, files, torch_logits(module.network, images_NCHW))
    return export_onnx(module, path, reference=reference, metadata={"experiment": "test"})


def test_one_checked_file_with_names_shapes_and_facts(
    network: Network, crops: tuple[torch.Tensor, list[Path]], tmp_path: Path
) -> None:
    before = copy.deepcopy(network.state_dict())
    path = tmp_path / "out" / "model.onnx"
    path.parent.mkdir()
    agreement = run_export(network, path, crops)
    assert agreement.crops == 5
    assert agreement.max_logit_difference < 1e-4
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    model = onnx.load(path)
    assert [node.name for node in model.graph.input] == ["input"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1] == 3
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [node.name for node in model.graph.output] == ["logits", "probabilities"]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["labels_sha256"] == LABELS.sha256
    assert (facts["input_height_px"], facts["input_width_px"], facts["fit_mode"]) == ("32", "48", "letterbox")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_a_file_that_disagrees_is_refused_and_not_left(
    network: Network, crops: tuple[torch.Tensor, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_another_network(module: ExportModule, path: Path, facts: dict[str, str]) -> None:
        other = copy.deepcopy(module)
        for value in other.network.head.parameters():
            value.data.neg_()
        write_onnx(other, path, facts)

    monkeypatch.setattr(onnx_file, "write_onnx", write_another_network)
    path = tmp_path / "out" / "model.onnx"
    path.parent.mkdir()
    with pytest.raises(ExportError, match="disagrees with torch on"):
        run_export(network, path, crops)
    assert list(path.parent.iterdir()) == []


def test_files_that_have_gone_are_compared_as_they_were_decoded(
    network: Network, crops: tuple[torch.Tensor, list[Path]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, files = crops
    files[0].unlink()
    files[3].write_bytes(b"")
    agreement = run_export(network, tmp_path / "model.onnx", crops)
    assert (tmp_path / "model.onnx").exists()
    assert (agreement.crops, agreement.disagreements) == (5, [])
    (warning,) = (text for name, _, text in caplog.record_tuples if name.startswith("jersey"))
    assert warning.startswith("2 files")
    assert f"{files[0]} does not exist; {files[3]} is empty" in warning


def test_ties_are_listed_and_not_counted_as_disagreement(
    network: Network, crops: tuple[torch.Tensor, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tied = copy.deepcopy(network)
    with torch.no_grad():
        tied.head.weight[1], tied.head.bias[1] = tied.head.weight[0], tied.head.bias[0]
        tied.head.weight[2], tied.head.bias[2] = 0, -1000.0
    original = OnnxModel.logits

    def nudged(self: OnnxModel, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        return original(self, images_NChw, batch_size=batch_size) + np.float32([0, 5e-5, 0])

    monkeypatch.setattr(OnnxModel, "logits", nudged)
    agreement = run_export(tied, tmp_path / "model.onnx", crops)
    assert agreement.ties == [str(file) for file in crops[1]]
    assert agreement.disagreements == []


def test_probabilities_are_those_of_the_temperature(
    network: Network, crops: tuple[torch.Tensor, list[Path]], tmp_path: Path
) -> None:
    run_export(network, tmp_path / "model.onnx", crops)
    model = OnnxModel(tmp_path / "model.onnx")
    images = crops[0].numpy()
    expected_NK = torch.from_numpy(model.logits(images) / TEMPERATURE).softmax(dim=1)
    np.testing.assert_allclose(model.output("probabilities", images), expected_NK, atol=1e-6)
    assert model.temperature == TEMPERATURE
    assert model.open_numbers == ()


def test_wrong_probabilities_are_refused(
    network: Network, crops: tuple[torch.Tensor, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_colder(module: ExportModule, path: Path, facts: dict[str, str]) -> None:
        settings = replace(module.settings, temperature=module.settings.temperature / 2)
        write_onnx(ExportModule(module.network, settings), path, facts)

    monkeypatch.setattr(onnx_file, "write_onnx", write_colder)
    with pytest.raises(ExportError, match="probabilities are up to"):
        run_export(network, tmp_path / "model.onnx", crops)
    assert not (tmp_path / "model.onnx").exists()
