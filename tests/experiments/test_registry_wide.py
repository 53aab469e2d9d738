"""Every registered experiment: it builds, has its golden print, takes the knobs, and a shrunk one runs to the end."""

import difflib
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import pytest

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.experiment import Experiment
from jersey.inference.onnx_model import OnnxModel
from jersey.run_folder import open_run

GOLDEN = Path(__file__).parent.parent / "golden"
# Tests of the registry register functions of their own in the same process.
NAMES = [
    name for name in configs.experiment_names() if configs.get_experiment(name).__module__.startswith("experiments.")
]
FIDDLERS = [name for name in configs.fiddler_names() if configs.get_fiddler(name).__module__.startswith("experiments.")]
KNOBS = {"lr": 0.125, "batch_size": 48, "epochs": 7, "seed": 11, "root": "/my/crops"}


def test_the_registry_is_not_empty() -> None:
    assert {"quickstart", "resnet18_baseline", "resnet50_baseline"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_the_checks_and_builds(name: str) -> None:
    config = configs.get_experiment(name)()
    configs.check(config)
    assert isinstance(fdl.build(config), Experiment)


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_tells_the_command(name: str) -> None:
    assert f"python launch.py --exp={name}" in (inspect.getdoc(configs.get_experiment(name)) or "")


@pytest.mark.parametrize("name", NAMES)
def test_a_change_to_it_shows_in_its_golden_print(name: str) -> None:
    """To accept a change: `UPDATE_GOLDEN=1 uv run pytest tests/experiments`."""
    text = configs.as_text(configs.get_experiment(name)())
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    expected = golden.read_text(encoding="utf-8") if golden.exists() else ""
    changes = "\n".join(
        difflib.unified_diff(expected.splitlines(), text.splitlines(), "golden", name, lineterm="", n=0)
    )
    assert not changes, f"{changes}\nif this is meant: UPDATE_GOLDEN=1 uv run pytest tests/experiments"


def test_no_golden_print_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(NAMES)


@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("name", NAMES)
def test_the_knobs_work_on_it(name: str, knob: str) -> None:
    config = configs.get_experiment(name)()
    before = configs.flatten(config)
    configs.apply_override(config, f"{knob}={KNOBS[knob]}")
    after = configs.flatten(config)
    changed = {path: after[path] for path in after if after[path] != before[path]}
    assert list(changed.values()) == [KNOBS[knob]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fiddler", FIDDLERS)
def test_every_fiddler_works_on_it(name: str, fiddler: str) -> None:
    config = configs.get_experiment(name)()
    before = configs.as_text(config)
    configs.apply_fiddler(config, fiddler)
    configs.check(config)
    assert isinstance(fdl.build(config), Experiment)
    assert configs.as_text(config) != before


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shrunk_one_trains_a_step_and_exports(
    name: str, shrink: Callable[[fdl.Buildable], None], tmp_path: Path
) -> None:
    config = configs.get_experiment(name)()
    shrink(config)
    config.trainer.limit_batches = 1
    folder = open_run(tmp_path, name, "run", config_text=configs.as_text(config), config_json=configs.to_json(config))
    fdl.build(config).run(folder, aim_repo=tmp_path / ".aim", flat_config=configs.flatten(config))
    assert folder.stage == "finished"
    mapping = json.loads((folder.path / "labels_mapping.json").read_text(encoding="utf-8"))
    assert list(OnnxModel(folder.path / "model.onnx").labels.names) == mapping["labels"]
