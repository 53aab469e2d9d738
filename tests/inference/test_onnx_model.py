"""Files that are not jersey's, and that reading one needs no torch. Good files are tested with the export."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jersey.errors import UserError
from jersey.inference.onnx_model import OnnxModel
from jersey.labels import Labels


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
    onnx.save(model, path)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx", {"labels_mapping": Labels(("0", "00", "01")).to_json(), "fact": "7"})


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


def test_a_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "absent.onnx", "cannot read the model")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    refuse(tmp_path / "folder.onnx", "cannot read the model")


@pytest.mark.parametrize("keep", [0, 1, 20, 100])
def test_a_truncated_file(good: Path, keep: int) -> None:
    good.write_bytes(good.read_bytes()[:keep])
    refuse(good, "cannot read the model|no label map")


def test_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "note.onnx").write_text("not a model")
    refuse(tmp_path / "note.onnx", "cannot read the model")


def test_a_model_of_somebody_else(tmp_path: Path) -> None:
    refuse(write_model(tmp_path / "foreign.onnx", {"author": "somebody"}), "carries no label map")


@pytest.mark.parametrize("part", ["labels", "class_to_idx", "sha256"])
def test_an_edited_label_map(tmp_path: Path, part: str) -> None:
    content = json.loads(Labels(("0", "00", "01")).to_json())
    content[part] = {"labels": ["00", "0", "01"], "class_to_idx": {"0": 1, "00": 0, "01": 2}, "sha256": "0" * 64}[part]
    refuse(write_model(tmp_path / "edited.onnx", {"labels_mapping": json.dumps(content)}), "label map .* was edited")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"labels": 3, "class_to_idx": {}, "sha256": ""}'])
def test_a_broken_label_map(tmp_path: Path, text: str) -> None:
    refuse(write_model(tmp_path / "broken.onnx", {"labels_mapping": text}), "label map")


def test_it_needs_no_torch(good: Path) -> None:
    """A consumer installs numpy and onnxruntime alone."""
    code = (
        "import sys, pathlib; from jersey.inference.onnx_model import OnnxModel; "
        f"print(OnnxModel(pathlib.Path({str(good)!r})).labels.names); "
        "print(sorted({'torch', 'lightning', 'torchvision', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["('0', '00', '01')", "[]"]
