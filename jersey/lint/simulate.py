"""Computes the effects of a config without training: steps, learning rates, EMA, class balance, augmentation.

Two configs can differ in a value and have the same effects, or share a value and have different effects, because an
effect depends on several values and on the data. So the real parts are built and used: the optimizer and schedule are
stepped through the run, the sampler computes its expected counts, and crops are augmented. The network is built without
pretrained weights on torch's meta device, where weights need neither time nor memory. A part that fails, as a user's
own may, is None, and a line in `notes` gives the reason.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import fiddle as fdl
import numpy as np
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from jersey.augment.magnitude import Magnitude, magnitudes
from jersey.callbacks.ema import EMA
from jersey.config.paths import Values, parameters, values_of
from jersey.core.errors import UserError, plural
from jersey.core.labels import ILLEGIBLE_INDEX, Labels
from jersey.data.index import read_splits
from jersey.data.sampler import BalancedSampler, ClassSampling, class_balance
from jersey.data.split import Split, label_map, select_illegible, take_per_label
from jersey.data.supplement import SyntheticSupplement

NOMINAL_CROPS, NOMINAL_CLASSES = 3000, 10  # similar to the public jersey-number training set

PartT = TypeVar("PartT")


@dataclass(frozen=True)
class Group:
    """A parameter group of the optimizer.

    Attributes:
        tensors: number of its weight tensors.
        parameters: number of their elements.
        settings: values of each setting by name, one per optimizer step if it is "lr" or the schedule changes it, else
            a single one.
    """

    tensors: int
    parameters: int
    settings: dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Effects:
    """The effects of a config; None if a part does not exist, such as the EMA, or could not be computed.

    Attributes:
        train_crops: number of train crops in the data, or of those that `data.generate` will create.
        assumed: whether `train_crops` is an assumption, because the data is missing.
        batches: number of train batches per epoch.
        epoch_steps: number of optimizer steps per epoch.
        steps: number of optimizer steps in total.
        groups: parameter groups by name.
        ema_decay: decay of the EMA at every optimizer step.
        labels: labels by class index; None without data.
        classes: sampling of each class by label; None without data.
        augmentation: magnitude of each operation by name, see `jersey.augment.magnitude`.
        class_counts: number of train crops by label, as passed to the module; equal counts without data.
        splits: index of each split by name; None without data.
        notes: what was assumed or could not be computed, one line each.
        config: config itself.
        values: its values by path.
    """

    train_crops: int
    assumed: bool
    batches: int | None
    epoch_steps: int | None
    steps: int | None
    groups: dict[str, Group] | None
    ema_decay: tuple[float, ...] | None
    labels: tuple[str, ...] | None
    classes: dict[str, ClassSampling] | None
    augmentation: dict[str, Magnitude] | None
    class_counts: Mapping[str, int] = field(compare=False)
    splits: Mapping[str, Split] | None = field(compare=False, repr=False)
    notes: tuple[str, ...] = field(compare=False)
    config: fdl.Buildable = field(compare=False, repr=False)
    values: Values = field(compare=False, repr=False)


Rule = Callable[[Effects], Iterator[str]]
"""Yields one sentence for each finding about a config with these effects."""


def effects(config: fdl.Buildable, splits: Mapping[str, Split] | None = None) -> Effects:
    """Computes the effects of a config.

    Args:
        config: config of an experiment.
        splits: index of each split by name; None reads it from `data.root`.
    """
    notes: list[str] = []

    def attempt(part: str, compute: Callable[[], PartT]) -> PartT | None:
        try:
            return compute()
        except Exception as error:  # a user's own part may raise anything; the other effects are still useful
            notes.append(f"{part}: not computed ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
            return None

    values = values_of(config)
    splits, labels, train_crops, assumed = _data(values, splits, notes)
    counts = {name: splits["train"].labels.count(name) if splits else train_crops // len(labels) for name in labels}
    batches, epoch_steps, steps = attempt("steps", lambda: count_steps(values, train_crops)) or (None, None, None)
    module = attempt("module", lambda: build_module(config, counts))
    return Effects(
        train_crops=train_crops,
        assumed=assumed,
        batches=batches,
        epoch_steps=epoch_steps,
        steps=steps,
        groups=attempt("learning rates", lambda: step_groups(module, steps)) if module and steps else None,
        ema_decay=attempt("EMA", lambda: _ema_decay(values, epoch_steps, steps)) if epoch_steps and steps else None,
        labels=labels if splits else None,
        classes=attempt("classes", lambda: _classes(values, module, counts, splits)) if splits and module else None,
        augmentation=attempt("augmentation", lambda: magnitudes(module.augment)) if module else None,
        class_counts=counts,
        splits=splits,
        notes=tuple(notes),
        config=config,
        values=values,
    )


def _data(
    values: Values, splits: Mapping[str, Split] | None, notes: list[str]
) -> tuple[Mapping[str, Split] | None, tuple[str, ...], int, bool]:
    """Returns the splits, the labels, the number of train crops, and whether that number is an assumption."""
    root, pinned = Path(str(values.get("data.root"))), values.get("data.labels")
    supplement = values.get("data.supplement")
    try:
        if splits is None:
            splits = select_illegible(read_splits(root), values.get("data.illegible", "train"))
            if (count := values.get("data.crops_per_label")) is not None:
                splits["train"] = take_per_label(splits["train"], count, seed=values["seed"])
            if makes(supplement, SyntheticSupplement):
                splits = {**splits, "train": fdl.build(supplement).added_to(splits["train"])}
        return splits, label_map(splits, pinned).names, len(splits["train"]), False
    except UserError as error:
        generated = None if root.exists() else values.get("data.generate.train")
        names = pinned or values.get("data.generate.numbers") or [str(index) for index in range(NOMINAL_CLASSES)]
        source = "data.generate will create" if generated else "assuming"
        crops = generated or NOMINAL_CROPS
        reason = str(error).partition(";")[0]
        counts = f"{plural(crops, 'train crop')} of {plural(len(names), 'label')}"
        notes.append(f"{reason}: {source} {counts}, no class table")
        return None, tuple(names), crops, generated is None


def count_steps(values: Values, train_crops: int) -> tuple[int, int, int]:
    """Returns the numbers of batches per epoch, of optimizer steps per epoch, and of steps in total, as in a run."""
    batch_size = values["data.batch_size"]
    if train_crops < batch_size:
        raise ValueError(f"data.batch_size={batch_size} is larger than the {train_crops} train crops")
    batches = train_crops // batch_size  # a smaller last batch is dropped
    limit = values.get("trainer.limit_batches")
    batches = batches if limit is None else min(batches, limit)
    epoch_steps = math.ceil(batches / values.get("trainer.accumulate", 1))
    return batches, epoch_steps, epoch_steps * values["trainer.epochs"]


def build_module(config: fdl.Buildable, class_counts: Mapping[str, int]) -> Any:
    """Returns the real module with a network on the meta device, which has shapes but no values.

    Args:
        config: config of an experiment.
        class_counts: number of train crops by label.
    """
    config = copy.deepcopy(config)
    for parameter in parameters(config):
        has_weights = parameter.keys[:2] == ("module", "network") and parameter.keys[-1] == "weights"
        if has_weights or parameter.path == "module.compile_network":
            parameter.set(None)
    make_module = fdl.build(config.module)

    def network(**keywords: Any) -> Any:
        with torch.device("meta"):
            return make_module.keywords["network"](**keywords)

    labels = Labels(tuple(class_counts))
    return make_module(labels=labels, class_counts=list(class_counts.values()), seed=0, network=network)


def step_groups(module: Any, steps: int) -> dict[str, Group]:
    """Returns the optimizer's groups by name, with their settings at each of the `steps` of a run."""
    optimizer, schedule = module.optimizer_and_schedule(steps)
    histories: list[list[dict[str, Any]]] = [[] for _ in optimizer.param_groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that the optimizer has not been stepped
        for _ in range(steps):
            for history, group in zip(histories, optimizer.param_groups, strict=True):
                history.append(dict(group))
            schedule.step()
    groups = [_group(history) for history in histories]
    return {group.get("name", f"group {n}"): groups[n] for n, group in enumerate(optimizer.param_groups)}


def _group(history: list[dict[str, Any]]) -> Group:
    settings = {}
    for name in [name for name in history[0] if name not in ("params", "name", "initial_lr")]:
        curve = tuple(each[name].item() if isinstance(each[name], Tensor) else each[name] for each in history)
        settings[name] = curve if name == "lr" or any(each != curve[0] for each in curve) else curve[:1]
    tensors = history[0]["params"]
    return Group(len(tensors), sum(tensor.numel() for tensor in tensors), settings)


def members(values: Values, under: str, kind: type | tuple[type, ...]) -> dict[str, fdl.Buildable]:
    """Returns the sub-configs that create an instance of a class, by path.

    Args:
        values: values of a config by path.
        under: path below which sub-configs are searched, such as "trainer.callbacks".
        kind: class, or several, of which subclasses count too.
    """
    below = (f"{under}.", f"{under}[")
    return {path: value for path, value in values.items() if path.startswith(below) and makes(value, kind)}


def makes(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether `value` is a sub-config that creates an instance of `kind` when it is built or called."""
    created = fdl.get_callable(value) if isinstance(value, fdl.Buildable) else None
    return isinstance(created, type) and issubclass(created, kind)


def build_weight_averaging(values: Values, epoch_steps: int) -> Any:
    """Returns the callback that averages the weights, for `epoch_steps` optimizer steps per epoch; None without one."""
    found = members(values, "trainer.callbacks", WeightAveraging)
    callback = fdl.build(next(iter(found.values()))) if found else None
    if isinstance(callback, EMA):
        callback.set_epoch_steps(epoch_steps)
    return callback


def _ema_decay(values: Values, epoch_steps: int, steps: int) -> tuple[float, ...] | None:
    callback = build_weight_averaging(values, epoch_steps)
    return callback and tuple(map(callback.decay_at, range(steps)))


def _classes(
    values: Values, module: Any, class_counts: Mapping[str, int], splits: Mapping[str, Split]
) -> dict[str, ClassSampling]:
    legible = np.repeat(np.arange(len(class_counts)), tuple(class_counts.values()))
    indices = np.append(legible, np.full(splits["train"].illegible, ILLEGIBLE_INDEX))
    sampler = BalancedSampler(indices.tolist(), power=values["data.sampler_power"], seed=0)
    return class_balance(class_counts, sampler, module.class_weights_K, module.log_prior_K)
