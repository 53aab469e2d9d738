"""Files that are not jersey's, and that reading one needs no torch. Good files are tested with the export."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.planted_model import LABELS, crop_of, expected, planted_model

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.inference.onnx_model import OnnxModel


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return planted_model(tmp_path / "model.onnx", fact="7")


def refuse(path: Path, pattern: str) -> None:
    with pytest.raises(UserError, match=pattern) as caught:
        OnnxModel(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_good_file_gives_labels_facts_and_logits(good: Path) -> None:
    model = OnnxModel(good)
    assert model.labels.names == LABELS
    assert model.metadata["fact"] == "7"
    images_NChw = np.stack([crop_of(number, sureness=30).transpose(2, 0, 1) for number in LABELS])
    expected_NK = np.stack([expected(number, sureness=30) for number in LABELS])
    for batch_size in (1, 2, 5, 64):
        logits_NK = model.logits(images_NChw, batch_size=batch_size)
        assert logits_NK.dtype == np.float32
        np.testing.assert_allclose(np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True), expected_NK, 1e-4)


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


OTHER = Labels(LABELS[:2])


def edited(part: str, value: object) -> dict[str, str]:
    return {"labels_mapping": json.dumps(json.loads(Labels(LABELS).to_json()) | {part: value})}


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"format_version": "99"}, "follows contract 99"),
        ({"format_version": ""}, "follows contract none"),
        ({"labels_mapping": OTHER.to_json(), "labels_sha256": OTHER.sha256}, "2 labels, 5 classes"),
        ({"labels_sha256": Labels(LABELS[::-1]).sha256}, "another hash"),
        (edited("labels", LABELS[::-1]), "label map .* was edited"),
        (edited("class_to_idx", {"0": 1, "00": 0, "01": 2, "10": 3, "23": 4}), "label map .* was edited"),
        (edited("sha256", "0" * 64), "label map .* was edited"),
        *(({"labels_mapping": text}, "label map") for text in ("", "[]", "null", '{"labels": 3}')),
    ],
)
def test_a_model_of_another_contract_or_without_its_labels(tmp_path: Path, facts: dict[str, str], says: str) -> None:
    refuse(planted_model(tmp_path / "model.onnx", **facts), says)
