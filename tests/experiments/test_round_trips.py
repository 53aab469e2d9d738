"""Every registered experiment survives round trips through JSON, Python and its flat print."""

import copy
from typing import Any

import fiddle as fdl
import pytest
from helpers.config_graphs import same
from helpers.registered import EXPERIMENTS, FIDDLERS

from jersey import config as configs
from jersey.config.saved import from_json
from jersey.lint.checks import PACKAGES

CONFIGS = {name: configs.get_experiment(name)() for name in EXPERIMENTS}


def round_trip(config: fdl.Buildable, name: str) -> fdl.Buildable:
    """Converts a config to JSON and back, then to Python and back."""
    code = configs.as_python(from_json(configs.to_json(config, name), PACKAGES), name)
    module: dict[str, Any] = {}
    exec(compile(code, "config.py", "exec"), module)
    return module[name]()


CASES = [*((name, None) for name in CONFIGS), *(("resnet18_baseline", fiddler) for fiddler in FIDDLERS)]


@pytest.mark.parametrize(("name", "fiddler"), CASES)
def test_config_survives_json_and_python(name: str, fiddler: str | None) -> None:
    config = copy.deepcopy(CONFIGS[name])
    if fiddler is not None:
        configs.apply_fiddler(config, fiddler)
    assert same(round_trip(config, name), config)


@pytest.mark.parametrize("name", CONFIGS)
def test_shared_parts_stay_shared(name: str) -> None:
    config = copy.deepcopy(CONFIGS[name])
    config.trainer.callbacks.again = config.trainer.callbacks.checkpoints
    back = round_trip(config, name)
    assert back.trainer.callbacks.again is back.trainer.callbacks.checkpoints
    assert same(back, config)
    back.trainer.callbacks.again = copy.deepcopy(back.trainer.callbacks.checkpoints)
    assert round_trip(back, name) == back != config


@pytest.mark.parametrize("name", CONFIGS)
def test_each_printed_line_is_an_override_without_effect(name: str) -> None:
    config = copy.deepcopy(CONFIGS[name])
    lines = [line for line in configs.as_text(config).splitlines() if " = <" not in line]
    assert len(lines) > 30
    for line in lines:
        configs.apply_override(config, line)
    assert same(config, CONFIGS[name])
