"""Small classes and functions to configure, in the shape of an experiment."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

import fiddle as fdl
import torch


@dataclasses.dataclass
class Data:
    root: str
    resize_mode: Literal["stretch", "letterbox"] = "stretch"
    labels: tuple[str, ...] | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    batch_size: int = 64
    sampler_power: float = 0.0
    cache: Path | None = None
    shuffle: bool = True
    repeats: dict[str, int] = dataclasses.field(default_factory=dict)
    devices: int | str | list[int] = "auto"


@dataclasses.dataclass
class Ema:
    decay: float = 0.99
    warmup: int | None = None


@dataclasses.dataclass
class Watch:
    monitor: str | None = None
    mode: str = "min"


def make_module(
    optimizer: Any,
    class_counts: list[int],
    ema: Ema | None = None,
    smoothing: float = 0.0,
    class_weight_power: float = 0.0,
    allow_weights_and_sampler: bool = False,
    untyped=3,  # type: ignore[no-untyped-def]
) -> None:
    """Replaces a LightningModule; the class counts are passed at run time."""


def named(**members: Ema | None) -> dict[str, Ema | None]:
    return members


def positional(first: object, /, second: object = 2, *rest: object) -> None:
    """Has arguments of every kind."""


def make_trainer(callbacks: dict[str, object], epochs: int = 3, **more: Any) -> None:
    """Replaces a trainer."""


@dataclasses.dataclass
class Experiment:
    data: Any
    module: Any
    trainer: Any
    seed: int = 0


def example(**values: Any) -> fdl.Config[Experiment]:
    """Returns a config with a nested Partial, a named collection, a dictionary, a tuple and a `**keywords` member.

    `values` are set at its paths, in which `__` replaces a dot.
    """
    config = fdl.Config(
        Experiment,
        data=fdl.Partial(Data, root="data/crops", labels=("0", "00", "01"), repeats={"00": 2, "a.b=c": 3}),
        module=fdl.Partial(make_module, optimizer=fdl.Partial(torch.optim.AdamW, lr=1e-4)),
        trainer=fdl.Partial(
            make_trainer, callbacks=fdl.Config(named, ema=fdl.Config(Ema, decay=0.998)), epochs=3, clip_norm=1.0
        ),
    )
    for path, value in values.items():
        *parents, name = path.split("__")
        setattr(functools.reduce(getattr, parents, config), name, value)
    return config
