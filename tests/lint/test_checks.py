"""Rules that hold between parts of a config."""

from typing import Any

import fiddle as fdl
import pytest
from helpers.config_targets import Watch, example, named

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.augment.mixing import CutMix
from jersey.core.errors import UserError
from jersey.lint.checks import check
from jersey.training.sam import SAM


def balanced(sampler_power: float, weight_power: float) -> fdl.Config:
    config = example()
    config.data.sampler_power = sampler_power
    config.module.weight_power = weight_power
    return config


@pytest.mark.parametrize(("sampler_power", "weight_power"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0, 1)])
def test_classes_may_be_balanced_once(sampler_power: float, weight_power: float) -> None:
    check(balanced(sampler_power, weight_power))


def test_balancing_twice_must_be_meant() -> None:
    config = balanced(0.5, 0.25)
    with pytest.raises(UserError, match=r"module\.weights_on_top_of_sampler=True") as caught:
        check(config)
    assert "0.5" in str(caught.value)
    assert "0.25" in str(caught.value)
    assert "\n" not in str(caught.value)
    config.module.weights_on_top_of_sampler = True
    check(config)


def test_defaults_count_when_left_unset() -> None:
    check(example())


def test_a_users_own_parts_pass() -> None:
    config = balanced(0.5, 0.5)
    config.module = fdl.Partial(named, mine=1)
    check(config)


def test_only_plain_values_are_allowed() -> None:
    config = example()
    config.data.root = object()
    with pytest.raises(ValueError, match="root") as caught:
        check(config)
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize(("path", "value"), [("seed", -1), ("data.batch_size", 1), ("trainer.epochs", 0)])
def test_counts_of_nothing_are_refused_by_path(path: str, value: int) -> None:
    config = example()
    part, _, leaf = path.rpartition(".")
    setattr(getattr(config, part) if part else config, leaf, value)
    with pytest.raises(UserError, match=rf"^{path}={value} is too small"):
        check(config)


@pytest.mark.parametrize(("metric", "mode"), [("val/loss", "max"), ("val/ece", "max"), ("val/acc_top1", "min")])
def test_the_worst_epoch_cannot_be_meant(metric: str, mode: str) -> None:
    config = example()
    config.trainer.callbacks.checkpoints = fdl.Config(Watch, monitor=metric, mode=mode)
    wanted = {"min": "max", "max": "min"}[mode]
    with pytest.raises(UserError, match=rf"set trainer\.callbacks\.checkpoints\.mode={wanted}$"):
        check(config)
    config.trainer.callbacks.checkpoints.mode = wanted
    check(config)


def baseline() -> Any:
    return configs.get_experiment("resnet18_baseline")()


def test_a_step_with_sam_has_one_batch() -> None:
    config = baseline()
    config.module.sam = fdl.Config(SAM)
    for accumulate in (None, 1):
        config.trainer.accumulate = accumulate
        check(config)
    config.trainer.accumulate = 4
    with pytest.raises(UserError, match=r"module\.sam.* trainer\.accumulate=4 .*; set trainer\.accumulate=1 or"):
        check(config)
    config.module.sam = None
    check(config)


@pytest.mark.parametrize(("metric", "mode"), [("train/acc_top1", "max"), ("train/ece", "min")])
def test_scores_of_mixed_crops_cannot_be_watched(metric: str, mode: str) -> None:
    config = baseline()
    config.trainer.callbacks.checkpoints.monitor, config.trainer.callbacks.checkpoints.mode = metric, mode
    check(config)
    config.module.mix = fdl.Config(CutMix, alpha=1.0)
    instead = metric.replace("train", "val")
    with pytest.raises(
        UserError, match=rf"^trainer\.callbacks\.checkpoints\.monitor='{metric}' .* watch '{instead}' or"
    ):
        check(config)


def test_what_mixed_crops_do_have_can_be_watched() -> None:
    config = baseline()
    config.module.mix = fdl.Config(CutMix, alpha=1.0)
    check(config)
    config.trainer.callbacks.checkpoints.monitor, config.trainer.callbacks.checkpoints.mode = "train/loss", "min"
    check(config)


def test_what_is_not_watched_has_no_better_side() -> None:
    config = example()
    config.trainer.callbacks.last = fdl.Config(Watch)
    check(config)


@pytest.mark.parametrize("override", ['onnx_variants=("int8",)', "onnx_variants=(int8, fp16)", "onnx_variants=()"])
def test_variants_of_the_exported_file_can_be_chosen_by_a_flag(override: str) -> None:
    config = baseline()
    configs.apply_override(config, override)
    check(config)
    assert set(configs.build(config).onnx_variants) <= {"int8", "fp16"}
    assert configs.build(config).onnx_variants == tuple(word for word in ("int8", "fp16") if word in override)


@pytest.mark.parametrize("override", ['onnx_variants=("int4",)', "onnx_variants=int8", "onnx_variant_agreement=all"])
def test_a_flag_that_asks_for_no_variant_is_refused(override: str) -> None:
    with pytest.raises(UserError, match=rf"^{override.partition('=')[0]} wants .*, not ") as caught:
        configs.apply_override(baseline(), override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("onnx_variants", ("int8", "int4"), "'int4', which is none of fixed, fp16, int8"),
        ("onnx_variants", ("int8", "fp16", "int8"), "name each once"),
        ("onnx_variant_agreement", 99, "1 is the most"),
        ("onnx_variant_agreement", -0.1, "the least is 0"),
    ],
)
def test_variants_that_nobody_can_make_are_refused_before_training(name: str, value: Any, says: str) -> None:
    config = baseline()
    check(config)
    setattr(config, name, value)
    with pytest.raises(UserError, match=rf"^{name}=.*{says}"):
        check(config)


def test_the_processes_of_torchrun_must_share_a_batch_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    config = example()
    config.data.batch_size = 9
    check(config)
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    check(config)
    config.data.batch_size = 10
    with pytest.raises(UserError, match=r"data\.batch_size=10 is shared by 3 processes"):
        check(config)
