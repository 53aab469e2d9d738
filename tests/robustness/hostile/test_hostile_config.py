"""A saved config from a stranger is refused in a sentence, before anything that it names is imported or called.

What the reader lets through, name by name, is in `tests/config/test_reader.py`.
"""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.watched import watched

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.core.errors import UserError
from jersey.lint.checks import check, load

SAVED = configs.to_json(configs.get_experiment("quickstart")(), "quickstart")
MARK = 987654321


def with_value(path: str, value: str) -> str:
    """The saved quick start, where one argument has another value, given as JSON."""
    config = configs.get_experiment("quickstart")()
    *parts, leaf = path.split(".")
    setattr(functools.reduce(getattr, parts, config), leaf, MARK)
    before, after = configs.to_json(config, "quickstart").split(str(MARK))
    return before + value + after


def naming(module: str, name: str) -> str:
    """The saved quick start, with another optimiser."""
    text = json.loads(SAVED)

    def renamed(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("name") == "adamw":
                return {**node, "module": module, "name": name}
            return {key: renamed(child) for key, child in node.items()}
        return [renamed(child) for child in node] if isinstance(node, list) else node

    changed = json.dumps(renamed(text))
    assert changed != json.dumps(text)
    return changed


HOSTILE = {
    "os.system": naming("os", "system"),
    "posix.system": naming("posix", "system"),
    "__import__": naming("builtins", "__import__"),
    "eval": naming("builtins", "eval"),
    "a module of torch that holds os": naming("torch", "os"),
    "an attribute of an attribute": naming("torch.nn", "Module.__init__.__globals__"),
    "a module that is not there": naming("jersey.no_such_module", "run"),
    "brackets without end": "[" * 200_000,
    "objects without end": '{"root":' * 200_000,
    "a number of 100,000 digits": with_value("seed", "9" * 100_000),
    "a seed too large": with_value("seed", str(10**40)),
    "a seed that numpy refuses": with_value("seed", str(2**32)),
    "a text for a number": with_value("data.batch_size", '"$(id)"'),
    "a number for a sub-config": with_value("module.optimizer", "3"),
    "a sub-config for a number": with_value("data.batch_size", "0").replace(
        '"type": "leaf",\n      "value": 0,', '"type": "ref", "key": "make_trainer_1", "x": 0,', 1
    ),
    "another experiment's name": SAVED.replace('"experiment": "quickstart"', '"experiment": "../../quickstart"'),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_is_refused_and_does_nothing(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(HOSTILE[kind], encoding="utf-8")
    with watched() as seen, pytest.raises(UserError) as caught:
        check(load(file)[1])
    assert seen == []
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_the_config_that_they_are_made_of_is_taken(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(with_value("seed", "7"), encoding="utf-8")
    name, config = load(tmp_path)
    assert (name, config.seed) == ("quickstart", 7)
    check(config)
