"""Checks a config before anything is built, by rules between parts that no part can check alone.

A rule yields one sentence for each violation. It accepts a config in which a path is missing, so that users' own parts
pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import fiddle as fdl
from fiddle import validation

from jersey.config import saved
from jersey.config.paths import Values, values_of
from jersey.core.distributed import world_size
from jersey.core.errors import UserError
from jersey.core.packages import trusted_packages
from jersey.data.loader import batch_size_error
from jersey.export.variants import VariantName
from jersey.models.backbones import name_error
from jersey.training.sam import accumulation_error

CHECKOUT = Path(__file__).parents[2]
PACKAGES = (
    "jersey",
    "torch",
    "torchvision",
    "lightning",
    *(("experiments",) if (CHECKOUT / "launch.py").exists() else ()),
)
"""The packages whose objects any saved config may name, beside those of `jersey.core.packages.trusted_packages`."""

# The smallest allowed value by path; of a tuple, every element is compared.
MINIMUM = {
    "seed": 0,
    "onnx_variant_min_agreement": 0,
    "data.size_px": 8,
    "data.batch_size": 2,  # batch normalization cannot compute the variance of one crop
    "data.eval_batch_size": 1,
    "data.sampler_power": 0,
    "data.crops_per_label": 1,
    "module.class_weight_power": 0,
    "module.optimizer.lr": 0,
    "trainer.epochs": 1,
    "trainer.accumulate": 1,
    "trainer.limit_batches": 1,
}
MAX_SEED = 2**32 - 1  # the largest seed of a NumPy generator
LOWER_IS_BETTER = ("loss", "ece")  # all other metrics are better when higher


def load(path: Path) -> tuple[str, fdl.Buildable]:
    """Returns the experiment's name and the config of a run.

    Args:
        path: run folder or its config.json.

    Raises:
        UserError: if it does not exist, is not the config of a run, or another version of jersey wrote it.
    """
    try:
        return saved.load(path, (*PACKAGES, *trusted_packages()))
    except saved.OtherVersion as error:
        raise UserError(
            f"{error}: another version of jersey wrote it; run the experiment again, or use the commit in the run's"
            " provenance.json"
        ) from error


def check(config: fdl.Buildable) -> None:
    """Checks a config by all rules.

    Raises:
        UserError: if a rule is violated; the sentence lists every violation.
        ValueError: if a value is not plain; Fiddle raises it.
    """
    validation.check_no_custom_objects(config)
    values = values_of(config)
    if violations := [sentence for rule in RULES for sentence in rule(values)]:
        raise UserError("; ".join(violations))


def balanced_once(values: Values) -> Iterator[str]:
    """A balancing sampler and class weights multiply, so a rare class would be balanced twice."""
    sampler_power = values.get("data.sampler_power", 0)
    class_weight_power = values.get("module.class_weight_power", 0)
    if sampler_power > 0 and class_weight_power > 0 and not values.get("module.allow_weights_and_sampler"):
        yield (
            f"data.sampler_power={sampler_power} and module.class_weight_power={class_weight_power} both balance the"
            " classes and multiply; set one of them to 0, or module.allow_weights_and_sampler=True"
        )


def in_range(values: Values) -> Iterator[str]:
    """Values must not be below their minimum, and a generator must accept the seed."""
    for path, minimum in MINIMUM.items():
        value = values.get(path)
        elements = value if isinstance(value, tuple) else (value,)
        if any(each is not None and each < minimum for each in elements):
            yield f"{path}={value} is too small; the minimum is {minimum}"
    if (seed := values.get("seed", 0)) > MAX_SEED:
        yield f"seed={seed} is too large; the maximum is {MAX_SEED}"


def monitored_metric_exists(values: Values) -> Iterator[str]:
    """A mode must fit its metric: "max" would keep the epoch with the worst loss. Mixed crops have no accuracy."""
    for path, metric in values.items():
        part, _, name = path.rpartition(".")
        if name != "monitor" or not metric:
            continue
        best = "min" if metric.rpartition("/")[2] in LOWER_IS_BETTER else "max"
        if values.get(f"{part}.mode", best) != best:
            yield f"{path}={metric!r} is best when {best}imal; set {part}.mode={best}"
        if metric.startswith("train/") and metric != "train/loss" and values.get("module.mix") is not None:
            yield (
                f"{path}={metric!r} does not exist with module.mix, which leaves the train split only its loss;"
                f" monitor {metric.replace('train', 'val', 1)!r} or set module.mix=None"
            )


def batch_can_be_split(values: Values) -> Iterator[str]:
    """SAM takes both passes of a step on one batch; the processes of torchrun split a batch evenly."""
    accumulate = values.get("trainer.accumulate") or 1
    if values.get("module.sam") is not None and (sentence := accumulation_error(accumulate)):
        yield sentence
    if (size := values.get("data.batch_size")) is not None and (sentence := batch_size_error(size, world_size())):
        yield sentence


def variants_are_known(values: Values) -> Iterator[str]:
    """An unknown ONNX variant would otherwise be an error only after training."""
    names, known = values.get("onnx_variants") or (), get_args(VariantName)
    if unknown := [name for name in names if name not in known]:
        yield f"onnx_variants={names!r} contains {unknown[0]!r}, which is not one of {', '.join(known)}"
    if len(set(names)) < len(names):
        yield f"onnx_variants={names!r} contains a variant twice; list each once"
    if (agreement := values.get("onnx_variant_min_agreement", 0)) > 1:
        yield f"onnx_variant_min_agreement={agreement} is a fraction of the crops; the maximum is 1"


def architecture_is_known(values: Values) -> Iterator[str]:
    """An unknown backbone would otherwise be an error only after the crops are decoded."""
    architecture = values.get("module.network.architecture")
    if isinstance(architecture, str) and (sentence := name_error(architecture)):
        yield sentence


RULES: list[Callable[[Values], Iterator[str]]] = [
    balanced_once,
    in_range,
    monitored_metric_exists,
    batch_can_be_split,
    variants_are_known,
    architecture_is_known,
]
