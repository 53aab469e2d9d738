"""A config as Python code: importing it returns an equal graph."""

import runpy
from pathlib import Path
from typing import Any

import fiddle as fdl
import pytest
from helpers.config_graphs import graphs, same
from helpers.config_targets import Ema, example, named, positional
from hypothesis import given

from jersey.config import as_python


def run(code: str, experiment: str = "some_experiment") -> fdl.Buildable:
    module: dict[str, Any] = {}
    exec(compile(code, "config.py", "exec"), module)
    return module[experiment]()


def test_the_module_has_one_function_named_after_the_experiment(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(as_python(example(), "some_experiment"), encoding="utf-8")
    module = runpy.run_path(str(path))
    assert same(module["some_experiment"](), example())
    assert module["some_experiment"]() is not module["some_experiment"]()
    assert "some_experiment" in module["__doc__"]


def test_each_value_is_assigned_to_its_path_and_only_used_modules_are_imported() -> None:
    lines = [line.strip() for line in as_python(example(), "some_experiment").splitlines()]
    imported = [line for line in lines if line.startswith("import ")]
    assert imported == ["import fiddle as fdl", "import helpers.config_targets", "import torch.optim"]
    assert "root.trainer.callbacks.ema.decay = 0.998" in lines
    assert "root.module.optimizer = fdl.Partial(torch.optim.AdamW)" in lines


@given(graphs())
def test_any_graph_survives_a_round_trip(config: fdl.Buildable) -> None:
    assert same(run(as_python(config, "some_experiment")), config)


SHARED = fdl.Config(Ema, decay=0.5)
OUTER = fdl.Config(named, inner=SHARED)


@pytest.mark.parametrize(
    "config",
    [
        fdl.Config(named, first=SHARED, second=[SHARED, SHARED]),
        fdl.Config(named, first=fdl.Config(named, ema=SHARED), second=SHARED),
        fdl.Config(named, first=OUTER, second=OUTER, third=SHARED),
        fdl.Config(named, pair=(SHARED, (fdl.Config(Ema, decay=0.25),)), by_number={0: fdl.Config(Ema, warmup=1)}),
        fdl.Config(named, **{"lambda": 1, "no name": fdl.Config(Ema, decay=0.25), "": 2, "é": 3}),
        fdl.Config(positional, SHARED, SHARED, fdl.Config(Ema, warmup=1), (fdl.Config(Ema, warmup=2),), 3),
        fdl.Partial(positional, second=fdl.Partial(named, inner=fdl.ArgFactory(Ema, decay=0.75))),
        fdl.Config(named, plain=None, ema=fdl.Config(Ema), last=float("-inf"), text='"""it\'s\\\n\u2028\ud800'),
    ],
)
def test_unusual_graphs_survive_a_round_trip(config: fdl.Buildable) -> None:
    code = as_python(config, "some_experiment")
    assert same(run(code), config)
    code.encode()


def test_nan_is_written_and_a_shared_part_is_written_once() -> None:
    config = run(as_python(fdl.Config(Ema, decay=float("nan")), "some_experiment"))
    assert config.decay != config.decay
    code = as_python(fdl.Config(named, first=SHARED, second=[SHARED, SHARED]), "some_experiment")
    assert code.count(".decay = 0.5") == 1


def test_members_keep_their_order() -> None:
    """Callbacks are called in the order of the config."""
    config = fdl.Config(named, ema=fdl.Config(Ema), progress=None, best=fdl.Config(Ema))
    assert list(fdl.build(run(as_python(config, "some_experiment")))) == ["ema", "progress", "best"]
