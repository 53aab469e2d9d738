"""The learning-rate curve: where it starts, peaks and ends, and that every group keeps its share of it."""

import itertools

import pytest
import torch

from jersey.optim.schedules import warmup_cosine


def curve(
    total_steps: int, *, warmup_frac: float, final_frac: float = 0.0, peaks: tuple[float, ...] = (1.0,), beyond: int = 0
) -> list[tuple[float, ...]]:
    """The learning rates that optimizer steps 0, 1, ... would use, as many as groups."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": peak} for peak in peaks]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = warmup_cosine(optimizer, total_steps=total_steps, warmup_frac=warmup_frac, final_frac=final_frac)
    rates = []
    for _ in range(total_steps + beyond):
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
