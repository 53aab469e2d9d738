"""Files that are not jersey's, and that reading one needs no torch. Good files are tested with the export."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.inference.onnx_model import CONTRACT, OnnxModel, sealed

LABELS = Labels(("0", "00", "01"))


def write_model(path: Path, metadata: dict[str, str]) -> Path:
    """Sums the pixels of each channel: a classifier with three classes."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["pixels", "axes"], ["logits"], keepdims=0),
        ],
        "sums",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    path.write_bytes(sealed(model.SerializeToString()))
    return path


def facts(labels: Labels = LABELS, **others: str) -> dict[str, str]:
    return {"contract": CONTRACT, "labels_mapping": labels.to_json(), "labels_sha256": labels.sha256, **others}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx", facts(fact="7"))


def refuse(path: Path, pattern: str) -> None:
    with pytest.raises(UserError, match=pattern) as caught:
        OnnxModel(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_good_file_gives_labels_facts_and_logits(good: Path) -> None:
    model = OnnxModel(good)
    assert model.labels.names == ("0", "00", "01")
    assert model.metadata["fact"] == "7"
    images_NChw = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    expected_NK = images_NChw.astype(np.float32).sum(axis=(2, 3))
    for batch_size in (1, 2, 5, 64):
        logits_NK = model.logits(images_NChw, batch_size=batch_size)
        assert logits_NK.dtype == np.float32
        np.testing.assert_array_equal(logits_NK, expected_NK)


@pytest.mark.parametrize(("threads", "asked"), [(None, 0), (1, 1), (2, 2)])
def test_threads_are_asked_for_or_left_to_onnxruntime(good: Path, threads: int | None, asked: int) -> None:
    assert OnnxModel(good, threads=threads).session.get_session_options().intra_op_num_threads == asked


def _one_byte_changed(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def _saved_anew(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    model.graph.node[1].name = "another"
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content_of", "says"),
    [
        (lambda good: b"", "not all of it: it does not end with jersey's seal"),
        (lambda good: good[:100], "not all of it: it does not end with jersey's seal"),
        (lambda good: b"not a model", "no model that jersey has exported"),
        (lambda good: good[:-76], "no model that jersey has exported"),  # of somebody else, without a seal
        (lambda good: _one_byte_changed(good, 40), "was changed after its export"),
        (lambda good: _one_byte_changed(good, -1), "was changed after its export"),
        (lambda good: _one_byte_changed(good, -100), "was changed after its export"),
        (_saved_anew, "does not end with jersey's seal|was changed after its export"),
    ],
)
def test_a_file_that_is_not_as_jersey_wrote_it(good: Path, content_of: Callable[[bytes], bytes], says: str) -> None:
    good.write_bytes(content_of(good.read_bytes()))
    refuse(good, says)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    refuse(tmp_path / "absent.onnx", "cannot read the model")
    refuse(tmp_path, "cannot read the model")


def test_the_seal_is_one_more_fact_for_everybody_else(good: Path) -> None:
    content = good.read_bytes()
    found = {entry.key: entry.value for entry in onnx.load(good).metadata_props}
    assert found["sha256"] == hashlib.sha256(content[:-76]).hexdigest()
    onnx.checker.check_model(onnx.load(good), full_check=True)
    assert "sha256" not in OnnxModel(good).facts


def edited(part: str, value: object) -> dict[str, str]:
    return facts() | {"labels_mapping": json.dumps(json.loads(LABELS.to_json()) | {part: value})}


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (facts() | {"contract": "99"}, "follows contract 99"),
        ({"author": "somebody"}, "follows contract none"),
        ({"contract": CONTRACT}, "label map"),
        (facts(Labels(("0", "00"))), "2 labels, 3 classes"),
        (facts() | {"labels_sha256": Labels(("00", "0", "01")).sha256}, "another hash"),
        (edited("labels", ["00", "0", "01"]), "label map .* was edited"),
        (edited("class_to_idx", {"0": 1, "00": 0, "01": 2}), "label map .* was edited"),
        (edited("sha256", "0" * 64), "label map .* was edited"),
        *((facts() | {"labels_mapping": text}, "label map") for text in ("[]", "null", '{"labels": 3}')),
    ],
)
def test_a_model_of_another_contract_or_without_its_labels(tmp_path: Path, metadata: dict[str, str], says: str) -> None:
    refuse(write_model(tmp_path / "model.onnx", metadata), says)
