"""Every registered experiment builds and accepts overrides and fiddlers, and a small version runs to the end."""

import inspect
from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import pytest
from helpers.registered import EXPERIMENTS as NAMES
from helpers.registered import FIDDLERS

from jersey import config as configs
from jersey import testing
from jersey.augment.mixing import CutMix
from jersey.experiment import Experiment
from jersey.lint.checks import check

OVERRIDES = {"lr": 0.125, "batch_size": 48, "epochs": 7, "seed": 11, "root": "/my/crops"}


def test_the_registry_is_not_empty() -> None:
    assert {"quickstart", "resnet18_baseline", "resnet50_baseline"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_experiment_passes_the_checks_builds_and_documents_its_command(name: str) -> None:
    testing.check_builds(name)
    assert f"python launch.py --exp={name}" in (inspect.getdoc(configs.get_experiment(name)) or "")


@pytest.mark.parametrize("name", NAMES)
def test_each_override_sets_one_value(name: str) -> None:
    for path, value in OVERRIDES.items():
        config = configs.get_experiment(name)()
        before = configs.flatten(config)
        configs.apply_override(config, f"{path}={value}")
        assert [new for full_path, new in configs.flatten(config).items() if new != before[full_path]] == [value]


@pytest.mark.parametrize("name", NAMES)
def test_each_callback_and_operation_can_be_removed_by_a_flag(name: str) -> None:
    config = configs.get_experiment(name)()
    for parent, path in ((config.trainer.callbacks, "trainer.callbacks"), (config.module.augment, "module.augment")):
        for member in fdl.ordered_arguments(parent):
            configs.apply_override(config, f"{path}.{member}=None")
        assert set(fdl.ordered_arguments(parent).values()) == {None}
    check(config)
    assert isinstance(fdl.build(config), Experiment)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fiddler", FIDDLERS)
def test_every_fiddler_works_on_every_experiment(name: str, fiddler: str) -> None:
    config = configs.get_experiment(name)()
    configs.apply_fiddler(config, fiddler)
    check(config)
    assert isinstance(fdl.build(config), Experiment)


@pytest.mark.parametrize("fiddler", FIDDLERS)
def test_every_fiddler_changes_the_baseline(fiddler: str) -> None:
    """Other experiments may already have the values that a fiddler sets, such as random weights."""
    config = configs.get_experiment("resnet18_baseline")()
    before = configs.as_text(config)
    configs.apply_fiddler(config, fiddler)
    assert configs.as_text(config) != before


def test_overfit_batch_removes_mixing() -> None:
    """A config without mixing gets no value for it."""
    plain, mixing = (configs.get_experiment("resnet18_baseline")() for _ in range(2))
    mixing.module.mix = fdl.Config(CutMix, alpha=1.0)
    for config in (plain, mixing):
        configs.apply_fiddler(config, "overfit_batch")
    assert configs.flatten(mixing) == configs.flatten(plain) | {"module.mix": None}
    assert "module.mix" not in configs.flatten(plain)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_small_version_trains_a_step_and_each_kind_of_network_is_exported(
    name: str, shrink: Callable[[fdl.Buildable], None], tmp_path: Path
) -> None:
    """Only one experiment per kind of network is exported: export takes longest and depends only on the network."""
    shrunk = {each: configs.get_experiment(each)() for each in NAMES}
    for config in shrunk.values():
        shrink(config)
    first_of_kind = {configs.as_text(shrunk[each].module.network): each for each in reversed(NAMES)}
    assert len(first_of_kind) < len(NAMES)
    testing.train_a_step(name, tmp_path, export=name in first_of_kind.values())
