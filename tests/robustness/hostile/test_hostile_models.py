"""Model files that a stranger has made, with a valid checksum, are refused in one sentence before they do harm."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from helpers.planted_model import crop_of, planted_model
from onnx import TensorProto, helper

from jersey.core.errors import UserError
from jersey.core.model_file import MAX_BYTES, with_checksum
from jersey.inference.predictor import Predictor
from jersey.models.folding import read_onnx

NESTED = "[" * 100_000
Change = Callable[[onnx.ModelProto], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return planted_model(tmp_path / "model.onnx")


def changed(path: Path, change: Change) -> Path:
    """Changes the model, and adds a valid checksum."""
    model = onnx.load_model_from_string(path.read_bytes())
    del model.metadata_props[-1]
    change(model)
    path.write_bytes(with_checksum(model.SerializeToString()))
    return path


def refusal(path: Path) -> str:
    """Returns the sentence with which both readers of models refuse the file."""
    with pytest.raises(UserError) as caught:
        Predictor(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    with pytest.raises(UserError):
        read_onnx(path)
    return str(caught.value)


def elsewhere(name: str = "axes") -> TensorProto:
    """Returns a tensor whose values are in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.INT64, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../../../../etc/passwd")
    return tensor


def in_an_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(elsewhere())


def without_a_location(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def in_a_constant(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["more"], value=elsewhere()))


def in_a_branch(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("x", TensorProto.INT64, [2])
    branch = helper.make_graph([], "branch", [], [output], [elsewhere("x")])
    model.graph.node.append(helper.make_node("If", ["axes"], ["y"], then_branch=branch, else_branch=branch))


def in_a_sparse_tensor(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(elsewhere())


def in_a_function(model: onnx.ModelProto) -> None:
    constant = helper.make_node("Constant", [], ["more"], value=elsewhere())
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "function", [], ["more"], [constant], opset))


def in_a_list_of_an_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("more", [elsewhere()]))


@pytest.mark.parametrize(
    "change",
    [
        *(in_an_initializer, without_a_location, in_a_constant, in_a_branch, in_a_sparse_tensor, in_a_function),
        in_a_list_of_an_attribute,
    ],
)
def test_weights_in_other_files_are_refused(path: Path, change: Change) -> None:
    assert "it reads weights from other files" in refusal(changed(path, change))


def test_weights_in_other_files_are_found_in_any_encoding(path: Path) -> None:
    """Protocol buffers allow zeros before a number, which hide it from a search for bytes."""
    tensor = elsewhere().SerializeToString()
    inner = b"\xaa\x80\x00" + (len(tensor) | 0x80).to_bytes(1, "little") + b"\x80\x00" + tensor
    graph = b"\xba\x80\x00" + (len(inner) | 0x80).to_bytes(1, "little") + b"\x80\x00" + inner
    assert onnx.load_model_from_string(graph).graph.initializer[0].external_data
    path.write_bytes(with_checksum(path.read_bytes() + graph))
    assert "it reads weights from other files" in refusal(path)


def test_an_explicit_location_in_the_file_itself_is_read(path: Path) -> None:
    """So onnx writes tensors that it has loaded from another file."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_location = TensorProto.DEFAULT

    assert Predictor(changed(path, change)).predict(crop_of("23")).number == "23"


@pytest.mark.parametrize("megabytes", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_very_long_metadata_are_refused(path: Path, megabytes: int) -> None:
    planted_model(path, note="x" * megabytes * 1_000_000)
    assert f"it has {megabytes:,}," in refusal(path)


def test_very_many_fields_are_refused(path: Path) -> None:
    path.write_bytes(with_checksum(path.read_bytes() + b"\x08\x0a" * 1_100_000))
    assert "more than 1,000,000 fields" in refusal(path)


def test_a_checksum_within_another_field_is_refused(path: Path) -> None:
    model = onnx.load_model_from_string(path.read_bytes())
    del model.metadata_props[-1]
    checksum_bytes = len(with_checksum(b""))
    unknown_field = bytes([0xA2, 0x06, checksum_bytes])  # number 100, whose content is the checksum
    path.write_bytes(with_checksum(model.SerializeToString() + unknown_field))
    with pytest.raises(UserError, match="it lacks its checksum; use one of a run"):
        Predictor(path)


@pytest.mark.parametrize("end", [b"\x3a\xff\x01", b"\x3a\x80", b"\x0b", b"\x3a\x02\x2a\x05", b"\xff" * 20])
def test_what_is_no_protocol_buffer_is_refused(path: Path, end: bytes) -> None:
    path.write_bytes(with_checksum(path.read_bytes() + end))
    refusal(path)


COLUMNS = ("precision", "confidence", "val_coverage", "test_precision", "test_coverage")
HOSTILE = {
    "labels_mapping": [NESTED, "[]", "{}", json.dumps({"labels": ["0"] * 200_000, "class_to_idx": {}, "sha256": ""})],
    "labels_sha256": ["", NESTED],
    "format_version": [NESTED, "\U0006115c\x1f", "1\u202e", ""],
    "calibration": [
        *(NESTED, "[]", "3"),
        *(f'{{"temperature": {value}}}' for value in ('"x"', "0", "NaN", "null", "1e999", "9" * 400)),
        *(f'{{"temperature": 1, "frame_correlation": {value}}}' for value in ("[]", "NaN")),
    ],
    "thresholds": [
        *(NESTED, "{}", "3", "[3]", '[{"precision": 1}]', '[{"x": 1}]'),
        json.dumps([{name: [] for name in COLUMNS}]),
    ],
    "vocabulary": [NESTED, "3", '{"0": 1}', "[0, 1]", '["0", "0"]', '["\\u001b[2J"]'],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in HOSTILE.items() for value in values])
def test_hostile_metadata_are_refused(path: Path, key: str, value: str) -> None:
    planted_model(path, **{key: value})
    with pytest.raises(UserError) as caught:
        print(Predictor(path, min_precision=0.95, open_vocabulary=True).model.temperature)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("number", [["0", "1"], []])
def test_a_vocabulary_of_another_length_is_refused(path: Path, number: list[str]) -> None:
    planted_model(path, vocabulary=json.dumps(number))
    with pytest.raises(UserError):
        Predictor(path, open_vocabulary=True)


@pytest.mark.parametrize("name", ["logits", "probabilities", "input"])
def test_a_network_with_other_inputs_or_outputs_is_refused(path: Path, name: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.name = value.name.replace(name, "other") if value.name == name else value.name
        for node in model.graph.node:
            for names in (node.input, node.output):
                renamed = ["other" if each == name else each for each in names]
                del names[:]
                names.extend(renamed)

    changed(path, change)
    with pytest.raises(UserError, match=r"has the inputs .*; use one of a run"):
        Predictor(path)


@pytest.mark.parametrize("text", [b"calibration", b'{"temperature', b"probabilities", b"input"])
def test_text_that_is_not_utf8_is_refused(path: Path, text: bytes) -> None:
    content = path.read_bytes().replace(text, b"\xff" * len(text))
    path.write_bytes(with_checksum(content))
    assert "model.onnx" in refusal(path)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BYTES + 1)


PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "too large": _sparse,
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", PLACES)
def test_what_is_no_file_is_refused_without_being_read(kind: str, tmp_path: Path) -> None:
    PLACES[kind](tmp_path / "model.onnx")
    assert "cannot read the model" in refusal(tmp_path / "model.onnx")
