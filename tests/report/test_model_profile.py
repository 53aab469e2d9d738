"""The profile of a network whose parameters can be counted by hand, and of a real exported file."""

import json
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from jersey.core.labels import Labels
from jersey.core.model_file import with_checksum
from jersey.inference.onnx_model import FORMAT_VERSION
from jersey.models.network import Network
from jersey.report.model_profile import flops, parameter_counts, profile_model, profile_rows

SIZE_PX = (12, 8)


@pytest.fixture
def network() -> Network:
    """A padded 3x3 convolution to 4 channels, average pooling, and 5 classes."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(backbone, nn.Linear(4, 5)).train()


def test_parameters_by_part(network: Network) -> None:
    network.backbone.requires_grad_(False)
    in_backbone, in_head = 4 * 3 * 3 * 3 + 4, 4 * 5 + 5
    assert parameter_counts(network) == {
        "all": in_backbone + in_head,
        "trainable": in_head,
        "backbone": in_backbone,
        "head": in_head,
    }


def test_a_multiply_add_counts_two(network: Network) -> None:
    height, width = SIZE_PX
    multiply_adds = height * width * 4 * (3 * 3 * 3) + 4 * 5
    assert flops(network, torch.zeros(1, 3, height, width)) == 2 * multiply_adds


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A checkpoint of zeros, and an ONNX file that computes the mean of each channel."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["logits"], keepdims=0),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "means",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 3, *SIZE_PX])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("logits", "probabilities")],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    labels = Labels(("0", "00", "1"))
    metadata = {"format_version": FORMAT_VERSION, "labels_mapping": labels.to_json(), "labels_sha256": labels.sha256}
    helper.set_model_props(model, metadata)
    paths = {"onnx": tmp_path / "model.onnx", "checkpoint": tmp_path / "best.ckpt"}
    paths["onnx"].write_bytes(with_checksum(model.SerializeToString()))
    paths["checkpoint"].write_bytes(bytes(1234))
    return paths


def test_the_profile_of_a_real_file_and_its_table(network: Network, files: dict[str, Path]) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    info = profile_model(network, size_px=SIZE_PX, device=torch.device("cpu"), budget_s=0.02, **files)
    assert info["checkpoint_bytes"] == 1234
    assert info["onnx_bytes"] == len(files["onnx"].read_bytes())
    assert info["flops"] == flops(network, torch.zeros(1, 3, *SIZE_PX))
    assert info["input_px"] == list(SIZE_PX)
    assert 10e6 < info["peak_memory"]["bytes"] < 100e9, "torch alone takes 100 MB"
    for speed in (info["torch"], info["onnxruntime"]):
        assert speed["device"]
        assert speed["threads"]
        assert 0 < speed["latency_ms"] < 10_000
        assert speed["crops_per_s"] > 0
    assert json.loads(json.dumps(info)) == info
    info["torch"] |= {"latency_ms": 12.34, "crops_per_s": 4321.0, "batch_size": 7, "threads": 3, "device": "abacus"}
    table = dict(profile_rows(info))
    assert table["parameters"] == "137 (backbone 112, head 25), all of them trainable"
    assert "8 x 12 px" in table["compute"]
    assert table["torch"] == "12.3 ms for one crop, 4,321 crops/s in batches of 7; abacus, CPU threads: 3"
    assert set(table) == {"parameters", "compute", "files", "peak memory", "torch", "onnxruntime"}
    assert network.training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
