"""Weights of jersey's own runs and files: equal logits, matching rows of the head, refused settings, one log line."""

import base64
import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from helpers.small_run import fitted, tiny_data, tiny_module
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torchvision import models

from jersey.callbacks.ema import EMA
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.core.model_file import with_checksum
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.float16_weights import write_float16_weights
from jersey.export.onnx_file import write_onnx
from jersey.inference.onnx_model import OnnxModel
from jersey.models import weight_files
from jersey.models.heads import CompositionalHead, linear_head
from jersey.models.network import Network, classifier
from jersey.models.weights import skip_weights

LABELS = Labels(("0", "00", "7", "23"))
SIZE_PX = (32, 32)
SETTINGS: dict[str, Any] = {"normalization": "per_image", "stem": "small", "head": CompositionalHead}
IMAGES_BCHW = torch.randint(0, 256, (4, 3, *SIZE_PX), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def trained_network(**settings: Any) -> Network:
    """Returns a network with batch statistics, one channel of which has nearly no effect, and a head without zeros."""
    torch.manual_seed(0)
    network = classifier(labels=LABELS, weights=None, **SETTINGS | settings)
    with torch.no_grad():
        for each in network.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.weight.uniform_(-1.5, 1.5)
                each.weight[:3] = torch.tensor([0.0, 1e-20, -1e-4])
                each.bias.normal_()
        for parameter in network.head.parameters():
            parameter.normal_()
        for _ in range(3):
            network.train()(IMAGES_BCHW)
    return network.eval()


def export(network: Network, path: Path, *, is_half: bool = False) -> Path:
    settings = ExportSettings(labels=LABELS, size_px=SIZE_PX, resize_mode="stretch", is_half=is_half)
    write_onnx(ExportModule(network, settings), path, {})
    return path


@pytest.fixture(scope="module")
def network() -> Network:
    return trained_network()


@pytest.fixture(scope="module")
def exported(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(network, tmp_path_factory.mktemp("exported") / "model.onnx")


@torch.no_grad()
def logits(network: Network) -> Tensor:
    return network.eval()(IMAGES_BCHW)


def load(weights: str | Path, labels: Labels = LABELS, **settings: Any) -> Network:
    torch.manual_seed(1)
    return classifier(labels=labels, weights=str(weights), **SETTINGS | settings)


def changed(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """Writes a changed copy of a file, with a valid checksum."""
    model = onnx.load(path)
    change(model)
    copied = path.with_name("changed.onnx")
    copied.write_bytes(with_checksum(model.SerializeToString()))
    return copied


def test_an_exported_file_is_unfolded_to_the_same_network(network: Network, exported: Path) -> None:
    loaded = load(exported)
    torch.testing.assert_close(logits(loaded), logits(network), atol=1e-3, rtol=1e-4)
    own, other = network.state_dict(), loaded.state_dict()
    norms = [name for name in own if ".bn" in name or "downsample.1" in name]
    assert len(norms) == 100
    assert all(torch.equal(own[name], other[name]) for name in norms if "num_batches" not in name)
    kernel, copied = (each["backbone.layer1.0.conv2.weight"] for each in (own, other))
    torch.testing.assert_close(copied[2:], kernel[2:], atol=1e-5, rtol=1e-3)
    assert not copied[:2].any()  # batch normalization had removed them


def test_logits_change_by_rounding_alone_from_a_network_to_its_file_and_back(tmp_path: Path) -> None:
    """BUILD_NOTES.md names this test for its bounds; `pytest -s` prints the differences."""
    torch.manual_seed(0)
    network = classifier(labels=LABELS, weights=None, **SETTINGS)
    for _ in range(3):
        network.train()(IMAGES_BCHW)
    exported = export(network.eval(), tmp_path / "model.onnx")
    write_float16_weights(exported, tmp_path / "float16.onnx")
    expected_BK = logits(network)
    for file, bound in ((exported, 1e-5), (tmp_path / "float16.onnx", 5e-3)):
        difference = ((logits(load(file)) - expected_BK).abs().max() / expected_BK.abs().max()).item()
        print(f"{file.name}: {difference:.1e} of the largest logit")
        assert difference < bound


@pytest.mark.slow
def test_a_network_with_bottlenecks_and_a_linear_head_is_unfolded_too(tmp_path: Path) -> None:
    settings = {"architecture": "resnet50", "head": linear_head}
    network = trained_network(**settings)
    loaded = load(export(network, tmp_path / "model.onnx"), **settings)
    torch.testing.assert_close(logits(loaded), logits(network), atol=1e-2, rtol=1e-3)


def as_half_with_casts(model: onnx.ModelProto) -> None:
    """Stores the large weights as float16, which Cast nodes restore."""
    for tensor in list(model.graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 1000:
            values, name = numpy_helper.to_array(tensor).astype(np.float16), tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name} half"))
            model.graph.node.insert(0, helper.make_node("Cast", [f"{name} half"], [name], to=onnx.TensorProto.FLOAT))


def test_weights_in_half_precision_have_the_logits_of_their_file(exported: Path, network: Network) -> None:
    path = changed(exported, as_half_with_casts)
    model = OnnxModel(path)
    torch.testing.assert_close(logits(load(path)).numpy(), model.logits(IMAGES_BCHW.numpy()), atol=1e-3, rtol=1e-3)
    assert path.stat().st_size < 0.6 * exported.stat().st_size
    half = export(network, path.with_name("half.onnx"), is_half=True)
    torch.testing.assert_close(logits(load(half)), logits(network), atol=1, rtol=0.05)


def test_the_reader_is_the_file_of_the_package(
    exported: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "READER", exported)
    torch.testing.assert_close(logits(load("reader")), logits(network), atol=1e-3, rtol=1e-4)


@pytest.fixture(scope="module")
def run(crops_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run folder, and the content of its last checkpoint."""
    data = tiny_data(crops_root, size_px=SIZE_PX)
    module = tiny_module(data, network=partial(classifier, weights=None, **SETTINGS))
    folder = tmp_path_factory.mktemp("run")
    return folder, fitted(folder, data, module, EMA(decay=0.7), epochs=1)


def test_a_run_folder_and_its_checkpoint_have_the_ema_weights(run: tuple[Path, dict[str, Any]]) -> None:
    folder, content = run
    labels = Labels(tuple(content["jersey"]["labels"]))
    expected = classifier(labels=labels, weights=None, **SETTINGS)
    states = [content[name] for name in ("state_dict", "current_model_state")]
    ema, raw = ({name.removeprefix("network."): each for name, each in state.items()} for state in states)
    expected.load_state_dict(ema)
    for source in (folder, folder / "checkpoints" / "last.ckpt"):
        assert torch.equal(logits(load(source, labels)), logits(expected))
    expected.load_state_dict(raw)
    assert not torch.equal(logits(load(folder, labels)), logits(expected))


def line(caplog: pytest.LogCaptureFixture, weights: Path, labels: Labels = LABELS, **settings: Any) -> str:
    """Returns the one line that is logged while the weights are loaded."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "jersey"):
        load(weights, labels, **settings)
    (record,) = caplog.records
    return record.getMessage()


@pytest.mark.parametrize("head", [CompositionalHead, linear_head])
def test_rows_are_matched_by_label(head: Callable[..., nn.Module], tmp_path: Path, caplog: Any) -> None:
    network, path = trained_network(head=head), tmp_path / "weights.ckpt"
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "jersey": {"labels": LABELS.names, "network": network.settings}}, path)
    labels = Labels(("A7", "23", "5", "0"))
    loaded = load(path, labels, head=head)
    common = [("23", 1, 3), ("0", 3, 0)]
    for _, here, there in common:
        difference_B = logits(loaded)[:, here] - logits(network)[:, there]
        torch.testing.assert_close(difference_B, torch.zeros(4), atol=1e-2, rtol=0)
    if isinstance(loaded.head, CompositionalHead) and isinstance(network.head, CompositionalHead):
        torch.testing.assert_close(loaded.head.parts.weight, network.head.parts.weight)
        assert not loaded.head.holistic.weight[[0, 2]].any()  # "5" is known by its digit alone
    assert "2 of 4 rows of the labels" in line(caplog, path, labels, head=head)


def test_the_log_line_states_what_was_loaded(exported: Path, tmp_path: Path, caplog: Any) -> None:
    assert line(caplog, exported) == (
        f"weights of {exported}: the backbone (resnet18, 100 tensors); the digit parts of the head; "
        "4 of 4 rows of the labels"
    )
    assert line(caplog, exported, Labels(("8", "A7"))).endswith("; 0 of 2 rows of the labels")
    assert line(caplog, exported, head=linear_head).endswith("; nothing of the head, which is of another kind")
    torch.save(models.resnet18(weights=None).state_dict(), foreign := tmp_path / "resnet18.pth")
    assert line(caplog, foreign).endswith(
        "; nothing of the head; the file does not record its normalization, which is usually imagenet, and the config "
        "has module.network.normalization=per_image"
    )
    assert line(caplog, foreign, normalization="imagenet").endswith("; nothing of the head")


def test_the_size_of_the_training_crops_is_known_of_runs_and_files_of_jersey(
    run: tuple[Path, dict[str, Any]], exported: Path, tmp_path: Path
) -> None:
    torch.save(models.resnet18(weights=None).state_dict(), foreign := tmp_path / "resnet18.pth")
    sizes = [load(weights).pretrained_size_px for weights in (run[0], exported, foreign)]
    assert sizes == [SIZE_PX, SIZE_PX, None]
    with skip_weights():
        assert load(exported).pretrained_size_px is None


@pytest.mark.parametrize("kind", ["run", "file"])
@pytest.mark.parametrize(("name", "value"), [("stem", "imagenet"), ("normalization", "imagenet")])
def test_another_stem_or_normalization_is_refused_with_the_value_to_set(
    run: tuple[Path, dict[str, Any]], exported: Path, kind: str, name: str, value: str
) -> None:
    source = run[0] if kind == "run" else exported
    with pytest.raises(UserError, match=rf"has {value}; set module\.network\.{name}={SETTINGS[name]}, or"):
        load(source, **{name: value})
    with pytest.raises(UserError, match=r"has resnet34; set module\.network\.architecture=resnet18, or"):
        load(source, architecture="resnet34")


def metadata(name: str, value: str | None) -> Callable[[onnx.ModelProto], object]:
    def change(model: onnx.ModelProto) -> None:
        kept = {each.key: each.value for each in model.metadata_props if each.key not in ("sha256", name)}
        helper.set_model_props(model, kept | ({} if value is None else {name: value}))

    return change


def as_external(model: onnx.ModelProto) -> None:
    """Points the first weights to a file of the machine, as a hostile model could."""
    tensor = next(each for each in model.graph.initializer if each.name.endswith("backbone.conv1.weight"))
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")


BAD_MODELS = {
    "no settings": (metadata("network", None), "lacks the metadata of a ResNet"),
    "no object": (metadata("network", "[]"), "cannot read"),
    "an unknown architecture": (metadata("network", '{"architecture": "vgg"}'), "lacks the metadata"),
    "no statistics": (metadata("batch_norm", None), "lacks the metadata"),
    "too few statistics": (metadata("batch_norm", base64.b64encode(bytes(8)).decode()), "damaged metadata"),
    "no base64": (metadata("batch_norm", "ä"), "cannot read"),
    "no labels": (metadata("labels_mapping", None), "not a jersey label map"),
    "external": (as_external, "reads weights from other files; give the model.onnx of a run"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_damaged_or_hostile_file_is_a_user_error(exported: Path, kind: str) -> None:
    change, message = BAD_MODELS[kind]
    path = changed(exported, change)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert f"module.network.weights={path}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_changed_is_a_user_error(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(exported.read_bytes().replace(b"per_image", b"imagenet."))
    with pytest.raises(UserError, match="was changed after its export"):
        load(tmp_path / "model.onnx")


def test_the_metadata_name_the_settings_in_plain_text(exported: Path) -> None:
    settings = {"architecture": "resnet18", "stem": "small", "normalization": "per_image"}
    assert json.loads(OnnxModel(exported).metadata["network"]) == settings


def test_skipped_weights_are_not_read(tmp_path: Path) -> None:
    with skip_weights():
        network = load(tmp_path / "absent.ckpt")
    assert network.settings["architecture"] == "resnet18"
    with pytest.raises(UserError, match="there is no such file"):
        load(tmp_path / "absent.ckpt")
