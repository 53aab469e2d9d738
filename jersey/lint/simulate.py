"""What a config does, computed without training: steps, learning rates, averaging, class balance, augmentation.

Two configs can differ in a value and do the same, or share a value and do different things, because effects follow
from several values and from the data. So the real parts are built and asked: the module's optimizer and schedule are
stepped through the run, the sampler tells its expectations, augmentation is applied to crops. The network is built on
torch's meta device, where weights take neither time nor memory, and without pretrained ones. A part that fails, as a
user's own may, is None, and a line in `notes` says why.
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
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_INDEX, Labels
from jersey.data.index import read_splits
from jersey.data.sampler import BalancedSampler, ClassSampling, class_balance
from jersey.data.split import Split, label_map, select_illegible
from jersey.data.supplement import SyntheticSupplement

NOMINAL_CROPS, NOMINAL_CLASSES = 3000, 10  # about what the public data set of jersey numbers has for training

PartT = TypeVar("PartT")


@dataclass(frozen=True)
class Group:
    """A parameter group of the optimizer: how many tensors and parameters it has, and its settings by name.

    A setting has its value at every step of the run if it is "lr" or the schedule moves it, else one value.
    """

    tensors: int
    parameters: int
    settings: dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Effects:
    """What a config does; None stands for what does not exist (no average) or could not be computed (see `notes`).

    train_crops: of the data; as `data.generate` will draw them; else `assumed`.
    batches, epoch_steps, steps: batches and optimizer steps of an epoch, and optimizer steps of the whole run.
    groups: by name.
    ema_decay: of the average, at every step.
    labels, classes: the label map, and each of its classes; None without data.
    augmentation: see `jersey.augment.magnitude`.
    class_counts: train crops by label, as the module is given them; equal ones without data.
    config, values: what all of it follows from.
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
"""Says in a sentence each thing that is found in a config with these effects."""


def effects(config: fdl.Buildable, splits: Mapping[str, Split] | None = None) -> Effects:
    """Computes them, with the index of the data in `splits`, or as read from `data.root`."""
    notes: list[str] = []

    def attempt(part: str, compute: Callable[[], PartT]) -> PartT | None:
        try:
            return compute()
        except Exception as error:  # a user's own part may fail in any way; the rest is still worth seeing
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
        ema_decay=attempt("average", lambda: _ema_decay(values, epoch_steps, steps)) if epoch_steps and steps else None,
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
    """The index, the labels, the number of train crops, and whether that is assumed."""
    root, pinned, rare = Path(str(values.get("data.root"))), values.get("data.labels"), values.get("data.supplement")
    try:
        if splits is None:
            splits = select_illegible(read_splits(root), values.get("data.illegible", "train"))
            if makes(rare, SyntheticSupplement):
                splits = {**splits, "train": fdl.build(rare).added_to(splits["train"])}
        return splits, label_map(splits, pinned).names, len(splits["train"]), False
    except UserError as error:
        drawn = None if root.exists() else values.get("data.generate.train")
        names = pinned or values.get("data.generate.numbers") or [str(index) for index in range(NOMINAL_CLASSES)]
        source = "that data.generate will draw" if drawn else "assumed"
        crops = drawn or NOMINAL_CROPS
        reason = str(error).partition(";")[0]
        notes.append(f"{reason}: {crops:,} train crops of {len(names)} numbers {source}, no class table")
        return None, tuple(names), crops, drawn is None


def count_steps(values: Values, train_crops: int) -> tuple[int, int, int]:
    """Batches and optimizer steps of an epoch, and steps of the run, as Lightning's `estimated_stepping_batches`."""
    batch_size = values["data.batch_size"]
    if train_crops < batch_size:
        raise ValueError(f"data.batch_size={batch_size} is more than the {train_crops} train crops")
    batches = train_crops // batch_size  # a last, smaller batch is dropped
    limit = values.get("trainer.limit_batches")
    batches = batches if limit is None else min(batches, limit)
    epoch_steps = math.ceil(batches / values.get("trainer.accumulate", 1))
    return batches, epoch_steps, epoch_steps * values["trainer.epochs"]


def build_module(config: fdl.Buildable, class_counts: Mapping[str, int]) -> Any:
    """The real module, but for a network without values."""
    config = copy.deepcopy(config)
    for parameter in parameters(config):
        has_weights = parameter.keys[:2] == ("module", "network") and parameter.keys[-1] == "weights"
        if has_weights or parameter.path == "module.compile_network":
            parameter.set(None)
    make = fdl.build(config.module)

    def network(**keywords: Any) -> Any:
        with torch.device("meta"):
            return make.keywords["network"](**keywords)

    labels = Labels(tuple(class_counts))
    return make(labels=labels, class_counts=list(class_counts.values()), seed=0, network=network)


def step_groups(module: Any, steps: int) -> dict[str, Group]:
    """The optimizer's groups by name, with what the schedule does to them in a run of `steps`."""
    optimizer, schedule = module.optimizer_and_schedule(steps)
    histories: list[list[dict[str, Any]]] = [[] for _ in optimizer.param_groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch misses the optimizer's step before the schedule's
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
    """The sub-configs below the path `under` that make an instance of `kind`, by path."""
    below = (f"{under}.", f"{under}[")
    return {path: value for path, value in values.items() if path.startswith(below) and makes(value, kind)}


def makes(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether it is a sub-config that, built or called, gives an instance of `kind`."""
    made = fdl.get_callable(value) if isinstance(value, fdl.Buildable) else None
    return isinstance(made, type) and issubclass(made, kind)


def built_average(values: Values, epoch_steps: int) -> Any:
    """The callback that averages the weights, in a run with so many optimizer steps an epoch; None without one."""
    averages = members(values, "trainer.callbacks", WeightAveraging)
    average = fdl.build(next(iter(averages.values()))) if averages else None
    if isinstance(average, EMA):
        average.set_epoch_steps(epoch_steps)
    return average


def _ema_decay(values: Values, epoch_steps: int, steps: int) -> tuple[float, ...] | None:
    average = built_average(values, epoch_steps)
    # Lightning's first update copies the weights: nothing of the start is kept.
    return average and tuple(average.decay_at(step) if step else 0.0 for step in range(steps))


def _classes(
    values: Values, module: Any, class_counts: Mapping[str, int], splits: Mapping[str, Split]
) -> dict[str, ClassSampling]:
    labelled = np.repeat(np.arange(len(class_counts)), tuple(class_counts.values()))
    indices = np.append(labelled, np.full(splits["train"].illegible, ILLEGIBLE_INDEX))
    sampler = BalancedSampler(indices.tolist(), power=values["data.sampler_power"], seed=0)
    return class_balance(class_counts, sampler, module.class_weights_K)
