"""Changed values that change nothing: found where that is certain, and never claimed elsewhere."""

from collections.abc import Mapping
from typing import Any

import fiddle as fdl
import pytest
import torch
from helpers import config_parts
from helpers.planted import EQUAL, LONG_TAIL, baseline, splits

import experiments  # noqa: F401  # its import registers them
from jersey.data.index import Split
from jersey.lint.effective_diff import changed_without_effect
from jersey.lint.simulate import effects
from jersey.training.optimizers import torch_optimizer

SPLITS = {"long tail": splits(LONG_TAIL), "equal": splits(EQUAL), "none": None}


def unchanged(old: fdl.Buildable, new: fdl.Buildable, data: Mapping[str, Split] | None) -> list[str]:
    return list(changed_without_effect(old, new, effects(old, data), effects(new, data)))


IDLE = [
    ("long tail", [], ["warmup_frac=0.20001"], "module.schedule.warmup_frac"),
    ("long tail", ["warmup_frac=1.0"], ["warmup_frac=1.0", "final_frac=0.5"], "module.schedule.final_frac"),
    ("equal", [], ["sampler_power=1.0"], "data.sampler_power"),
    ("equal", [], ["weight_power=1.0"], "module.weight_power"),
    ("equal", [], ["labels=0,00,01,23"], "data.labels"),  # as they come
    ("long tail", ["ema.decay=0.9999"], ["ema.decay=0.999"], "trainer.callbacks.ema.decay"),
    ("none", ["ema.decay=0.9999"], ["ema.decay=0.999"], "trainer.callbacks.ema.decay"),
    (
        "long tail",
        ["optimizer.lr=0.0", "backbone_lr_scale=0.5"],
        ["lr=0.0"],
        "module.optimizer.backbone_lr_scale",
    ),
]


@pytest.mark.parametrize(("data", "old", "new", "path"), IDLE)
def test_what_changes_nothing_is_found(data: str, old: list[str], new: list[str], path: str) -> None:
    assert unchanged(baseline(*old), baseline(*new), SPLITS[data]) == [path]


EFFECTIVE = [
    ("long tail", [], ["lr=2e-4"]),
    ("long tail", [], ["sampler_power=1.0"]),
    ("none", [], ["sampler_power=1.0"]),  # not to be seen without counts
    ("none", [], ["weight_power=0.5"]),
    ("none", [], ["labels=0,00"]),
    ("equal", [], ["labels=00,0,01,23"]),
    ("long tail", [], ["ema.decay=0.999"]),
    ("long tail", [], ["betas=(0.9, 0.99)"]),
    ("long tail", [], ["colour.swap=0.301"]),  # 64 crops cannot show it
    ("long tail", [], ["label_smoothing=0.1"]),  # not among the effects
    ("long tail", [], ["trainer.deterministic=True"]),
    ("long tail", [], ["clip_norm=0.5"]),
    ("long tail", [], ["size_px=128,128"]),
    # In the new run the warm-up hides the last value; in the old one it would have shown.
    ("long tail", [], ["warmup_frac=1.0", "final_frac=0.5"]),
]


@pytest.mark.parametrize(("data", "old", "new"), EFFECTIVE)
def test_what_changes_something_or_cannot_be_seen_is_not_claimed(data: str, old: list[str], new: list[str]) -> None:
    assert unchanged(baseline(*old), baseline(*new), SPLITS[data]) == []


def test_two_changes_of_which_one_is_idle() -> None:
    new = baseline("lr=2e-4", "warmup_frac=0.20001")
    assert unchanged(baseline(), new, SPLITS["long tail"]) == ["module.schedule.warmup_frac"]


def test_a_default_written_out_is_no_change() -> None:
    assert unchanged(baseline(), baseline("accumulate=1", "betas=(0.9, 0.999)"), SPLITS["long tail"]) == []


def test_an_optimizers_value_that_its_groups_do_not_hold_is_not_claimed() -> None:
    class Own(torch.optim.SGD):
        def __init__(self, params: Any, *, lr: float, weight_decay: float, rho: float) -> None:
            super().__init__(params, lr=lr, weight_decay=weight_decay)
            self.rho = rho

    old, new = baseline(), baseline()
    for config, rho in ((old, 0.1), (new, 0.2)):
        config.module.optimizer = fdl.Partial(torch_optimizer, make=fdl.Partial(Own, rho=rho), lr=0.1, weight_decay=0.0)
    assert unchanged(old, new, SPLITS["long tail"]) == []


def test_where_the_schedule_fails_nothing_is_claimed() -> None:
    old, new = baseline(), baseline("backbone_lr_scale=0.5")
    for config in (old, new):
        config.module.schedule = fdl.Partial(config_parts.broken)
    assert unchanged(old, new, SPLITS["long tail"]) == []
