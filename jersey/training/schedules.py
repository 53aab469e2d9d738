"""Learning-rate schedules in fractions of the run, stepped after every optimizer step.

Fractions stay valid when epochs, batch size or data change; a count of steps would not. All schedules here share these
arguments, and raise a UserError for a fraction outside [0, 1]:

- `optimizer`: optimizer, in which the learning rate of each parameter group is its peak.
- `total_steps`: optimizer steps of the whole run.
- `warmup_frac`: fraction of the steps that warm up. The last of them has the peak, or without warm-up the first step.
- `final_frac`: learning rate of the last step as a fraction of the peak.

Schedules of torch that take `total_steps` work too, such as `OneCycleLR`, which also changes the momentum.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from jersey.core.errors import UserError


def warmup_cosine(
    optimizer: Optimizer, *, total_steps: int, warmup_frac: float = 0.05, final_frac: float = 0.0
) -> LambdaLR:
    """Returns linear warm-up to the peak, then half a cosine to the last step: https://arxiv.org/abs/1608.03983."""
    _validate_fractions(warmup_frac=warmup_frac, final_frac=final_frac)
    peak = _peak_step(warmup_frac, total_steps)

    def scale(step: int) -> float:
        return _warmup(step, peak) if step <= peak else _half_cosine(step, peak, total_steps - 1, 1.0, final_frac)

    return LambdaLR(optimizer, scale)


def one_cycle(
    optimizer: Optimizer,
    *,
    total_steps: int,
    warmup_frac: float = 0.3,
    start_frac: float = 0.04,
    final_frac: float = 0.0,
) -> LambdaLR:
    """Returns one cycle, half a cosine up to the peak and half a cosine down: https://arxiv.org/abs/1708.07120.

    `start_frac` is the learning rate of the first step as a fraction of the peak. The momentum is constant.
    """
    _validate_fractions(warmup_frac=warmup_frac, start_frac=start_frac, final_frac=final_frac)
    peak = _peak_step(warmup_frac, total_steps)

    def scale(step: int) -> float:
        if step < peak:
            return _half_cosine(step, 0, peak, start_frac, 1.0)
        return _half_cosine(step, peak, total_steps - 1, 1.0, final_frac)

    return LambdaLR(optimizer, scale)


def multi_step(
    optimizer: Optimizer,
    *,
    total_steps: int,
    milestones_frac: tuple[float, ...] = (0.6, 0.85),
    factor: float = 0.1,
    warmup_frac: float = 0.0,
) -> LambdaLR:
    """Returns linear warm-up to the peak, then steps down by `factor`, in [0, 1], at each milestone.

    `milestones_frac` are fractions of the run, in any order; one within the warm-up also takes effect at its step.
    """
    _validate_fractions(warmup_frac=warmup_frac, factor=factor)
    for milestone_frac in milestones_frac:
        _validate_fractions(milestones_frac=milestone_frac)
    peak = _peak_step(warmup_frac, total_steps)
    milestones = [round(milestone_frac * total_steps) for milestone_frac in milestones_frac]

    def scale(step: int) -> float:
        passed = sum(step >= milestone for milestone in milestones)
        return _warmup(step, peak) * factor**passed

    return LambdaLR(optimizer, scale)


def constant(optimizer: Optimizer, *, total_steps: int, warmup_frac: float = 0.0) -> LambdaLR:
    """Returns linear warm-up to the peak, then a constant learning rate."""
    return multi_step(optimizer, total_steps=total_steps, milestones_frac=(), warmup_frac=warmup_frac)


def _peak_step(warmup_frac: float, total_steps: int) -> int:
    return max(round(warmup_frac * total_steps), 1) - 1


def _warmup(step: int, peak: int) -> float:
    return min((step + 1) / (peak + 1), 1.0)


def _half_cosine(step: int, first: int, last: int, start: float, end: float) -> float:
    """Interpolates from `start` at step `first` to `end` at step `last`, flat at both ends; later steps have `end`."""
    progress = min((step - first) / max(last - first, 1), 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _validate_fractions(**fractions: float) -> None:
    for name, fraction in fractions.items():
        if not 0 <= fraction <= 1:
            raise UserError(f"module.schedule.{name}: {fraction} is not a fraction; give one in [0, 1]")
