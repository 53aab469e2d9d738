"""Loading good files, and the errors for files that jersey has not written. The export has more tests of good files."""

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
    return planted_model(tmp_path / "model.onnx", note="7")


def assert_refused(path: Path, pattern: str) -> None:
    with pytest.raises(UserError, match=pattern) as caught:
        OnnxModel(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_good_file_has_labels_metadata_and_logits(good: Path) -> None:
    model = OnnxModel(good)
    assert model.labels.names == LABELS
    assert model.metadata["note"] == "7"
    images_NChw = np.stack([crop_of(number, certainty=30).transpose(2, 0, 1) for number in LABELS])
    expected_NK = np.stack([expected(number, certainty=30) for number in LABELS])
    for batch_size in (1, 2, 5, 64):
        logits_NK = model.logits(images_NChw, batch_size=batch_size)
        assert logits_NK.dtype == np.float32
        np.testing.assert_allclose(np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True), expected_NK, 1e-4)


@pytest.mark.parametrize(("threads", "option"), [(None, 0), (1, 1), (2, 2)])
def test_the_number_of_threads_is_passed_or_left_to_onnxruntime(good: Path, threads: int | None, option: int) -> None:
    assert OnnxModel(good, threads=threads).session.get_session_options().intra_op_num_threads == option


def _one_byte_changed(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def _saved_again(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    model.graph.node[1].name = "another"
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content_of", "sentence"),
    [
        (lambda good: b"", "is incomplete: it does not end with a checksum"),
        (lambda good: good[:100], "is incomplete: it does not end with a checksum"),
        (lambda good: b"not a model", "is not a model that jersey has exported"),
        (lambda good: good[:-76], "is not a model that jersey has exported"),  # a foreign file, without a checksum
        (lambda good: _one_byte_changed(good, 40), "was changed after its export"),
        (lambda good: _one_byte_changed(good, -1), "was changed after its export"),
        (lambda good: _one_byte_changed(good, -100), "was changed after its export"),
        (_saved_again, "does not end with a checksum|was changed after its export"),
    ],
)
def test_a_file_that_jersey_has_not_written_so_is_refused(
    good: Path, content_of: Callable[[bytes], bytes], sentence: str
) -> None:
    good.write_bytes(content_of(good.read_bytes()))
    assert_refused(good, sentence)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "absent.onnx", "cannot read the model")
    assert_refused(tmp_path, "cannot read the model")


def test_the_checksum_is_a_metadata_entry_for_other_readers(good: Path) -> None:
    content = good.read_bytes()
    entries = {entry.key: entry.value for entry in onnx.load(good).metadata_props}
    assert entries["sha256"] == hashlib.sha256(content[:-76]).hexdigest()
    onnx.checker.check_model(onnx.load(good), full_check=True)
    assert "sha256" not in OnnxModel(good).metadata


OTHER = Labels(LABELS[:2])


def edited(part: str, value: object) -> dict[str, str]:
    return {"labels_mapping": json.dumps(json.loads(Labels(LABELS).to_json()) | {part: value})}


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"format_version": "99"}, "has format version 99"),
        ({"format_version": ""}, "has format version none"),
        ({"labels_mapping": OTHER.to_json(), "labels_sha256": OTHER.sha256}, "2 labels, 5 classes"),
        ({"labels_sha256": Labels(LABELS[::-1]).sha256}, "another hash"),
        (edited("labels", LABELS[::-1]), "label map .* was edited"),
        (edited("class_to_idx", {"0": 1, "00": 0, "01": 2, "10": 3, "23": 4}), "label map .* was edited"),
        (edited("sha256", "0" * 64), "label map .* was edited"),
        *(({"labels_mapping": text}, "label map") for text in ("", "[]", "null", '{"labels": 3}')),
    ],
)
def test_a_model_of_another_format_version_or_without_its_labels_is_refused(
    tmp_path: Path, metadata: dict[str, str], sentence: str
) -> None:
    assert_refused(planted_model(tmp_path / "model.onnx", **metadata), sentence)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [("calibration", "temperature"), ("thresholds", "thresholds"), ("vocabulary", "vocabulary")],
)
@pytest.mark.parametrize("text", ["", "[1, 2"])
def test_metadata_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, attribute: str, text: str) -> None:
    model = OnnxModel(planted_model(tmp_path / "model.onnx", **{name: text}))
    with pytest.raises(UserError, match=rf"model\.onnx lacks the metadata '{name}' .*; export it again") as caught:
        getattr(model, attribute)
    assert "\n" not in str(caught.value)
