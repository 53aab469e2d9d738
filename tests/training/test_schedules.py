"""The learning-rate curve: where it starts, peaks and ends, and that every group keeps its share of it."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, MultiStepLR, OneCycleLR

from jersey.core.errors import UserError
from jersey.training.schedules import constant, multi_step, one_cycle, warmup_cosine


def curve(
    total_steps: int, *, warmup_frac: float, final_frac: float = 0.0, peaks: tuple[float, ...] = (1.0,), beyond: int = 0
) -> list[tuple[float, ...]]:
    """The learning rates that optimizer steps 0, 1, ... would use, as many as groups."""
    schedule = partial(warmup_cosine, warmup_frac=warmup_frac, final_frac=final_frac)
    return rates_of(partial(schedule, total_steps=total_steps), total_steps + beyond, peaks=peaks)


def rates_of(
    schedule: Callable[..., LRScheduler], steps: int, *, peaks: tuple[float, ...] = (1.0,)
) -> list[tuple[float, ...]]:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": peak} for peak in peaks]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = schedule(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(tuple(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()
    return rates


def first_group(rates: list[tuple[float, ...]]) -> list[float]:
    return [rate[0] for rate in rates]


@pytest.mark.parametrize("total_steps", [2, 10, 37, 1000])
@pytest.mark.parametrize("warmup_frac", [0.0, 0.03, 0.1, 0.25, 0.333])
@pytest.mark.parametrize("final_frac", [0.0, 0.01, 0.5])
def test_peak_is_reached_once_and_the_last_step_ends_the_curve(
    total_steps: int, warmup_frac: float, final_frac: float
) -> None:
    rates = first_group(curve(total_steps, warmup_frac=warmup_frac, final_frac=final_frac))
    assert max(rates) == 1.0
    assert rates.count(1.0) == 1
    assert rates[-1] == pytest.approx(final_frac, abs=1e-12)
    peak = rates.index(1.0)
    assert abs((peak + 1) - warmup_frac * total_steps) <= 1
    assert all(left < right for left, right in itertools.pairwise(rates[: peak + 1]))
    assert all(left > right for left, right in itertools.pairwise(rates[peak:]))
    assert all(rate > 0 for rate in rates[:-1])


def test_warmup_is_a_straight_line_from_near_zero() -> None:
    assert first_group(curve(100, warmup_frac=0.1))[:10] == pytest.approx([i / 10 for i in range(1, 11)])


def test_cosine_is_half_way_down_half_way_through() -> None:
    rates = first_group(curve(111, warmup_frac=0.1, final_frac=0.2))
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.6)  # the mean of peak and end
    # Flat at both ends, steep between.
    assert rates[10] - rates[20] < rates[55] - rates[65] > rates[100] - rates[110]


def test_nothing_but_warmup() -> None:
    assert first_group(curve(8, warmup_frac=1.0)) == pytest.approx([i / 8 for i in range(1, 9)])


def test_no_warmup_starts_at_the_peak() -> None:
    rates = first_group(curve(8, warmup_frac=0.0, final_frac=0.1))
    assert (rates[0], rates[-1]) == pytest.approx((1.0, 0.1))


@pytest.mark.parametrize("warmup_frac", [0.0, 0.1, 1.0])
def test_a_single_step_runs_at_the_peak(warmup_frac: float) -> None:
    assert first_group(curve(1, warmup_frac=warmup_frac)) == [1.0]


@pytest.mark.parametrize("warmup_frac", [0.0, 0.5, 1.0])
def test_steps_beyond_the_end_stay_low(warmup_frac: float) -> None:
    """Lightning asks once more after the last step; the curve must not come up again."""
    rates = first_group(curve(10, warmup_frac=warmup_frac, final_frac=0.1, beyond=15))
    assert rates[10:] == pytest.approx([0.1] * 15)


def test_groups_keep_their_ratio() -> None:
    rates = curve(20, warmup_frac=0.2, final_frac=0.01, peaks=(1e-3, 1e-4, 0.0))
    for head, backbone, frozen in rates:
        assert backbone == pytest.approx(head / 10)
        assert frozen == 0
    assert max(head for head, *_ in rates) == 1e-3


@pytest.mark.parametrize(("total_steps", "warmup_frac"), [(10, 0.3), (50, 0.1), (1000, 0.25)])
@pytest.mark.parametrize(("start_frac", "final_frac"), [(0.04, 4e-6), (0.5, 0.1)])
def test_one_cycle_is_torchs(total_steps: int, warmup_frac: float, start_frac: float, final_frac: float) -> None:
    """Where a whole number of steps rises; torch's peak lies between two steps otherwise."""
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


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 37])
@pytest.mark.parametrize("warmup_frac", [0.0, 0.1, 0.3, 0.99])
def test_one_cycle_peaks_once_and_ends_with_the_last_step(total_steps: int, warmup_frac: float) -> None:
    schedule = partial(one_cycle, total_steps=total_steps, warmup_frac=warmup_frac, start_frac=0.1, final_frac=0.01)
    rates = first_group(rates_of(schedule, total_steps + 3))
    assert rates[:total_steps].count(1.0) == 1
    peak = rates.index(1.0)
    assert abs(peak + 1 - max(warmup_frac * total_steps, 1)) <= 0.5
    if peak > 0:
        assert rates[0] == pytest.approx(0.1)
    if peak < total_steps - 1:
        assert rates[total_steps - 1] == pytest.approx(0.01)
    assert rates[total_steps:] == pytest.approx([0.01] * 3)


@pytest.mark.parametrize("milestones_frac", [(0.6, 0.85), (0.85, 0.6), (0.5,), ()])
@pytest.mark.parametrize("factor", [0.1, 0.5])
def test_multi_step_is_torchs(milestones_frac: tuple[float, ...], factor: float) -> None:
    own = partial(multi_step, total_steps=40, milestones_frac=milestones_frac, factor=factor)
    torchs = partial(MultiStepLR, milestones=[round(share * 40) for share in milestones_frac], gamma=factor)
    for left, right in zip(rates_of(own, 40, peaks=(1.0, 0.1)), rates_of(torchs, 40, peaks=(1.0, 0.1)), strict=True):
        assert left == pytest.approx(right)


def test_multi_step_by_hand() -> None:
    """Ten steps: two warm up, the sixth is the first after the one milestone, the ninth after the other."""
    schedule = partial(multi_step, total_steps=10, milestones_frac=(0.5, 0.8), factor=0.1, warmup_frac=0.2)
    assert first_group(rates_of(schedule, 10)) == pytest.approx([0.5, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_constant_is_torchs_and_warms_up_by_hand() -> None:
    own, torchs = partial(constant, total_steps=8), partial(ConstantLR, factor=1.0)
    assert rates_of(own, 8, peaks=(0.3, 0.1)) == rates_of(torchs, 8, peaks=(0.3, 0.1))
    warm = first_group(rates_of(partial(constant, total_steps=8, warmup_frac=0.5), 8))
    assert warm == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [
        (warmup_cosine, {"warmup_frac": 20}),
        (warmup_cosine, {"final_frac": -0.1}),
        (one_cycle, {"start_frac": 25.0}),
        (multi_step, {"milestones_frac": (0.5, 30)}),
        (multi_step, {"factor": 10.0}),
        (constant, {"warmup_frac": -1.0}),
    ],
)
def test_a_number_of_steps_for_a_share_is_refused(schedule: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"module\.schedule\.{next(iter(wrong))}"):
        rates_of(partial(schedule, total_steps=10, **wrong), 1)
