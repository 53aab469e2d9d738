"""Variants of the exported file: the same interface, other arithmetic, and only written if good enough."""

import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from helpers.export_case import LABELS, Crops, export, module_of, trained

from jersey.core.timing import Ratio
from jersey.export import variants
from jersey.export.int8 import BATCH, convolutional_part, write_int8
from jersey.export.variants import Variant, VariantName, calibration_rows, export_variants
from jersey.inference.onnx_model import OnnxModel
from jersey.models.heads import CompositionalHead
from jersey.models.network import Network


class Exported(NamedTuple):
    """A float32 file, and the outcomes of its variants."""

    path: Path
    variants: list[Variant]


def exported_variants(
    network: Network,
    path: Path,
    crops: Crops,
    *names: VariantName,
    is_dark: bool = False,
    min_agreement: float = 0.99,
) -> list[Variant]:
    """Exports variants; with `is_dark` they are calibrated on black crops, so bright crops saturate the activations."""
    module, calibration_NCHW = module_of(network), crops.images_NCHW * (not is_dark)
    return export_variants(names, module, path, crops.reference(module), calibration_NCHW, min_agreement)


@pytest.fixture
def path(float32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the float32 file; every variant counts as fast enough."""
    monkeypatch.setattr(variants, "MIN_SPEEDUP", 0.0)
    return Path(shutil.copy(float32, tmp_path))


@pytest.fixture(scope="module")
def exported(network: Network, float32: Path, crops: Crops, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """All variants, from one export."""
    path = Path(shutil.copy(float32, tmp_path_factory.mktemp("all")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "MIN_SPEEDUP", 0.0)
        return Exported(path, exported_variants(network, path, crops, "fp16", "int8", "static"))


def interface(model: onnx.ModelProto) -> list[tuple[str, bytes]]:
    """Returns names, types and axes of inputs and outputs."""
    return [(each.name, each.type.SerializeToString()) for each in (*model.graph.input, *model.graph.output)]


def weights_of(model: onnx.ModelProto, op_type: str) -> list[np.ndarray]:
    """Returns the stored weights of all nodes of a type, also through DequantizeLinear."""
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    source = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    names = [node.input[1] for node in model.graph.node if node.op_type == op_type]
    return [stored[source.get(name, name)] for name in names]


def test_variants_have_the_interface_and_metadata_of_the_float32_file(exported: Exported) -> None:
    path, found = exported
    files = [f"model.{name}.onnx" for name in ("fp16", "int8", "static")]
    assert [variant.file for variant in found] == files
    assert {file.name for file in path.parent.iterdir()} == {"model.onnx", *files}
    for variant in found:
        model = onnx.load(path.with_name(variant.file))
        assert (interface(model) == interface(onnx.load(path))) is (variant.name != "static")
        metadata = {each.key: each.value for each in model.metadata_props if each.key != "sha256"}
        assert metadata == {**OnnxModel(path).metadata, "variant": variant.name}
        assert metadata["labels_sha256"] == LABELS.sha256


def test_fp16_stores_half_precision_weights_and_resizes_in_float32(exported: Exported) -> None:
    model = onnx.load(exported.path.with_name("model.fp16.onnx"))
    assert {weight.dtype.name for weight in weights_of(model, "Conv")} == {"float16"}
    place = [node.op_type for node in model.graph.node].index("Conv")
    before = [node for node in model.graph.node[:place] if node.op_type == "Cast"]
    to_half = [node for node in before if node.attribute[0].i == onnx.TensorProto.FLOAT16]
    assert len(to_half) == 1  # after resize and normalization
    assert to_half[0].output[0] == model.graph.node[place].input[0]


def test_int8_has_integers_in_the_convolutions_and_floats_in_the_head(exported: Exported) -> None:
    model = onnx.load(exported.path.with_name("model.int8.onnx"))
    convolutions = weights_of(model, "Conv")
    assert len(convolutions) == 4
    for weight_OIhw in convolutions:
        assert weight_OIhw.dtype == np.int8
        largest = np.abs(weight_OIhw.astype(int)).max()
        assert 2 * 255 * largest < 2**15, "two products overflow 16 bits on CPUs without VNNI"
        assert 2 * 255 * (largest + 1) > 2**15 * 0.98, "the available range is used"
    assert {weight.dtype.name for weight in weights_of(model, "Gemm")} == {"float32"}
    scales = [each for each in model.graph.initializer if each.name.endswith("scale") and each.dims == [8]]
    assert len(scales) >= 4  # one scale per channel


def test_int8_logits_do_not_depend_on_the_rest_of_the_batch(exported: Exported, crops: Crops) -> None:
    model, images = OnnxModel(exported.path.with_name("model.int8.onnx")), crops.images_NCHW.numpy()
    alone, together = (model.logits(images, batch_size=size) for size in (1, len(images)))
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_int8_is_calibrated_on_every_crop(float32: Path, crops: Crops, tmp_path: Path) -> None:
    """A bright crop widens the range of black ones, be it the first of a batch or the only one of the last."""

    def scale(*bright: int) -> float:
        images_NCHW = np.zeros((BATCH + 1, *crops.images_NCHW.shape[1:]), np.uint8)
        images_NCHW[list(bright)] = crops.images_NCHW[2]
        write_int8(float32, tmp_path / "int8.onnx", OnnxModel(float32).metadata, calibration_NCHW=images_NCHW)
        graph = onnx.load(tmp_path / "int8.onnx").graph
        name = next(node.input[1] for node in graph.node if node.op_type == "QuantizeLinear")
        return next(float(onnx.numpy_helper.to_array(each)) for each in graph.initializer if each.name == name)

    assert scale(0) == scale(BATCH) > 1.1 * scale()


def test_reported_parity_matches_the_files(exported: Exported, network: Network, crops: Crops) -> None:
    """The reference is the network, which no variant has changed."""
    path, found = exported
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    expected_NK = crops.reference(module_of(network)).logits_NK
    for variant in found:
        model = OnnxModel(path.with_name(variant.file))
        logits_NK = model.logits(crops.images_NCHW.numpy())
        probabilities_NK = torch.from_numpy(logits_NK / model.temperature).softmax(dim=1)
        shown_NK = model.output("probabilities", crops.images_NCHW.numpy())
        np.testing.assert_allclose(shown_NK, probabilities_NK, atol=1e-5)
        parity = variant.parity
        assert parity
        assert parity.agreement == (logits_NK.argmax(axis=1) == expected_NK.argmax(axis=1)).mean()
        assert parity.accuracy == (logits_NK.argmax(axis=1) == crops.labels_N.numpy()).mean() > 0.9
        assert parity.max_logit_difference == pytest.approx(np.abs(logits_NK - expected_NK).max(), rel=0.5)
        assert 0 < parity.max_logit_difference < 0.5
        assert variant.size_bytes == path.with_name(variant.file).stat().st_size
        assert variant.summary()[f"{variant.name}_val_agreement"] == parity.agreement
        assert variant.summary()[f"{variant.name}_refused"] == ""


def test_a_variant_that_disagrees_is_not_written_and_an_older_file_is_removed(
    network: Network, path: Path, crops: Crops, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    older = path.with_name("model.int8.onnx")
    older.write_bytes(b"of an earlier export")
    (found,) = exported_variants(network, path, crops, "int8", is_dark=True)
    assert found.parity
    agreement = found.parity.agreement
    assert agreement < 0.99
    assert f"{100 * agreement:.2f} % of 30 validation crops" in found.refused
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    (lenient,) = exported_variants(network, path, crops, "int8", is_dark=True, min_agreement=agreement)
    assert lenient.refused == ""
    assert older.exists()
    # Libraries print nothing.
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert found.refused in warning.getMessage()
    assert capfd.readouterr() == ("", "")


def test_a_variant_that_is_not_faster_is_not_written(
    network: Network, path: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The speedup must hold in three of four pairs, whatever the median; "static" does not have to be faster."""
    monkeypatch.setattr(variants, "MIN_SPEEDUP", 2.0)
    monkeypatch.setattr(variants, "speedup", lambda *_: Ratio(3.0, 1.9, 4.0))
    found, static = exported_variants(network, path, crops, "int8", "static")
    assert "it is 3.000 (1.900 to 4.000) times as fast" in found.refused
    assert "validation crops" not in found.refused
    assert static.refused == ""
    assert {file.name for file in path.parent.iterdir()} == {"model.onnx", "model.static.onnx"}


def test_speeds_are_compared_at_batch_size_1(
    network: Network, path: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []
    original = OnnxModel.logits

    def counted(self: OnnxModel, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        timed.extend([len(images_NChw)] * (self.path == path))  # the float32 file has no other use here
        return original(self, images_NChw, batch_size=batch_size)

    monkeypatch.setattr(OnnxModel, "logits", counted)
    exported_variants(network, path, crops, "int8")
    assert set(timed) == {1}


def test_a_failed_variant_does_not_fail_the_run(
    network: Network, path: Path, crops: Crops, caplog: pytest.LogCaptureFixture
) -> None:
    module = module_of(network)
    (found,) = export_variants(["int8"], module, path, crops.reference(module), crops.images_NCHW.float())
    assert "its export failed (InvalidArgument: " in found.refused
    assert "\n" not in found.refused
    assert found.summary() == {"int8_refused": found.refused}
    assert found.cells == ("model.int8.onnx", "-", "-", "-", "-", found.refused)
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    assert "was not written" in caplog.text


def test_additions_in_the_head_are_not_part_of_the_convolutions() -> None:
    """A compositional head has Add nodes, as shortcuts have."""
    types = {"resize": "Add", "first": "Conv", "shortcut": "Add", "last": "Conv", "head": "Gemm", "parts": "Add"}
    nodes = [onnx.helper.make_node(op_type, ["a"], ["b"], name=name) for name, op_type in types.items()]
    assert convolutional_part(onnx.helper.make_graph(nodes, "net", [], [])) == ["first", "shortcut", "last"]
    with pytest.raises(ValueError, match="no convolution"):
        convolutional_part(onnx.helper.make_graph(nodes[:1], "resize", [], []))


@pytest.mark.parametrize(
    ("max_crops", "expected"), [(6, [2, 2, 1]), (3, [1, 1, 1]), (1, [1, 1, 1]), (1000, [40, 8, 1])]
)
def test_calibration_crops_are_balanced_and_evenly_spaced(max_crops: int, expected: list[int]) -> None:
    labels_N = torch.tensor([0] * 40 + [1] * 8 + [4])
    rows = calibration_rows(labels_N, max_crops)
    assert torch.bincount(labels_N[rows])[[0, 1, 4]].tolist() == expected
    assert len(rows.unique()) == len(rows)
    if max_crops == 6:
        assert rows.tolist() == [0, 39, 40, 47, 48]


def test_static_takes_one_size(exported: Exported, crops: Crops) -> None:
    static, float32 = OnnxModel(exported.path.with_name("model.static.onnx")), OnnxModel(exported.path)
    assert (static.is_static, float32.is_static) == (True, False)
    images = crops.images_NCHW.numpy()
    for size in (1, 7):
        np.testing.assert_allclose(static.logits(images, batch_size=size), float32.logits(images), atol=1e-5)
    with pytest.raises(Exception, match="Got invalid dimensions"):
        static.logits(images[:, :, :-1])
    operations = {node.op_type for node in onnx.load(static.path).graph.node}
    assert not operations & {"Shape", "Range", "Where", "Round"}


def test_static_has_no_open_vocabulary(crops: Crops, path: Path) -> None:
    network = trained(crops, CompositionalHead(features=8, labels=LABELS))
    export(network, path, crops)
    exported_variants(network, path, crops, "static", min_agreement=0.0)
    static, float32 = OnnxModel(path.with_name("model.static.onnx")), OnnxModel(path)
    assert float32.outputs == ("logits", "probabilities", "open_vocabulary_probabilities")
    assert static.outputs == ("logits", "probabilities")
    assert float32.metadata.items() - static.metadata.items() == {("vocabulary", float32.metadata["vocabulary"])}
