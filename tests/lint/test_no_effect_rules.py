"""Planted values without effect are found, similar values and registered experiments are not, and Lightning and torch
really ignore the values that are found."""

from pathlib import Path
from typing import Any

import fiddle as fdl
import lightning as L
import pytest
import torch
from helpers import config_parts
from helpers.config_parts import Change, part
from helpers.config_targets import example
from helpers.countdown import Countdown
from helpers.planted import EQUAL, SPLITS, baseline, sentences, splits
from helpers.registered import EXPERIMENTS
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from jersey import config as configs
from jersey.augment.base import Augment
from jersey.augment.color import Color
from jersey.augment.geometry import Geometry
from jersey.callbacks.freezing import FreezeBackbone
from jersey.lint.no_effect import findings
from jersey.lint.simulate import effects
from jersey.models.heads import CompositionalHead
from jersey.models.parts import NUMBERS
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.optimizers import adamw, sgd
from jersey.training.sam import SAM


def milestones(*steps: int) -> Change:
    return part("module.schedule", fdl.Partial(config_parts.in_steps, milestones=steps, gamma=0.1))


def optimizer(kind: Any, **settings: float) -> Change:
    return part("module.optimizer", fdl.Partial(kind, **settings))


def half_life(epochs: float) -> list[str | Change]:
    return ["ema.decay=None", f"half_life_epochs={epochs}"]


def freezing(frac: float) -> Change:
    return part("trainer.callbacks.freeze", fdl.Config(FreezeBackbone, freeze_frac=frac))


def sam(rho: float) -> Change:
    return part("module.sam", fdl.Config(SAM, rho=rho))


VALUES: list[tuple[list[str | Change], list[str]]] = [
    (["ema.decay=0.0"], ["trainer.callbacks.ema.decay=0.0"]),
    (["ema.decay=0.9999"], ["trainer.callbacks.ema.decay=0.9999", "1,020 steps"]),
    # The ramp ends at 1020/1029 after 1,020 steps: its half-life is 79 steps, and an epoch has 34.
    (half_life(2.35), ["trainer.callbacks.ema.half_life_epochs=2.35", "2.32 epochs", "1,020 steps"]),
    (half_life(1e-5), ["trainer.callbacks.ema.half_life_epochs=1e-05"]),
    (["warmup_frac=1.0", "final_frac=0.0"], ["module.schedule.warmup_frac=1.0"]),
    (["warmup_frac=0.0001"], ["module.schedule.warmup_frac=0.0001"]),
    ([milestones(1020, 5000)], ["module.schedule.milestones=(1020, 5000)", "module.schedule.gamma=0.1"]),
    ([part("module.schedule", fdl.Partial(config_parts.rising))], ["module.schedule raises"]),
    (["weight_decay=1e-4"], ["module.optimizer.weight_decay=0.0001"]),
    (["allow_weights_and_sampler=True"], ["module.allow_weights_and_sampler=True", "module.class_weight_power"]),
    (
        ["class_weight_power=0.5", "sampler_power=0.0", part("module.loss", fdl.Config(config_parts.PlainLoss))],
        ["module.class_weight_power=0.5", "module.loss"],
    ),
    (["patience=29"], ["trainer.callbacks.early_stopping.patience=29", "trainer.epochs=30"]),
    (["limit_batches=34"], ["trainer.limit_batches=34", "train 34"]),
    (["accumulate=35", "ema.decay=0.5"], ["trainer.accumulate=35", "batches of an epoch (34)"]),
    (["clip_norm=0.0"], ["trainer.clip_norm=0.0"]),
    (["clip_norm=-1.0"], ["trainer.clip_norm=-1.0"]),
    ([freezing(0.0)], ["trainer.callbacks.freeze.freeze_frac=0.0"]),
    ([freezing(0.0004)], ["trainer.callbacks.freeze.freeze_frac=0.0004", "1,020"]),
    ([sam(0.0)], ["module.sam.rho=0.0"]),
    (["noise.std=0.0"], ["module.augment.noise"]),
    ([part("module.augment.geometry", fdl.Config(Geometry))], ["module.augment.geometry"]),
    ([part("module.augment", fdl.Config(Augment))], ["module.augment"]),
    # Similar values with an effect.
    (["ema.decay=0.991"], []),
    (half_life(2.3), []),
    ([part("trainer.callbacks.ema", None)], []),
    (["warmup_frac=0.99"], []),
    (["warmup_frac=0.0016"], []),  # two steps
    (["warmup_frac=0.0", "final_frac=0.0"], []),
    ([milestones(1000)], []),
    ([part("module.schedule", fdl.Partial(config_parts.one_cycle, max_lr=0.001))], []),
    (["lr=1e-5"], []),
    (["weight_decay=1e-3"], []),
    (["weight_decay=0.0"], []),
    ([optimizer(adamw, lr=1e-6)], []),  # the default weight decay
    ([optimizer(sgd, lr=1e-4, momentum=0.9, weight_decay=1e-4)], []),
    (["class_weight_power=0.5", "allow_weights_and_sampler=True"], []),
    (["class_weight_power=0.5", "sampler_power=0.0"], []),
    (["patience=28"], []),
    ([part("trainer.callbacks.early_stopping", None)], []),
    (["limit_batches=33"], []),
    (["accumulate=34", "ema.decay=0.5"], []),
    (["clip_norm=None"], []),
    (["clip_norm=1e-3"], []),
    ([freezing(0.0005)], []),  # one step
    ([sam(0.001)], []),
    (["noise.std=0.01"], []),
    ([part("module.augment.color", fdl.Config(Color, channel_swap_p=0.02))], []),  # 1 crop in 25
    ([part("module.augment", None)], []),
]


@pytest.mark.parametrize(("changes", "paths"), VALUES)
def test_a_value_without_effect_is_found_and_a_similar_one_is_not(
    changes: list[str | Change], paths: list[str]
) -> None:
    found = sentences("no effect", baseline(*changes))
    assert len(found) == bool(paths)
    assert all(path in found[0] for path in paths), found


def test_classes_that_differ_by_one_crop_are_not_equal() -> None:
    (found,) = sentences("no effect", baseline(), splits(EQUAL))
    assert "data.sampler_power=0.5" in found
    assert "500 train crops" in found
    (found,) = sentences("no effect", baseline("sampler_power=0", "class_weight_power=0.7"), splits(EQUAL))
    assert "module.class_weight_power=0.7" in found
    adjusted = part("module.loss", fdl.Config(LogitAdjustedLoss, tau=0.5))
    (found,) = sentences("no effect", baseline("sampler_power=0", adjusted), splits(EQUAL))
    assert "module.loss.tau=0.5" in found
    assert sentences("no effect", baseline("sampler_power=0"), splits(EQUAL)) == []
    assert sentences("no effect", baseline(), splits(EQUAL | {"00": 501})) == []


WITHOUT_COUNTS: list[tuple[list[str | Change], int]] = [
    *((["ema.decay=0.9999"], 0), (["warmup_frac=0.0004"], 0), (["accumulate=9999"], 0), (["limit_batches=9999"], 0)),
    *((["sampler_power=1.0"], 0), ([freezing(0.0004)], 0), (half_life(2.35), 0)),
    *((["warmup_frac=1.0", "final_frac=0.0"], 1), (["clip_norm=0.0"], 1), (["patience=29"], 1)),
    *((["noise.std=0.0"], 1), ([freezing(0.0)], 1)),
]


@pytest.mark.parametrize(("changes", "count"), WITHOUT_COUNTS)
def test_without_data_only_findings_that_need_no_counts_are_reported(changes: list[str | Change], count: int) -> None:
    assert len(sentences("no effect", baseline(*changes), None)) == count


@pytest.mark.parametrize("is_there", [True, False], ids=["data", "to be generated"])
def test_the_schedule_is_simulated_with_the_labels_of_the_run(is_there: bool) -> None:
    """Without a holistic term, this head accepts only numbers of at most two digits, not labels up to 110."""
    config = config_parts.baseline("warmup_frac=0.0001")
    config.data.root = "/nowhere"
    config.data.generate = fdl.Partial(config_parts.named, numbers=NUMBERS, train=20 * len(NUMBERS))
    config.module.network.head = fdl.Partial(CompositionalHead, holistic_scale=0.0)
    found = sentences("no effect", config, splits(dict.fromkeys(NUMBERS, 20)) if is_there else None)
    assert any("module.schedule.warmup_frac=0.0001" in sentence for sentence in found), found


def test_parts_of_a_user_pass() -> None:
    assert findings(effects(example())) == []
    for path in ("module", "trainer", "data"):
        assert findings(effects(baseline(part(path, fdl.Partial(config_parts.named, mine=1))), SPLITS)) == []


def test_the_state_of_the_random_generator_is_not_changed() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    findings(effects(configs.get_experiment("resnet18_baseline")(), SPLITS))
    assert torch.equal(torch.rand(3), expected)


def fit(folder: Path, **keywords: Any) -> tuple[Countdown, L.Trainer]:
    torch.manual_seed(0)
    module = Countdown()
    off: Any = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = L.Trainer(accelerator="cpu", default_root_dir=folder, **dict.fromkeys(off, False), **keywords)
    batches: Any = [torch.full((1, 4, 1), 100.0)]
    trainer.fit(module, DataLoader(batches, batch_size=None), DataLoader(batches, batch_size=None))
    return module, trainer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_lightning_stops_no_earlier_than_reported(patience: int, tmp_path: Path) -> None:
    """The loss only gets worse, which leads to the earliest possible stop."""
    stopping = EarlyStopping(monitor="val/loss", patience=patience)
    _, trainer = fit(tmp_path, max_epochs=8, callbacks=[stopping])
    earliest = trainer.current_epoch
    for epochs, found in ((earliest, 1), (earliest + 1, 0)):
        config = baseline(f"patience={patience}", f"epochs={epochs}", "ema.decay=0.5")
        assert len(sentences("no effect", config)) == found


@pytest.mark.filterwarnings("ignore")
def test_lightning_does_not_clip_at_zero(tmp_path: Path) -> None:
    weights = {}
    for clip in (None, 0.0, -1.0, 1.0):
        module, _ = fit(tmp_path, max_epochs=1, gradient_clip_val=clip)
        weights[clip] = module.layer.weight.item()
    assert weights[0.0] == weights[-1.0] == weights[None]
    assert weights[1.0] != weights[None]


# As many crops as the quick start generates; its number of steps decides whether the EMA reaches the end of its ramp.
QUICK_START = splits({"23": 1200, "0": 900, "7": 700, "00": 500, "11": 400, "4": 300})


@pytest.mark.parametrize("is_there", [True, False], ids=["data", "no data"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_registered_experiment_has_findings(name: str, is_there: bool, tmp_path: Path) -> None:
    config = configs.get_experiment(name)()
    config.data.root = str(tmp_path / "nothing here")
    data = QUICK_START if config.data.generate else SPLITS
    assert findings(effects(config, data if is_there else None)) == []
