"""The computed effects of a config agree with a real run, counted samples and manual calculations."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiddle as fdl
import lightning as L
import pytest
import torch
from helpers import config_parts
from helpers.config_parts import baseline, part
from helpers.illegible_crops import write_crops
from helpers.planted import LONG_TAIL, splits
from lightning.pytorch.callbacks import Callback

from jersey import config as configs
from jersey.augment.base import Augment
from jersey.callbacks.ema import EMA
from jersey.core.labels import Labels
from jersey.data.supplement import SyntheticSupplement
from jersey.lint.simulate import effects
from jersey.models.heads import CompositionalHead
from jersey.models.network import classifier
from jersey.models.parts import PARTS
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.trainer import callback_dict

SPLITS = splits(LONG_TAIL)


class RecordingEMA(EMA):
    """Records the decay of every update."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.decays: list[float] = []

    def decay_at(self, step: int) -> float:
        self.decays.append(super().decay_at(step))
        return self.decays[-1]


class RecordLearningRates(Callback):
    """Records each group's learning rate at every optimizer step."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        self.rates.append([group["lr"] for group in optimizer.param_groups])


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
@pytest.mark.parametrize(
    ("accumulate", "limit_batches", "ema_settings"),
    [(3, 7, {"half_life_epochs": 0.15}), (20, None, {"decay": 0.5})],
)
def test_steps_learning_rates_and_ema_agree_with_a_real_run(
    accumulate: int,
    limit_batches: int | None,
    ema_settings: dict[str, float],
    shrink: Callable[[fdl.Buildable], None],
    tmp_path: Path,
) -> None:
    config = baseline("lr=0.01", "batch_size=5", "epochs=2", f"accumulate={accumulate}", "backbone_lr_scale=0.1")
    shrink(config)
    config.data.batch_size, config.trainer.epochs, config.trainer.limit_batches = 5, 2, limit_batches
    config.module.network = fdl.Partial(config_parts.tiny_network)
    config.trainer.callbacks = fdl.Config(
        callback_dict, ema=fdl.Config(RecordingEMA, **ema_settings), rates=fdl.Config(RecordLearningRates)
    )
    computed = effects(config)

    built = fdl.build(config)
    data = built.data(seed=0)
    data.setup()
    module = built.module(labels=data.labels, class_counts=data.class_counts, seed=0)
    trainer = built.trainer(run_dir=tmp_path, loggers=[], run_state=module.run_state)
    trainer.fit(module, datamodule=data)

    ema, recorder, *_ = trainer.callbacks
    assert computed.steps == trainer.global_step == trainer.estimated_stepping_batches
    assert computed.batches == trainer.num_training_batches
    assert computed.epoch_steps == trainer.global_step / 2
    rates = [group.settings["lr"] for group in (computed.groups or {}).values()]
    assert rates == list(zip(*recorder.rates, strict=True))
    assert computed.ema_decay == tuple(ema.decays)
    assert computed.labels == data.labels.names
    assert [each.crops for each in (computed.classes or {}).values()] == data.class_counts


def test_the_fraction_of_the_loss_agrees_with_a_manual_calculation() -> None:
    """8 and 2 crops: sampled as their roots, 2 to 1; weighted as 1/8 to 1/2, scaled to a mean of 1 over the crops."""
    computed = effects(
        baseline("sampler_power=0.5", "class_weight_power=1.0", "batch_size=2"), splits({"0": 8, "00": 2}, evaluation=1)
    )
    assert computed.classes is not None
    assert [(name, each.crops) for name, each in computed.classes.items()] == [("0", 8), ("00", 2)]
    for found, expected in zip(computed.classes.values(), [(2 / 3, 5 / 8, 1 / 3), (1 / 3, 5 / 2, 2 / 3)], strict=True):
        assert (found.probability, found.weight, found.loss_fraction) == pytest.approx(expected)


def test_the_logit_adjustment_is_relative_to_the_most_frequent_class() -> None:
    loss = part("module.loss", fdl.Config(LogitAdjustedLoss, tau=0.5))
    computed = effects(baseline(loss, "batch_size=2"), splits({"0": 8, "00": 2}, evaluation=1))
    assert computed.classes is not None
    found = [each.adjustment for each in computed.classes.values()]
    assert found == pytest.approx([0, -0.5 * math.log(8 / 2)], rel=1e-6)


def test_a_pinned_label_without_crops_has_no_weight() -> None:
    computed = effects(baseline("labels=0,00,99", "batch_size=2"), splits({"0": 8, "00": 2}))
    assert computed.labels == ("0", "00", "99")
    assert computed.classes is not None
    assert (
        computed.classes["99"].crops == computed.classes["99"].loss_fraction == computed.classes["99"].probability == 0
    )


def test_groups_contain_every_parameter_of_the_real_network() -> None:
    computed = effects(baseline(), SPLITS)
    labels = Labels(tuple(LONG_TAIL))
    network = classifier(labels=labels, architecture="resnet18", weights=None, head=CompositionalHead)
    assert computed.groups is not None
    assert list(computed.groups) == ["backbone_decay", "backbone_no_decay", "head_decay", "head_no_decay"]
    assert sum(group.parameters for group in computed.groups.values()) == sum(p.numel() for p in network.parameters())
    assert sum(group.tensors for group in computed.groups.values()) == len(list(network.parameters()))
    assert [group.settings["weight_decay"] for group in computed.groups.values()] == [(0.05,), (0,), (0.05,), (0,)]


@pytest.mark.parametrize("name", ["quickstart", "resnet18_baseline", "resnet18_small", "resnet50_baseline"])
def test_all_effects_of_registered_experiments_are_computed_without_warnings(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        computed = effects(baseline(name=name), SPLITS)
    assert computed.notes == ()
    assert not computed.assumed
    assert None not in (computed.steps, computed.groups, computed.ema_decay, computed.classes, computed.augmentation)


def test_the_network_is_built_for_the_labels_of_the_data() -> None:
    config = baseline("batch_size=2", part("module.network.head", fdl.Partial(CompositionalHead)))
    assert effects(config, splits({"0": 8, "00": 2})).notes == ()
    (note,) = effects(config, splits({"A7": 8, "B7": 2})).notes
    assert "needs labels that are numbers" in note


def test_a_schedule_in_steps_agrees_with_a_manual_calculation() -> None:
    in_steps = fdl.Partial(config_parts.in_steps, milestones=(2, 5), gamma=0.1)
    config = baseline("lr=1.0", "epochs=1", "limit_batches=6", part("module.schedule", in_steps))
    assert (effects(config, SPLITS).groups or {})["head_decay"].settings["lr"] == pytest.approx(
        (1, 1, 0.1, 0.1, 0.1, 0.01)
    )


def test_without_data_a_count_is_assumed_and_noted(tmp_path: Path) -> None:
    computed = effects(baseline(f"root={tmp_path / 'none'}"))
    assert computed.assumed
    assert computed.classes is computed.labels is None
    assert computed.steps == computed.train_crops // 64 * 30
    (note,) = computed.notes
    assert str(tmp_path / "none") in note
    assert f"{computed.train_crops:,} train crops" in note


def test_the_count_of_crops_to_be_generated_is_known(tmp_path: Path) -> None:
    overrides = ("generate.train=500", "data.batch_size=40", "trainer.epochs=7")
    computed = effects(baseline(f"root={tmp_path / 'none'}", *overrides, name="quickstart"))
    assert not computed.assumed
    assert (computed.train_crops, computed.steps) == (500, 12 * 7)
    assert "data.generate" in computed.notes[0]
    assert (computed.groups or {})["head_no_decay"].parameters == 6 + PARTS
    (tmp_path / "train").mkdir()  # an incomplete data folder is not replaced by generated data
    computed = effects(baseline(f"root={tmp_path}", name="quickstart"))
    assert computed.assumed
    assert "no folder val" in computed.notes[0]


def test_a_batch_larger_than_the_split_is_noted() -> None:
    computed = effects(baseline("batch_size=64"), splits({"0": 30, "00": 30}))
    assert computed.steps is computed.groups is computed.ema_decay is None
    assert any("data.batch_size=64" in note and "60 train crops" in note for note in computed.notes)


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("module.schedule", fdl.Partial(config_parts.broken), "learning rates: not computed (RuntimeError: no"),
        ("module", fdl.Partial(config_parts.broken), "module: not computed (TypeError"),
        ("trainer.callbacks.ema", fdl.Config(config_parts.EveryEpoch), "EMA: not computed"),
        ("trainer", fdl.Partial(callback_dict), "steps: not computed (LookupError: the config has no trainer.epochs)"),
        (
            "data",
            fdl.Partial(callback_dict, batch_size=64),
            "classes: not computed (LookupError: the config has no data.sampler",
        ),
    ],
)
def test_a_part_that_cannot_be_computed_is_noted_and_the_others_are_computed(path: str, value: Any, line: str) -> None:
    computed = effects(baseline(part(path, value)), SPLITS)
    (note,) = computed.notes
    assert note.startswith(line)
    assert note.isprintable()
    assert computed.labels is not None
    assert (computed.augmentation is None) == (path == "module")


def test_a_custom_augmentation_is_measured_as_a_whole() -> None:
    for augment, changes in ((fdl.Config(config_parts.brightener), [10]), (fdl.Config(Augment), [0]), (None, [])):
        augmentation = effects(baseline(part("module.augment", augment)), SPLITS).augmentation
        assert augmentation is not None
        assert [magnitude.change for magnitude in augmentation.values()] == pytest.approx(changes)


def test_effects_are_deterministic_and_the_config_is_not_changed() -> None:
    config = baseline("compile_network='default'", name="resnet50_baseline")
    before = configs.as_text(config)
    first = effects(config, SPLITS)
    torch.rand(5)
    assert effects(config, SPLITS) == first
    assert configs.as_text(config) == before


def test_supplementary_crops_are_counted_but_not_generated(crops_root: Path, tmp_path: Path) -> None:
    supplement = fdl.Config(SyntheticSupplement, folder=str(tmp_path / "supplement"), min_per_class=30)
    computed = effects(baseline("batch_size=4", f"root={crops_root}", part("data.supplement", supplement)))
    assert computed.classes is not None
    assert {name: each.crops for name, each in computed.classes.items()} == dict.fromkeys(("0", "00", "01"), 30)
    assert computed.batches == 3 * 30 // 4
    assert not (tmp_path / "supplement").exists()


@pytest.mark.parametrize("illegible", ["train", "score", "drop"])
def test_illegible_crops_are_counted_as_in_a_run(tmp_path: Path, illegible: str) -> None:
    root = write_crops(tmp_path / "crops", "folders")
    config = baseline(f"root={root}", "batch_size=8", "sampler_power=0.5", f"illegible={illegible}")
    computed = effects(config)
    data = fdl.build(config.data)(seed=0)
    data.size_px, data.cache = (16, 16), None
    data.setup()
    assert computed.train_crops == len(data.splits["train"])
    assert computed.classes is not None
    expected_K = data.train_sampler.expected_counts(num_classes=3) / len(data.train_sampler)
    assert [each.probability for each in computed.classes.values()] == pytest.approx(expected_K.tolist())
    assert [each.crops for each in computed.classes.values()] == data.class_counts
