"""The rules between parts of a config."""

import re
from typing import Any

import fiddle as fdl
import pytest
from helpers.config_parts import baseline, part
from helpers.config_targets import Watch, example, named

from jersey import config as configs
from jersey.augment.mixing import CutMix
from jersey.core.errors import UserError
from jersey.lint.checks import check
from jersey.training.sam import SAM


def balanced(sampler_power: float, class_weight_power: float, **values: Any) -> fdl.Config:
    return example(data__sampler_power=sampler_power, module__class_weight_power=class_weight_power, **values)


@pytest.mark.parametrize(
    "config",
    [
        example(),
        *(balanced(0.5, 0.0), balanced(0.0, 0.5), balanced(0, 1)),
        balanced(0.5, 0.5, module=fdl.Partial(named, mine=1)),  # a user's own module
        example(trainer__callbacks__last=fdl.Config(Watch)),  # nothing is monitored
    ],
)
def test_valid_configs_pass(config: fdl.Config) -> None:
    check(config)


def test_balancing_twice_must_be_allowed_explicitly() -> None:
    config = balanced(0.5, 0.25)
    with pytest.raises(UserError, match=r"=0\.5 and .*=0\.25 .* module\.allow_weights_and_sampler=True$"):
        check(config)
    config.module.allow_weights_and_sampler = True
    check(config)


def test_a_value_that_is_not_plain_raises_an_error() -> None:
    with pytest.raises(ValueError, match="root") as caught:
        check(example(data__root=object()))
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("path", "value", "adjective"),
    [
        *(("seed", -1, "small"), ("seed", 2**32, "large"), ("trainer.epochs", 0, "small")),
        *(("data.batch_size", 1, "small"), ("data.size_px", (64, 7), "small")),
    ],
)
def test_values_out_of_range_raise_an_error_with_the_path(path: str, value: Any, adjective: str) -> None:
    with pytest.raises(UserError, match=rf"^{path}={re.escape(str(value))} is too {adjective}"):
        check(baseline(part(path, value)))


@pytest.mark.parametrize(("metric", "mode"), [("val/loss", "max"), ("val/ece", "max"), ("val/acc_top1", "min")])
def test_the_mode_must_fit_the_monitored_metric(metric: str, mode: str) -> None:
    config = example(trainer__callbacks__checkpoints=fdl.Config(Watch, monitor=metric, mode=mode))
    expected = {"min": "max", "max": "min"}[mode]
    with pytest.raises(UserError, match=rf"set trainer\.callbacks\.checkpoints\.mode={expected}$"):
        check(config)
    config.trainer.callbacks.checkpoints.mode = expected
    check(config)


def test_sam_requires_one_batch_per_step() -> None:
    config = baseline(part("module.sam", fdl.Config(SAM)))
    for accumulate in (None, 1):
        config.trainer.accumulate = accumulate
        check(config)
    config.trainer.accumulate = 4
    with pytest.raises(UserError, match=r"module\.sam.* trainer\.accumulate=4 .*; set trainer\.accumulate=1 or"):
        check(config)
    config.module.sam = None
    check(config)


@pytest.mark.parametrize(("metric", "mode"), [("train/acc_top1", "max"), ("train/ece", "min")])
def test_metrics_of_mixed_crops_cannot_be_monitored(metric: str, mode: str) -> None:
    config = baseline(f"checkpoints.monitor={metric}", f"checkpoints.mode={mode}")
    check(config)
    config.module.mix = fdl.Config(CutMix, alpha=1.0)
    instead = metric.replace("train", "val")
    with pytest.raises(
        UserError, match=rf"^trainer\.callbacks\.checkpoints\.monitor='{metric}' .* monitor '{instead}' or"
    ):
        check(config)
    config.trainer.callbacks.checkpoints.monitor, config.trainer.callbacks.checkpoints.mode = "train/loss", "min"
    check(config)


@pytest.mark.parametrize("override", ['onnx_variants=("int8",)', "onnx_variants=(int8, fp16)", "onnx_variants=()"])
def test_onnx_variants_can_be_selected_by_a_flag(override: str) -> None:
    config = baseline(override)
    check(config)
    assert configs.build(config).onnx_variants == tuple(word for word in ("int8", "fp16") if word in override)


@pytest.mark.parametrize(
    "override", ['onnx_variants=("int4",)', "onnx_variants=int8", "onnx_variant_min_agreement=all"]
)
def test_a_flag_with_an_unknown_variant_raises_an_error(override: str) -> None:
    with pytest.raises(UserError, match=rf"^{override.partition('=')[0]} expects .*, not ") as caught:
        baseline(override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("onnx_variants", ("int8", "int4"), "'int4', which is not one of static, fp16, int8"),
        ("onnx_variants", ("int8", "fp16", "int8"), "list each once"),
        ("onnx_variant_min_agreement", 99, "the maximum is 1"),
        ("onnx_variant_min_agreement", -0.1, "the minimum is 0"),
    ],
)
def test_invalid_variants_raise_an_error_before_training(name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"^{name}=.*{message}"):
        check(baseline(part(name, value)))


def test_the_processes_of_torchrun_must_split_a_batch_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    config = example(data__batch_size=9)
    check(config)
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    check(config)
    config.data.batch_size = 10
    with pytest.raises(UserError, match=r"data\.batch_size=10 is shared by 3 processes"):
        check(config)
