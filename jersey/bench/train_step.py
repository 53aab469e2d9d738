"""Measures the cost of each part of a training step relative to a bare step.

    python -m jersey.bench.train_step --px=64
    python -m jersey.bench.train_step --px=128 --batch_size=256 --compile_modes default reduce-overhead

The bare step is forward, cross entropy, backward and torch's AdamW on a batch that is already on the device. Each row
after it changes one part of that step, and the last row is the step of jersey's module and callbacks with the settings
of the baseline experiments. For each mode of torch.compile, two more rows are the bare step and that of jersey with a
compiled network. All steps take turns in one process; the network is a ResNet with random weights.

Shapes: B batch, K classes, H W size.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import nn

from jersey.augment.base import Augment
from jersey.augment.color import Color, Noise
from jersey.augment.geometry import Geometry
from jersey.bench import harness
from jersey.callbacks.ema import EMA
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.core.seeding import derived_generator
from jersey.core.timing import interleaved_times
from jersey.data.loader import Batch
from jersey.models.heads import CompositionalHead
from jersey.models.network import classifier
from jersey.training.losses import CrossEntropy
from jersey.training.module import CompileMode, JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.schedules import warmup_cosine
from jersey.training.trainer import AUTOCAST, precision_for

WARM_UP = 3  # steps; torch.compile compiles in the first, and records the CUDA graph of reduce-overhead in the second
EMA_STEPS = 4  # as in the baseline experiments
LABELS = Labels(tuple(map(str, range(43))))  # as many as the benchmark set has


def candidates(
    *, architecture: str, px: int, batch_size: int, compile_modes: Sequence[str] = ()
) -> dict[str, Callable[[], None]]:
    """Returns the training steps by name; each has a network of its own.

    Args:
        architecture: name of the ResNet.
        px: side of the crops in pixels.
        batch_size: number of crops per step.
        compile_modes: modes of torch.compile.
    """
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = AUTOCAST.get(precision_for(device.type))
    images_BCHW = torch.randint(0, 256, (batch_size, 3, px, px), dtype=torch.uint8, device=device)
    labels_B = torch.arange(batch_size, device=device) % len(LABELS)
    batch: Batch = {"images": images_BCHW, "labels": labels_B, "indices": torch.arange(batch_size, device=device)}
    module = _baseline_module(architecture).to(device).train()
    generator = derived_generator(device, 0)
    augment = module.augment
    assert augment is not None

    def bare(
        *, augmented: bool = False, clipped: bool = False, fused: bool | None = None, compile_mode: str | None = None
    ) -> Callable[[], None]:
        network = copy.deepcopy(module.network)
        if compile_mode is not None:
            network.compile(mode=compile_mode)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=fused)

        def step() -> None:
            images = augment(images_BCHW, generator) if augmented else images_BCHW
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                loss = F.cross_entropy(network(images), labels_B)
            _update(network, loss, optimizer, clipped=clipped)

        return step

    steps = {
        "bare step": bare(),
        "fused AdamW": bare(fused=True),
        "clipping": bare(clipped=True),
        "augmentation": bare(augmented=True),
        "EMA, every step": _with_ema(bare(), copy.deepcopy(module), every_steps=1),
        "jersey": _jersey(copy.deepcopy(module), batch, dtype),
    }
    for mode in compile_modes:
        compiled = copy.deepcopy(module)
        compiled.network.compile(mode=mode)
        steps[f"bare step, {mode}"] = bare(compile_mode=mode)
        steps[f"jersey, {mode}"] = _jersey(compiled, batch, dtype)
    return steps


def baseline_augment() -> Augment:
    """Returns the augmentation of the baseline experiments."""
    return Augment(
        geometry=Geometry(rotation_deg=12.0, shear_deg=6.0, scale=0.15, shift=0.08, perspective=0.1),
        color=Color(brightness=0.3, contrast=0.3, saturation=0.3, channel_swap_p=0.3),
        noise=Noise(std=0.03),
    )


def _baseline_module(architecture: str) -> JerseyModule:
    return JerseyModule(
        labels=LABELS,
        class_counts=[1] * len(LABELS),
        seed=0,
        network=partial(classifier, architecture=architecture, weights=None, head=CompositionalHead),
        optimizer=partial(adamw, lr=1e-4, weight_decay=0.05),
        schedule=partial(warmup_cosine, warmup_frac=0.2),
        loss=CrossEntropy(label_smoothing=0.05),
        augment=baseline_augment(),
    )


def _jersey(module: JerseyModule, batch: Batch, dtype: torch.dtype | None) -> Callable[[], None]:
    optimizer, schedule = module.optimizer_and_schedule(1_000_000)  # more steps than are timed

    def step() -> None:
        with torch.autocast(module.device.type, dtype=dtype, enabled=dtype is not None):
            loss = module.training_step(batch, 0)
        _update(module.network, loss, optimizer, clipped=True)
        schedule.step()

    return _with_ema(step, module, every_steps=EMA_STEPS)


def _with_ema(step: Callable[[], None], module: JerseyModule, *, every_steps: int) -> Callable[[], None]:
    """Adds the update of EMA weights to a step, through the hooks that a trainer would call."""
    ema = EMA(decay=0.99, every_steps=every_steps)
    strategy = SimpleNamespace(root_device=module.device)
    trainer = SimpleNamespace(strategy=strategy, global_step=0, is_last_batch=False)
    fake_trainer: Any = trainer
    ema.setup(fake_trainer, module, "fit")

    def step_with_ema() -> None:
        step()
        trainer.global_step += 1
        ema.on_train_batch_end(fake_trainer, module, None, None, 0)

    return step_with_ema


def _update(network: nn.Module, loss: torch.Tensor, optimizer: torch.optim.Optimizer, *, clipped: bool) -> None:
    optimizer.zero_grad()
    loss.backward()
    if clipped:
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def measure(
    architecture: str = "resnet18",
    px: int = 64,
    batch_size: int = 64,
    rounds: int = 12,
    compile_modes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Prints one row per step.

    Args:
        architecture: network, such as resnet50.
        px: side of the crops in pixels, such as 128.
        batch_size: number of crops per step, such as 256.
        rounds: number of timed rounds, such as 20.
        compile_modes: modes of torch.compile to measure too, such as default reduce-overhead; by default none.

    Raises:
        UserError: if a mode is unknown.
    """
    if unknown := sorted(set(compile_modes) - set(get_args(CompileMode))):
        raise UserError(f"unknown modes: {', '.join(unknown)}; use some of {', '.join(get_args(CompileMode))}")
    settings: dict[str, Any] = {"architecture": architecture, "px": px, "batch_size": batch_size}
    steps = candidates(**settings, compile_modes=compile_modes)
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    times_s = interleaved_times(steps, rounds=rounds)
    return {**settings, "steps": harness.print_speeds("steps", times_s, baseline="bare step", crops=batch_size)}


if __name__ == "__main__":
    harness.command("train_step", __doc__, measure)
