"""Values planted to have no effect are found, near misses and registered experiments are not accused, and Lightning and
torch really do nothing with them."""

from pathlib import Path
from typing import Any

import fiddle as fdl
import lightning as L
import pytest
import torch
from helpers import config_parts
from helpers.config_parts import part
from helpers.config_targets import example
from helpers.countdown import Countdown
from helpers.planted import EQUAL, SPLITS, Change, baseline, sentences, splits
from helpers.registered import EXPERIMENTS
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from jersey import config as configs
from jersey.augment.base import Augment
from jersey.augment.color import Colour
from jersey.augment.geometry import Geometry
from jersey.callbacks.freeze_backbone import FreezeBackbone
from jersey.lint.no_effect import findings
from jersey.models.heads import CompositionalHead
from jersey.models.parts import NUMBERS
from jersey.training.optimizers import adamw, sgd
from jersey.training.sam import SAM


def milestones(*steps: int) -> Change:
    return part("module.schedule", fdl.Partial(config_parts.in_steps, milestones=steps, gamma=0.1))


def optimizer(kind: Any, **settings: float) -> Change:
    return part("module.optimizer", fdl.Partial(kind, **settings))


def half_life(epochs: float) -> list[str]:
    return ["ema.decay=None", f"half_life_epochs={epochs}"]


def freezing(frac: float) -> Change:
    return part("trainer.callbacks.freeze", fdl.Config(FreezeBackbone, frac=frac))


def sam(rho: float) -> Change:
    return part("module.sam", fdl.Config(SAM, rho=rho))


PLANTED: list[tuple[list[str], Change | None, list[str]]] = [
    (["ema.decay=0.0"], None, ["trainer.callbacks.ema.decay=0.0"]),
    (["ema.decay=0.9999"], None, ["trainer.callbacks.ema.decay=0.9999", "1,020 steps"]),
    (["warmup_frac=1.0", "final_frac=0.0"], None, ["module.schedule.warmup_frac=1.0"]),
    (["warmup_frac=0.0001"], None, ["module.schedule.warmup_frac=0.0001"]),
    (["weights_on_top_of_sampler=True"], None, ["module.weights_on_top_of_sampler=True", "module.weight_power"]),
    (["patience=29"], None, ["trainer.callbacks.early_stopping.patience=29", "trainer.epochs=30"]),
    (["accumulate=60", "ema.decay=0.5"], None, ["trainer.accumulate=60", "34 batches"]),
    (["clip_norm=0.0"], None, ["trainer.clip_norm=0.0"]),
    (["noise.std=0.0"], None, ["module.augment.noise"]),
    # The ramp ends at 1020/1029 after 1,020 steps: 79 steps leave a half, and an epoch has 34.
    (half_life(2.35), None, ["trainer.callbacks.ema.half_life_epochs=2.35", "2.32 epochs", "1,020 steps"]),
    (half_life(1e-5), None, ["trainer.callbacks.ema.half_life_epochs=1e-05"]),
    ([], milestones(1020, 5000), ["module.schedule.milestones=(1020, 5000)", "module.schedule.gamma=0.1"]),
    ([], part("module.schedule", fdl.Partial(config_parts.rising)), ["module.schedule raises"]),
    (["weight_decay=1e-4"], None, ["module.optimizer.weight_decay=0.0001"]),
    (
        ["weight_power=0.5", "sampler_power=0.0"],
        part("module.loss", fdl.Config(config_parts.PlainLoss)),
        ["module.weight_power=0.5", "module.loss"],
    ),
    (["limit_batches=34"], None, ["trainer.limit_batches=34", "train 34"]),
    (["accumulate=35", "ema.decay=0.5"], None, ["trainer.accumulate=35"]),
    (["clip_norm=-1.0"], None, ["trainer.clip_norm=-1.0"]),
    ([], freezing(0.0), ["trainer.callbacks.freeze.frac=0.0"]),
    ([], freezing(0.0004), ["trainer.callbacks.freeze.frac=0.0004", "1,020"]),
    ([], sam(0.0), ["module.sam.rho=0.0"]),
    ([], part("module.augment.geometry", fdl.Config(Geometry)), ["module.augment.geometry"]),
    ([], part("module.augment", fdl.Config(Augment)), ["module.augment"]),
]


@pytest.mark.parametrize(("overrides", "change", "named"), PLANTED)
def test_it_is_found_and_nothing_else(overrides: list[str], change: Change | None, named: list[str]) -> None:
    (found,) = sentences("no effect", baseline(*overrides, change=change))
    assert all(path in found for path in named), found


NEAR: list[tuple[list[str], Change | None]] = [
    (["warmup_frac=0.99"], None),
    (["warmup_frac=0.003"], None),
    (["ema.decay=0.991"], None),
    (["weight_power=0.5", "weights_on_top_of_sampler=True"], None),
    (["patience=28"], None),
    (["limit_batches=33"], None),
    (["accumulate=34", "ema.decay=0.5"], None),
    (["clip_norm=None"], None),
    (["weight_decay=0.0"], None),
    (["noise.std=0.01"], None),
    (half_life(2.3), None),
    ([], freezing(0.0005)),  # one step
    ([], sam(0.001)),
    (["warmup_frac=0.0016"], None),  # two steps
    (["warmup_frac=0.0", "final_frac=0.0"], None),
    ([], milestones(1000)),
    ([], part("module.schedule", fdl.Partial(config_parts.one_cycle, max_lr=0.001))),
    (["lr=1e-5"], None),
    (["weight_decay=1e-3"], None),
    ([], optimizer(adamw, lr=1e-6)),  # a decay nobody chose
    ([], optimizer(sgd, lr=1e-4, momentum=0.9, weight_decay=1e-4)),
    (["weight_power=0.5", "sampler_power=0.0"], None),
    (["clip_norm=1e-3"], None),
    ([], part("module.augment.colour", fdl.Config(Colour, swap=0.02))),  # 1 crop in 25
    ([], part("module.augment", None)),
    ([], part("trainer.callbacks.ema", None)),
    ([], part("trainer.callbacks.early_stopping", None)),
]


@pytest.mark.parametrize(("overrides", "change"), NEAR)
def test_a_value_just_beside_is_not(overrides: list[str], change: Change | None) -> None:
    assert sentences("no effect", baseline(*overrides, change=change)) == []


def test_classes_a_crop_apart_are_not_equal() -> None:
    (found,) = sentences("no effect", baseline(), splits(EQUAL))
    assert "data.sampler_power=0.5" in found
    assert "500 train crops" in found
    (found,) = sentences("no effect", baseline("sampler_power=0", "weight_power=0.7"), splits(EQUAL))
    assert "module.weight_power=0.7" in found
    assert sentences("no effect", baseline("sampler_power=0"), splits(EQUAL)) == []
    assert sentences("no effect", baseline(), splits(EQUAL | {"00": 501})) == []


@pytest.mark.parametrize(
    "override", ["ema.decay=0.9999", "warmup_frac=0.0004", "accumulate=9999", "limit_batches=9999", "sampler_power=1.0"]
)
def test_what_needs_the_counts_is_not_found_without_data(override: str) -> None:
    assert sentences("no effect", baseline(override), None) == []


@pytest.mark.parametrize(
    "overrides", [["warmup_frac=1.0", "final_frac=0.0"], ["clip_norm=0.0"], ["patience=29"], ["noise.std=0.0"]]
)
def test_what_needs_no_counts_is_found_without_data(overrides: list[str]) -> None:
    assert len(sentences("no effect", baseline(*overrides), None)) == 1


def test_a_final_rate_behind_a_warmup_of_the_whole_run_is_unused() -> None:
    said = sentences("no effect", baseline("warmup_frac=1.0", "final_frac=0.5"))
    assert any("module.schedule.final_frac=0.5 change no learning rate" in sentence for sentence in said)


def test_without_the_counts_a_small_share_may_be_a_step() -> None:
    assert sentences("no effect", baseline(change=freezing(0.0004)), None) == []
    assert len(sentences("no effect", baseline(change=freezing(0.0)), None)) == 1
    assert sentences("no effect", baseline(*half_life(2.35)), None) == []


@pytest.mark.parametrize("is_there", [True, False], ids=["data", "to be drawn"])
def test_the_schedule_is_tried_on_the_labels_of_the_run(is_there: bool) -> None:
    """Without a holistic term this head takes numbers of at most two digits, so no labels that count to 110."""
    config = config_parts.baseline("warmup_frac=0.0001")
    config.data.root = "/nowhere"
    config.data.draw = fdl.Partial(config_parts.named, numbers=NUMBERS, train=20 * len(NUMBERS))
    config.module.network.head = fdl.Partial(CompositionalHead, holistic_scale=0.0)
    said = sentences("no effect", config, splits(dict.fromkeys(NUMBERS, 20)) if is_there else None)
    assert any("module.schedule.warmup_frac=0.0001" in sentence for sentence in said), said


def test_a_drawn_data_set_is_read_from_its_root(crops_root: Path) -> None:
    """48 crops make three batches; the count comes from the files."""
    config = baseline("batch_size=16", "accumulate=4", "ema.decay=0.5", root=str(crops_root))
    (found,) = sentences("no effect", config, None)
    assert "trainer.accumulate=4" in found
    assert "the 3 batches" in found


def test_a_users_own_parts_pass() -> None:
    assert findings(example()) == []
    for path in ("module", "trainer", "data"):
        assert findings(baseline(change=part(path, fdl.Partial(config_parts.named, mine=1))), SPLITS) == []


def test_a_finding_reads_kind_first() -> None:
    (finding,) = findings(baseline("clip_norm=0.0"), SPLITS)
    assert str(finding).startswith("no effect: trainer.clip_norm=0.0 ")


def test_the_randomness_of_the_run_to_come_is_left_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    findings(configs.get_experiment("resnet18_baseline")(), SPLITS)
    assert torch.equal(torch.rand(3), wanted)


def fit(folder: Path, *, epochs: int, clip: float | None = None, callbacks: Any = ()) -> tuple[Countdown, L.Trainer]:
    torch.manual_seed(0)
    module = Countdown()
    trainer = L.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        gradient_clip_val=clip,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches: Any = [torch.full((1, 4, 1), 100.0)]
    trainer.fit(module, DataLoader(batches, batch_size=None), DataLoader(batches, batch_size=None))
    return module, trainer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_lightning_stops_no_earlier_than_is_said(patience: int, tmp_path: Path) -> None:
    """A loss that only gets worse: the earliest stop there is."""
    stopping = EarlyStopping(monitor="val/loss", patience=patience)
    _, trainer = fit(tmp_path, epochs=8, callbacks=[stopping])
    earliest = trainer.current_epoch
    for epochs, found in ((earliest, 1), (earliest + 1, 0)):
        config = baseline(f"patience={patience}", f"epochs={epochs}", "ema.decay=0.5")
        assert len(sentences("no effect", config)) == found


@pytest.mark.filterwarnings("ignore")
def test_lightning_does_not_clip_at_zero(tmp_path: Path) -> None:
    weights = {clip: fit(tmp_path, epochs=1, clip=clip)[0].layer.weight.item() for clip in (None, 0.0, -1.0, 1.0)}
    assert weights[0.0] == weights[-1.0] == weights[None]
    assert weights[1.0] != weights[None]


def test_single_precision_loses_the_decay_that_is_said_to_be_lost() -> None:
    for decay, lost in ((1e-4, True), (1e-3, False)):
        assert (torch.tensor(1 - 1e-4 * decay, dtype=torch.float32) == 1).item() == lost


# The quick start draws this many; its steps decide whether the average gets past its ramp.
DRAWN = splits({"23": 1200, "0": 900, "7": 700, "00": 500, "11": 400, "4": 300})


@pytest.mark.parametrize("is_there", [True, False], ids=["data", "no data"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_registered_experiment_is_accused(name: str, is_there: bool, tmp_path: Path) -> None:
    config = configs.get_experiment(name)()
    config.data.root = str(tmp_path / "nothing here")
    data = DRAWN if config.data.draw else SPLITS
    assert [str(each) for each in findings(config, data if is_there else None)] == []
