"""Values planted to have no effect are found; near misses and registered experiments are not accused."""

from pathlib import Path

import pytest
from helpers.long_tail import EQUAL, LONG_TAIL, splits
from helpers.planted import baseline, sentences
from helpers.registered import EXPERIMENTS as NAMES

from jersey import config as configs
from jersey.lint.no_effect import findings

DATA = {"tail": splits(LONG_TAIL), "equal": splits(EQUAL)}


@pytest.mark.parametrize(
    ("data", "overrides", "words"),
    [
        ("tail", ["warmup_frac=1.0"], ["module.schedule.warmup_frac=1.0"]),
        ("tail", ["warmup_frac=0.0001"], ["module.schedule.warmup_frac=0.0001"]),
        ("tail", ["warmup_frac=1.0", "final_frac=0.5"], ["module.schedule.final_frac=0.5"]),
        ("tail", ["ema.decay=0.9999"], ["trainer.callbacks.ema.decay=0.9999", "1,020 steps"]),
        ("tail", ["epochs=2", "patience=0"], ["trainer.callbacks.ema.decay=0.99", "68 steps"]),
        ("equal", [], ["data.sampler_power=0.5", "500 train crops"]),
        ("equal", ["sampler_power=0", "weight_power=0.7"], ["module.weight_power=0.7"]),
        ("tail", ["weights_on_top_of_sampler=True"], ["module.weights_on_top_of_sampler=True", "module.weight_power"]),
        ("tail", ["weight_decay=1e-9"], ["module.optimizer.weight_decay=1e-09"]),
        ("tail", ["patience=29"], ["trainer.callbacks.early_stopping.patience=29", "trainer.epochs=30"]),
        ("tail", ["limit_batches=5000"], ["trainer.limit_batches=5000", "train 34"]),
        ("tail", ["accumulate=60"], ["trainer.accumulate=60", "34 batches"]),
        ("tail", ["clip_norm=0.0"], ["trainer.clip_norm=0.0"]),
        ("tail", ["noise.std=0.0"], ["module.augment.noise"]),
        ("tail", [f"colour.{name}=0.0" for name in ("brightness", "contrast", "saturation", "swap")], ["colour"]),
    ],
)
def test_a_planted_value_without_effect_is_found(data: str, overrides: list[str], words: list[str]) -> None:
    said = sentences("no effect", baseline(*overrides), DATA[data])
    assert any(all(word in sentence for word in words) for sentence in said), said


@pytest.mark.parametrize(
    ("data", "overrides"),
    [
        ("tail", ["warmup_frac=0.9"]),
        ("tail", ["warmup_frac=0.003"]),
        ("tail", ["ema.decay=0.991"]),
        ("equal", ["sampler_power=0"]),
        ("tail", ["weight_power=0.5", "weights_on_top_of_sampler=True"]),
        ("tail", ["patience=28"]),
        ("tail", ["limit_batches=33"]),
        ("tail", ["accumulate=34", "ema.decay=0.5"]),
        ("tail", ["clip_norm=None"]),
        ("tail", ["weight_decay=0.0"]),
        ("tail", ["noise.std=0.01"]),
    ],
)
def test_a_near_miss_is_not_called_without_effect(data: str, overrides: list[str]) -> None:
    assert sentences("no effect", baseline(*overrides), DATA[data]) == []


# The quick start draws this many; its steps decide whether the average gets past its ramp.
DRAWN = splits({"23": 1200, "0": 900, "7": 700, "00": 500, "11": 400, "4": 300})


@pytest.mark.parametrize("is_there", [True, False], ids=["data", "no data"])
@pytest.mark.parametrize("name", NAMES)
def test_no_registered_experiment_is_accused(name: str, is_there: bool, tmp_path: Path) -> None:
    config = configs.get_experiment(name)()
    config.data.root = str(tmp_path / "nothing here")
    data = DRAWN if config.data.draw else DATA["tail"]
    assert [str(each) for each in findings(config, data if is_there else None)] == []
