"""The config file of a run folder: written, found and read again."""

import json
from pathlib import Path
from typing import Any

import fiddle as fdl
import pytest
import torch
from fiddle.experimental import serialization
from helpers.config_graphs import graphs, same
from hypothesis import given

from jersey.config import as_text, to_json
from jersey.config.saved import from_json, load
from jersey.core.errors import UserError

PACKAGES = ("torch", "helpers")


def allowed_graph() -> fdl.Config[Any]:
    """Returns a graph of allowed names, with a shared part."""
    shared = fdl.Config(torch.nn.Linear, 3, 2, bias=False)
    optimizer = fdl.Partial(torch.optim.AdamW, lr=1e-4, betas=(0.9, 0.95))
    return fdl.Config(torch.nn.ModuleDict, {"first": shared, "again": shared, "00": optimizer, "none": None})


@given(graphs())
def test_any_graph_survives_a_round_trip(config: fdl.Buildable) -> None:
    assert same(from_json(to_json(config, "some_experiment"), PACKAGES), config)


def test_the_file_has_the_format_of_fiddle_and_keeps_sharing() -> None:
    assert same(serialization.load_json(to_json(allowed_graph(), "some_experiment")), allowed_graph())
    back = from_json(to_json(allowed_graph(), "some_experiment"), PACKAGES)
    assert back.modules["first"] is back.modules["again"]


@pytest.mark.parametrize("value", [("0", "00", "01"), 0.1 + 0.2, 1.0, True, "é\n\u2028\ud800", float("inf")])
def test_values_survive_with_their_types(value: object) -> None:
    config = fdl.Config(torch.nn.ParameterDict, {"00": value})
    back = from_json(to_json(config, "some_experiment"), PACKAGES)
    assert repr(back.parameters) == repr({"00": value})
    assert as_text(back) == as_text(config)


def test_a_run_is_loaded_from_its_folder_or_its_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(to_json(allowed_graph(), "größer"), encoding="utf-8")
    for path in (tmp_path, tmp_path / "config.json"):
        name, config = load(path, PACKAGES)
        assert name == "größer"
        assert same(config, allowed_graph())


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path, PACKAGES)
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize("name", ["nothing", "nothing/config.json", "x" * 300, "file/below", "", "odd"])
def test_a_missing_run_raises_an_error_with_its_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "odd" / "config.json").mkdir(parents=True)
    message = error_of(tmp_path / name)
    assert str(tmp_path / name) in message
    assert ("contains no config.json; name the folder of one run" in message) == (name == "")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b"seed = 0\n", b"\xff\xfe\x00", b"[" * 10000])
def test_another_file_is_not_a_config(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    message = error_of(tmp_path)
    assert str(tmp_path / "config.json") in message or str(tmp_path) in message
    assert "not a saved config" in message or "not the config of a run" in message


@pytest.mark.parametrize("name", [None, 3, "", "..", "../other", "a/b", "a b", "/tmp", ["a"], "a\n"])
def test_the_experiment_must_be_a_plain_name(name: object, tmp_path: Path) -> None:
    path, document = tmp_path / "config.json", json.loads(to_json(allowed_graph(), "some_experiment"))
    path.write_text(json.dumps(document | {"experiment": name}), encoding="utf-8")
    assert repr(name) in error_of(path)
    del document["experiment"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "experiment" in error_of(path)


@pytest.mark.parametrize(
    ("old", "new", "message_part"),
    [
        ('"name": "AdamW"', '"name": "NoSuchOptimizer"', "NoSuchOptimizer"),
        ('"torch.optim.adamw"', '"torch.optim.no_such_module"', "no_such_module"),
        ('"betas"', '"betta"', "betta"),
        ('"name": "Linear"', '"name": "Bilinear"', "in_features"),
    ],
)
def test_a_config_of_another_version_raises_an_error_with_what_is_missing(
    old: str, new: str, message_part: str, tmp_path: Path
) -> None:
    text = to_json(allowed_graph(), "some_experiment")
    assert old in text
    (tmp_path / "config.json").write_text(text.replace(old, new), encoding="utf-8")
    message = error_of(tmp_path)
    assert message_part in message
    assert "this version of the code" in message
    assert str(tmp_path / "config.json") in message
