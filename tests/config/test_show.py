"""Prints, JSON and differences of configs."""

import json
import sys
from pathlib import Path
from typing import Any

import fiddle as fdl
import pytest
import torch
from config_targets import Ema, example, named

from jersey.config import as_text, difference, flatten, from_json, to_json
from jersey.config.paths import parameters, read, split
from jersey.errors import UserError


def ours() -> fdl.Config[Any]:
    """A graph of names that a config file may hold, with a shared part."""
    shared = fdl.Config(torch.nn.Linear, 3, 2, bias=False)
    optimizer = fdl.Partial(torch.optim.AdamW, lr=1e-4, betas=(0.9, 0.95))
    return fdl.Config(torch.nn.ModuleDict, {"first": shared, "again": shared, "00": optimizer, "none": None})


def test_flat_values_by_full_path() -> None:
    flat = flatten(example())
    assert flat["module.optimizer"] == "<Partial:torch.optim.AdamW>"
    assert flat["module.optimizer.lr"] == 1e-4
    assert flat["data.labels"] == ("0", "00", "01")
    assert flat["trainer.callbacks.ema.decay"] == 0.998
    assert flat["trainer.clip_norm"] == 1.0
    assert "module.optimizer.betas" not in flat


def test_text_is_a_line_a_value_in_a_stable_order() -> None:
    lines = as_text(example()).splitlines()
    assert lines[0] == "(root) = <Config:config_targets.Experiment>"
    assert lines[1:4] == [
        "data = <Partial:config_targets.Data>",
        "data.root = 'data/crops'",
        "data.labels = ('0', '00', '01')",
    ]
    reordered = example()
    reordered.module = fdl.Partial(
        fdl.get_callable(reordered.module), weight_power=0.5, optimizer=reordered.module.optimizer
    )
    paths = [line.partition(" = ")[0] for line in as_text(reordered).splitlines()]
    assert paths.index("module.optimizer") < paths.index("module.weight_power")


def test_newlines_stay_inside_their_line() -> None:
    config = example()
    config.data.root = "a\nseed = 1"
    assert len(as_text(config).splitlines()) == len(as_text(example()).splitlines())


def test_shared_sub_config_is_shown_under_both_paths() -> None:
    config = example()
    config.module.ema = config.trainer.callbacks.ema
    flat = flatten(config)
    assert flat["module.ema.decay"] == flat["trainer.callbacks.ema.decay"] == 0.998


@pytest.mark.parametrize("path", ["a.b", "a[0].b", "a['x y'].b", 'a["it\'s"]', "['a.b']", "a['\\n']"])
def test_paths_are_split_at_dots_and_brackets(path: str) -> None:
    root: Any = {"a": {"b": 1, "x y": {"b": 1}, "it's": 1, "\n": 1, 0: {"b": 1}}, "a.b": 1}
    config = fdl.Config(named, **{"a": root["a"], "a.b": 1})
    assert split(path) in [each.keys for each in parameters(config)]


def test_read_gives_set_and_default_values() -> None:
    config = example()
    assert read(config, "module.optimizer.lr") == 1e-4
    assert read(config, "module.optimizer.eps") == 1e-8
    assert read(config, "module.nothing", missing=7) == 7


def test_json_gives_an_equal_graph_back() -> None:
    back = from_json(to_json(ours()))
    assert back == ours()
    assert as_text(back) == as_text(ours())
    assert back.modules["first"] is back.modules["again"]


def test_strings_of_digits_survive_json() -> None:
    config = fdl.Config(torch.nn.ParameterDict, {"0": ("0", "00", "01"), "00": 0})
    assert from_json(to_json(config)).parameters == {"0": ("0", "00", "01"), "00": 0}


def renamed(module: str, name: str) -> str:
    """The JSON of a config whose torch.nn.Linear is called something else."""
    saved = json.loads(to_json(fdl.Config(torch.nn.Linear, 3, 2)))
    text = json.dumps(saved).replace('"torch.nn.modules.linear"', json.dumps(module))
    return text.replace('"name": "Linear"', f'"name": {json.dumps(name)}')


def test_renaming_works_at_all() -> None:
    assert fdl.get_callable(from_json(renamed("torch.nn", "Bilinear"))) is torch.nn.Bilinear


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("subprocess", "run"),
        ("torch", "os.system"),
        ("torch", "sys.exit"),
        ("torchvision_of_mine", "f"),
        ("fiddle", "build"),
        ("fiddle._src.config", "Config.__init__.__globals__"),
    ],
)
def test_json_may_not_name_what_is_not_ours(module: str, name: str) -> None:
    with pytest.raises(UserError, match="may only name") as caught:
        from_json(renamed(module, name))
    assert "\n" not in str(caught.value)


def test_a_module_on_the_path_is_refused_before_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jersey_evil.py").write_text("def f(): pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError):
        from_json(renamed("jersey_evil", "f"))
    assert "jersey_evil" not in sys.modules


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"root": 3, "objects": {}}', '{"root": {"type": "ref", "key": "x"}, "objects": {}}'],
)
def test_other_text_is_not_a_config(text: str) -> None:
    with pytest.raises(UserError, match="not a saved config") as caught:
        from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("module", "name"), [("torch.nn", "NoSuchLayer"), ("torch.no_such_module", "Linear")])
def test_json_of_another_version_says_what_is_missing(module: str, name: str) -> None:
    with pytest.raises(UserError, match=r"NoSuchLayer|no_such_module") as caught:
        from_json(renamed(module, name))
    assert "\n" not in str(caught.value)


def test_equal_configs_have_no_difference() -> None:
    assert difference(example(), example()) == ""


def test_a_default_written_out_is_no_difference() -> None:
    config = example()
    config.module.optimizer.eps = 1e-8
    assert difference(example(), config) == difference(config, example()) == ""


def test_difference_names_path_old_and_new() -> None:
    config = example()
    config.module.optimizer.lr = 0.5
    config.data.batch_size = 8
    rows = [line.split() for line in difference(example(), config).splitlines()]
    assert rows == [
        ["path", "old", "new"],
        ["module.optimizer.lr", "0.0001", "0.5"],
        ["data.batch_size", "64", "8"],
    ]


def test_difference_shows_parts_that_one_config_lacks_and_other_callables() -> None:
    config = example()
    del config.trainer.callbacks.ema
    fdl.update_callable(config.module.optimizer, torch.optim.Adam)
    rows = [line.split() for line in difference(example(), config).splitlines()]
    assert ["trainer.callbacks.ema", "<Config:config_targets.Ema>", "-"] in rows
    assert ["trainer.callbacks.ema.decay", "0.998", "-"] in rows
    assert ["module.optimizer", "<Partial:torch.optim.AdamW>", "<Partial:torch.optim.Adam>"] in rows


def test_a_sub_config_in_the_place_of_none_is_a_difference() -> None:
    config = example()
    config.module.ema = fdl.Config(Ema)
    assert ["module.ema", "None", "<Config:config_targets.Ema>"] in [
        line.split() for line in difference(example(), config).splitlines()
    ]
