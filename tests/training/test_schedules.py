"""The learning-rate curve: its start, peak and end, and the ratio of parameter groups."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from jersey.core.errors import UserError
from jersey.training.schedules import constant, multi_step, one_cycle, warmup_cosine


def rates_of(
    schedule: Callable[..., LRScheduler], steps: int, *, peaks: tuple[float, ...] = (1.0,)
) -> list[tuple[float, ...]]:
    """Returns the learning rates of all groups at optimizer steps 0, 1, ..."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": peak} for peak in peaks]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = schedule(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(tuple(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()
    return rates


def curve(schedule: Any, total_steps: int, *, beyond: int = 0, **settings: Any) -> list[float]:
    """Returns the rates of one group with a peak of 1, also for some steps after the end."""
    return [rate for (rate,) in rates_of(partial(schedule, total_steps=total_steps, **settings), total_steps + beyond)]


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 37, 1000])
@pytest.mark.parametrize("warmup_frac", [0.0, 0.03, 0.1, 0.25, 0.333, 0.99, 1.0])
@pytest.mark.parametrize("final_frac", [0.0, 0.01, 0.5])
@pytest.mark.parametrize(("schedule", "settings"), [(warmup_cosine, {}), (one_cycle, {"start_frac": 0.1})])
def test_peak_is_reached_once_and_the_last_step_ends_the_curve(
    total_steps: int, warmup_frac: float, final_frac: float, schedule: Any, settings: dict[str, float]
) -> None:
    """Lightning steps the schedule once more after the last step; the curve must not rise again."""
    settings = settings | {"warmup_frac": warmup_frac, "final_frac": final_frac}
    rates = curve(schedule, total_steps, beyond=3, **settings)
    run, after = rates[:total_steps], rates[total_steps:]
    assert (max(run), run.count(1.0)) == (1.0, 1)
    peak = run.index(1.0)
    assert abs(peak + 1 - max(warmup_frac * total_steps, 1)) <= 0.5
    assert all(left < right for left, right in itertools.pairwise(run[: peak + 1]))
    assert all(left > right for left, right in itertools.pairwise(run[peak:]))
    if peak < total_steps - 1:
        assert run[-1] == pytest.approx(final_frac, abs=1e-12)
    if peak > 0 and schedule is one_cycle:
        assert run[0] == pytest.approx(0.1)
    assert after == pytest.approx([final_frac] * 3, abs=1e-12)


def test_warmup_is_linear_from_near_zero() -> None:
    assert curve(warmup_cosine, 100, warmup_frac=0.1)[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert curve(warmup_cosine, 8, warmup_frac=1.0) == pytest.approx([i / 8 for i in range(1, 9)])


def test_cosine_is_half_way_down_half_way_through() -> None:
    rates = curve(warmup_cosine, 111, warmup_frac=0.1, final_frac=0.2)
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.6)  # the mean of the peak and the end
    # The curve is flat at both ends and steep in the middle.
    assert rates[10] - rates[20] < rates[55] - rates[65] > rates[100] - rates[110]


def test_groups_keep_their_ratio() -> None:
    schedule = partial(warmup_cosine, total_steps=20, warmup_frac=0.2, final_frac=0.01)
    rates = rates_of(schedule, 20, peaks=(1e-3, 1e-4, 0.0))
    for head, backbone, frozen in rates:
        assert backbone == pytest.approx(head / 10)
        assert frozen == 0
    assert max(head for head, *_ in rates) == 1e-3


@pytest.mark.parametrize(("total_steps", "warmup_frac"), [(10, 0.3), (50, 0.1), (1000, 0.25)])
@pytest.mark.parametrize(("start_frac", "final_frac"), [(0.04, 4e-6), (0.5, 0.1)])
def test_one_cycle_matches_torch(total_steps: int, warmup_frac: float, start_frac: float, final_frac: float) -> None:
    """The warm-up has a whole number of steps; otherwise torch's peak is between two steps."""
    own = partial(
        one_cycle, total_steps=total_steps, warmup_frac=warmup_frac, start_frac=start_frac, final_frac=final_frac
    )
    torchs = partial(
        OneCycleLR,
        max_lr=[1.0, 0.1],
        total_steps=total_steps,
        pct_start=warmup_frac,
        div_factor=1 / start_frac,
        final_div_factor=start_frac / final_frac,
        cycle_momentum=False,
    )
    peaks = (1.0, 0.1)
    for left, right in zip(*(rates_of(each, total_steps, peaks=peaks) for each in (own, torchs)), strict=True):
        assert left == pytest.approx(right, abs=1e-9)


@pytest.mark.parametrize("milestones_frac", [(0.6, 0.85), (0.85, 0.6), (0.5,), ()])
@pytest.mark.parametrize("factor", [0.1, 0.5])
def test_multi_step_matches_torch(milestones_frac: tuple[float, ...], factor: float) -> None:
    own = partial(multi_step, total_steps=40, milestones_frac=milestones_frac, factor=factor)
    torchs = partial(MultiStepLR, milestones=[round(frac * 40) for frac in milestones_frac], gamma=factor)
    for left, right in zip(rates_of(own, 40, peaks=(1.0, 0.1)), rates_of(torchs, 40, peaks=(1.0, 0.1)), strict=True):
        assert left == pytest.approx(right)


@pytest.mark.parametrize(
    ("schedule", "settings", "rates"),
    [
        # Two steps warm up; the sixth is the first after one milestone, the ninth the first after the other.
        (multi_step, {"milestones_frac": (0.5, 0.8), "warmup_frac": 0.2}, [0.5, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]),
        (constant, {"warmup_frac": 0.4}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]),
        (constant, {}, [1] * 10),
    ],
)
def test_schedule_has_the_expected_rates(schedule: Any, settings: dict[str, Any], rates: list[float]) -> None:
    assert curve(schedule, 10, **settings) == pytest.approx(rates)


@pytest.mark.parametrize(
    ("schedule", "invalid"),
    [
        (warmup_cosine, {"warmup_frac": 20}),
        (warmup_cosine, {"final_frac": -0.1}),
        (one_cycle, {"start_frac": 25.0}),
        (multi_step, {"milestones_frac": (0.5, 30)}),
        (multi_step, {"factor": 10.0}),
        (constant, {"warmup_frac": -1.0}),
    ],
)
def test_count_of_steps_instead_of_a_fraction_is_rejected(schedule: Any, invalid: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"module\.schedule\.{next(iter(invalid))}"):
        rates_of(partial(schedule, total_steps=10, **invalid), 1)
