"""Flat prints of configs, and their paths."""

from typing import Any

import fiddle as fdl
import pytest
import torch
from helpers.config_targets import example, named

from jersey.config import as_text, flatten
from jersey.config.paths import parameters, split, values_of
from jersey.config.show import value_text


def test_flatten_returns_values_by_full_path() -> None:
    config = example()
    config.module.ema = config.trainer.callbacks.ema
    flat = flatten(config)
    assert flat["module.optimizer"] == "<Partial:torch.optim.AdamW>"
    assert flat["data.labels"] == ("0", "00", "01")
    assert flat["module.ema.decay"] == flat["trainer.callbacks.ema.decay"] == 0.998
    assert flat["trainer.clip_norm"] == 1.0
    assert "module.optimizer.betas" not in flat


def test_text_has_one_line_per_value_in_a_stable_order() -> None:
    lines = as_text(example()).splitlines()
    assert lines[0] == "(root) = <Config:helpers.config_targets.Experiment>"
    assert lines[1:4] == [
        "data = <Partial:helpers.config_targets.Data>",
        "data.root = 'data/crops'",
        "data.labels = ('0', '00', '01')",
    ]
    reordered = example()
    reordered.module = fdl.Partial(
        fdl.get_callable(reordered.module), class_weight_power=0.5, optimizer=reordered.module.optimizer
    )
    paths = [line.partition(" = ")[0] for line in as_text(reordered).splitlines()]
    assert paths.index("module.optimizer") < paths.index("module.class_weight_power")


def test_newlines_stay_inside_their_line() -> None:
    broken = example(data__root="a\nseed = 1")
    assert len(as_text(broken).splitlines()) == len(as_text(example()).splitlines())


@pytest.mark.parametrize("path", ["a.b", "a[0].b", "a['x y'].b", 'a["it\'s"]', "['a.b']", "a['\\n']"])
def test_paths_are_split_at_dots_and_brackets(path: str) -> None:
    root: Any = {"a": {"b": 1, "x y": {"b": 1}, "it's": 1, "\n": 1, 0: {"b": 1}}, "a.b": 1}
    config = fdl.Config(named, **{"a": root["a"], "a.b": 1})
    assert split(path) in [each.keys for each in parameters(config)]


def test_values_by_path_include_set_values_and_defaults() -> None:
    values = values_of(example())
    assert (values["module.optimizer.lr"], values["module.optimizer.eps"]) == (1e-4, 1e-8)
    with pytest.raises(LookupError, match=r"the config has no module\.nothing"):
        values["module.nothing"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.optim.AdamW, "<torch.optim.AdamW>"),
        (torch.nn.Module().register_buffer, "<torch.nn.modules.module.Module.register_buffer>"),
        (torch.nn.ReLU(), "ReLU()"),  # callable without a name
        ("00", "'00'"),
    ],
)
def test_an_object_with_a_name_is_shown_by_its_shortest_path(value: object, text: str) -> None:
    assert value_text(value) == text
