"""Each experiment's flat print lies in the repository, so a review of a change shows what it does to every experiment.

To accept a change: `UPDATE_GOLDEN=1 uv run pytest tests/experiments`.
"""

import difflib
import importlib
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from helpers.registered import EXPERIMENTS as NAMES

from jersey import config as configs
from jersey.config import registry

REPOSITORY = Path(__file__).parent.parent.parent
GOLDEN = REPOSITORY / "tests" / "golden"
BASELINE = "resnet18_baseline"


def changes(old: str, new: str) -> list[str]:
    """The lines that differ, old ones behind "-" and new ones behind "+"."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def golden(name: str) -> str:
    path = GOLDEN / f"{name}.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize("name", NAMES)
def test_a_change_to_it_shows_in_its_golden_print(name: str) -> None:
    text = configs.as_text(configs.get_experiment(name)())
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / f"{name}.txt").write_text(text, encoding="utf-8")
    changed = "\n".join(changes(golden(name), text))
    assert not changed, f"{changed}\nif this is meant: UPDATE_GOLDEN=1 uv run pytest tests/experiments"


def test_no_golden_print_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(NAMES)


def prints_with(pattern: str, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The prints of a copy of `experiments` in whose common.py `number` stands in the one place of `pattern`."""
    shutil.copytree(REPOSITORY / "experiments", tmp_path / "experiments")
    common = tmp_path / "experiments" / "common.py"
    text, count = re.subn(pattern, number, common.read_text(encoding="utf-8"))
    assert count == 1
    assert len(changes(common.read_text(encoding="utf-8"), text)) == 2
    common.write_text(text, encoding="utf-8")
    with monkeypatch.context() as patch:
        for module in [name for name in sys.modules if name.partition(".")[0] == "experiments"]:
            patch.delitem(sys.modules, module)
        for each in (registry._experiments, registry._fiddlers):
            patch.setattr(each, "_functions", {})
        patch.syspath_prepend(tmp_path)
        assert str(importlib.import_module("experiments").__file__).startswith(str(tmp_path))
        return {name: configs.as_text(configs.get_experiment(name)()) for name in configs.experiment_names()}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (r"(?<=clip_norm=)[^,)]+", "trainer.clip_norm"),
        (r"(?<=EMA, decay=)[^,)]+", "trainer.callbacks.ema.decay"),
        (r"(?<=adamw, lr=)[^,)]+", "module.optimizer.lr"),
        (r"(?<=perspective=)[^,)]+", "module.augment.geometry.perspective"),
    ],
)
def test_a_line_of_the_common_parts_shows_as_a_line_in_each_experiment_that_uses_it(
    pattern: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline is the common parts as they are; who prints another value there, or none, has set it itself."""
    prints = prints_with(pattern, "0.0625", tmp_path, monkeypatch)
    assert set(prints) == set(NAMES)
    (line,) = [line for line in golden(BASELINE).splitlines() if line.startswith(f"{path} = ")]
    for name, text in prints.items():
        uses_it = line in golden(name).splitlines()
        assert changes(golden(name), text) == ([f"-{line}", f"+{path} = 0.0625"] if uses_it else [])


def test_experiments_that_set_a_value_themselves_are_among_those_tested() -> None:
    lr = {line for name in NAMES for line in golden(name).splitlines() if line.startswith("module.optimizer.lr = ")}
    assert len(lr) > 1
    assert any("module.augment.geometry.perspective" not in golden(name) for name in NAMES)


def test_a_copy_of_the_experiments_leaves_the_real_ones_in_place() -> None:
    assert str(importlib.import_module("experiments").__file__).startswith(str(REPOSITORY))
    assert set(NAMES) <= set(configs.experiment_names())
