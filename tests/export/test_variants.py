"""Variants of the exported file: like it from outside, other inside, and left only where they hold."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from helpers.small_run import small_network
from PIL import Image
from torch import nn

from jersey.core.labels import Labels
from jersey.data.resize import fit
from jersey.export import (
    ExportModule,
    ExportSettings,
    Reference,
    Variant,
    VariantName,
    export_copy,
    export_onnx,
    export_variants,
    torch_logits,
    variants,
)
from jersey.export.int8 import convolutional_part
from jersey.export.variants import calibration_rows, variant_rows
from jersey.inference.onnx_model import OnnxModel
from jersey.models.heads import CompositionalHead
from jersey.models.network import Network

SIZE_PX = (32, 48)
LABELS = Labels(("0", "00", "01"))
BOTH: tuple[VariantName, ...] = ("fp16", "int8")


class Exported(NamedTuple):
    """A float32 file, and what became of its variants."""

    path: Path
    variants: list[Variant]


class Crops:
    """Noise of three brightnesses in files of other sizes than the network's, and the same fitted."""

    def __init__(self, folder: Path, count: int = 30) -> None:
        rng = np.random.default_rng(0)
        self.labels_N = torch.arange(count) % 3
        self.files = [folder / f"{index}.png" for index in range(count)]
        for label, file in zip(self.labels_N.tolist(), self.files, strict=True):
            pixels = rng.integers(80 * label, 80 * label + 90, (40 + label, 61, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
        arrays = (torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] for file in self.files)
        height_px, width_px = SIZE_PX
        self.images_NCHW = torch.cat([fit(each, height_px=height_px, width_px=width_px) for each in arrays])

    def reference(self, module: ExportModule) -> Reference:
        return Reference(self.images_NCHW, self.labels_N, self.files, torch_logits(module.network, self.images_NCHW))


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops(tmp_path_factory.mktemp("crops"))


def trained(network: Network, crops: Crops) -> Network:
    """A few steps are enough to tell brightnesses."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(crops.images_NCHW), crops.labels_N).backward()
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def network(crops: Crops) -> Network:
    torch.manual_seed(0)
    return trained(small_network(labels=LABELS), crops)


def module_of(network: Network) -> ExportModule:
    return ExportModule(export_copy(network), ExportSettings(labels=LABELS, size_px=SIZE_PX, fit_mode="stretch"))


def export(network: Network, path: Path, crops: Crops) -> None:
    module = module_of(network)
    export_onnx(module, path, reference=crops.reference(module), metadata={"experiment": "test"})


@pytest.fixture(scope="module")
def float32(network: Network, crops: Crops, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file."""
    path = tmp_path_factory.mktemp("out") / "model.onnx"
    export(network, path, crops)
    return path.read_bytes()


@pytest.fixture
def path(float32: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a float32 file, in a world where every variant is fast enough."""
    monkeypatch.setattr(variants, "LEAST_SPEEDUP", 0.0)
    path = tmp_path / "model.onnx"
    path.write_bytes(float32)
    return path


def made(
    network: Network,
    path: Path,
    crops: Crops,
    *,
    names: tuple[VariantName, ...] = BOTH,
    calibration_NCHW: torch.Tensor | None = None,
    least_agreement: float = 0.99,
) -> list[Variant]:
    module = module_of(network)
    return export_variants(
        names,
        module,
        path,
        reference=crops.reference(module),
        calibration_NCHW=crops.images_NCHW if calibration_NCHW is None else calibration_NCHW,
        least_agreement=least_agreement,
    )


@pytest.fixture(scope="module")
def exported(network: Network, float32: bytes, crops: Crops, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Both variants, from one export."""
    path = tmp_path_factory.mktemp("both") / "model.onnx"
    path.write_bytes(float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "LEAST_SPEEDUP", 0.0)
        return Exported(path, made(network, path, crops))


def surface(model: onnx.ModelProto) -> list[tuple[str, bytes]]:
    """Names, types and axes of what goes in and out."""
    return [(each.name, each.type.SerializeToString()) for each in (*model.graph.input, *model.graph.output)]


def weights_of(model: onnx.ModelProto, op_type: str) -> list[np.ndarray]:
    """The stored weights that nodes of a type use, directly or through what turns integers into floats."""
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    source = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    names = [node.input[1] for node in model.graph.node if node.op_type == op_type]
    return [stored[source.get(name, name)] for name in names]


def test_variants_look_like_the_float32_file_and_say_what_they_are(exported: Exported) -> None:
    path, found = exported
    assert {file.name for file in path.parent.iterdir()} == {"model.onnx", "model.fp16.onnx", "model.int8.onnx"}
    assert [variant.file for variant in found] == ["model.fp16.onnx", "model.int8.onnx"]
    float32 = onnx.load(path)
    for variant in found:
        model = onnx.load(path.with_name(variant.file))
        assert surface(model) == surface(float32)
        facts = {each.key: each.value for each in model.metadata_props if each.key != "sha256"}
        assert facts == {**OnnxModel(path).facts, "variant": variant.name}
        assert facts["labels_sha256"] == LABELS.sha256


def test_fp16_has_half_the_weights_and_fits_in_float32(exported: Exported) -> None:
    model = onnx.load(exported.path.with_name("model.fp16.onnx"))
    assert {weight.dtype.name for weight in weights_of(model, "Conv")} == {"float16"}
    place = [node.op_type for node in model.graph.node].index("Conv")
    before = [node for node in model.graph.node[:place] if node.op_type == "Cast"]
    to_half = [node for node in before if node.attribute[0].i == onnx.TensorProto.FLOAT16]
    assert len(to_half) == 1  # after the fit and the normalisation
    assert to_half[0].output[0] == model.graph.node[place].input[0]


def test_int8_has_integers_in_the_convolutions_and_floats_in_the_head(exported: Exported) -> None:
    model = onnx.load(exported.path.with_name("model.int8.onnx"))
    convolutions = weights_of(model, "Conv")
    assert len(convolutions) == 4
    for weight_OIhw in convolutions:
        assert weight_OIhw.dtype == np.int8
        largest = np.abs(weight_OIhw.astype(int)).max()
        assert 2 * 255 * largest < 2**15, "two products overflow 16 bits on CPUs without VNNI"
        assert 2 * 255 * (largest + 1) > 2**15 * 0.98, "the room that is there is used"
    assert {weight.dtype.name for weight in weights_of(model, "Gemm")} == {"float32"}
    scales = [each for each in model.graph.initializer if each.name.endswith("scale") and each.dims == [8]]
    assert len(scales) >= 4  # one a channel


def test_an_answer_of_int8_does_not_depend_on_the_rest_of_the_batch(exported: Exported, crops: Crops) -> None:
    model = OnnxModel(exported.path.with_name("model.int8.onnx"))
    images = crops.images_NCHW.numpy()
    alone, together = (model.logits(images, batch_size=size) for size in (1, len(images)))
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_what_is_told_is_what_the_files_do(exported: Exported, network: Network, crops: Crops) -> None:
    """Held against the network, which no variant has changed."""
    path, found = exported
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    with torch.inference_mode():
        expected_NK = network(crops.images_NCHW).numpy()
    for variant in found:
        logits_NK = OnnxModel(path.with_name(variant.file)).logits(crops.images_NCHW.numpy())
        assert variant.measured
        agreement = variant.measured.agreement
        assert agreement.share == (logits_NK.argmax(axis=1) == expected_NK.argmax(axis=1)).mean()
        assert agreement.accuracy == (logits_NK.argmax(axis=1) == crops.labels_N.numpy()).mean() > 0.9
        assert agreement.max_logit_difference == pytest.approx(np.abs(logits_NK - expected_NK).max(), rel=0.5)
        assert 0 < agreement.max_logit_difference < 0.5
        assert variant.measured.size_bytes == path.with_name(variant.file).stat().st_size
        assert variant.facts()[f"{variant.name}_val_agreement"] == agreement.share
        assert variant.facts()[f"{variant.name}_refused"] == ""


def test_a_variant_that_answers_otherwise_is_not_left_nor_is_an_older_one(
    network: Network, path: Path, crops: Crops, caplog: pytest.LogCaptureFixture
) -> None:
    """Calibrated on black crops: no activation of a bright one fits the range."""
    older = path.with_name("model.int8.onnx")
    older.write_bytes(b"of an earlier export")
    (found,) = made(network, path, crops, names=("int8",), calibration_NCHW=torch.zeros_like(crops.images_NCHW))
    assert found.measured
    assert found.measured.agreement.share < 0.99
    assert f"{found.measured.agreement.share:.2%} of 30 validation crops" in found.refused
    assert [record.levelname for record in caplog.records if found.refused in record.message] == ["WARNING"]
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    (lenient,) = made(
        network,
        path,
        crops,
        names=("int8",),
        calibration_NCHW=torch.zeros_like(crops.images_NCHW),
        least_agreement=found.measured.agreement.share,
    )
    assert lenient.refused == ""
    assert older.exists()


def test_a_variant_that_is_not_faster_is_not_left(
    network: Network, path: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "LEAST_SPEEDUP", float("inf"))
    (found,) = made(network, path, crops, names=("int8",))
    assert found.measured
    assert f"{found.measured.speedup} times as fast" in found.refused
    assert "validation crops" not in found.refused
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_a_variant_that_cannot_be_made_does_not_cost_the_run(
    network: Network, path: Path, crops: Crops, caplog: pytest.LogCaptureFixture
) -> None:
    (found,) = made(network, path, crops, names=("int8",), calibration_NCHW=crops.images_NCHW.float())
    assert found.measured is None
    assert "it could not be made (InvalidArgument: " in found.refused
    assert "\n" not in found.refused
    assert found.facts() == {"int8_refused": found.refused}
    assert variant_rows([found]) == [("model.int8.onnx", "-", "-", "-", "-", found.refused)]
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    assert "not offered" in caplog.text


def test_logits_that_are_added_up_stay_out_of_the_convolutional_part() -> None:
    """A compositional head adds, as shortcuts do."""
    types = {"fit": "Add", "first": "Conv", "shortcut": "Add", "last": "Conv", "head": "Gemm", "parts": "Add"}
    nodes = [onnx.helper.make_node(op_type, ["a"], ["b"], name=name) for name, op_type in types.items()]
    assert convolutional_part(onnx.helper.make_graph(nodes, "net", [], [])) == ["first", "shortcut", "last"]
    with pytest.raises(ValueError, match="no convolution"):
        convolutional_part(onnx.helper.make_graph(nodes[:1], "fit", [], []))


def test_libraries_say_nothing_meanwhile(
    network: Network,
    path: Path,
    crops: Crops,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.WARNING):
        made(network, path, crops, names=("int8",))
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_none_asked_for_is_none_made(network: Network, tmp_path: Path, crops: Crops) -> None:
    assert made(network, tmp_path / "model.onnx", crops, names=()) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("most", "expected"), [(6, [2, 2, 1]), (3, [1, 1, 1]), (1, [1, 1, 1]), (1000, [40, 8, 1])])
def test_calibration_takes_classes_alike_and_spreads_over_each(most: int, expected: list[int]) -> None:
    labels_N = torch.tensor([0] * 40 + [1] * 8 + [4])
    rows = calibration_rows(labels_N, most)
    assert torch.bincount(labels_N[rows])[[0, 1, 4]].tolist() == expected
    assert len(rows.unique()) == len(rows)
    if most == 6:
        assert rows.tolist() == [0, 39, 40, 47, 48]


def test_fixed_takes_one_size_and_need_not_be_faster(
    network: Network, path: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "LEAST_SPEEDUP", float("inf"))
    (found,) = made(network, path, crops, names=("fixed",))
    assert found.refused == ""
    fixed, float32 = OnnxModel(path.with_name("model.fixed.onnx")), OnnxModel(path)
    assert fixed.is_fixed
    assert not float32.is_fixed
    images = crops.images_NCHW.numpy()
    for size in (1, 7):
        np.testing.assert_allclose(fixed.logits(images, batch_size=size), float32.logits(images), atol=1e-5)
    with pytest.raises(Exception, match="Got invalid dimensions"):
        fixed.logits(images[:, :, :-1])
    operations = {node.op_type for node in onnx.load(path.with_name("model.fixed.onnx")).graph.node}
    assert not operations & {"Shape", "Range", "Where", "Round"}


def test_fixed_has_no_open_reading(crops: Crops, path: Path) -> None:
    torch.manual_seed(0)
    network = small_network(labels=LABELS)
    network.head = CompositionalHead(features=8, labels=LABELS)
    trained(network, crops)
    export(network, path, crops)
    made(network, path, crops, names=("fixed",), least_agreement=0.0)
    fixed, float32 = OnnxModel(path.with_name("model.fixed.onnx")), OnnxModel(path)
    assert float32.outputs == ("logits", "probabilities", "open_probabilities")
    assert fixed.outputs == ("logits", "probabilities")
    assert float32.facts.items() - fixed.facts.items() == {("open_numbers", float32.facts["open_numbers"])}
