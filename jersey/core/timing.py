"""Measures the stages of a run, and speed ratios of candidates that take turns.

A slow minute of the machine then affects all candidates. A ratio is taken within each round; the median over the rounds
is reported with its quartiles.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

MIN_TURN_S = 0.02  # shorter turns would measure the clock and the scheduler


@dataclass(frozen=True)
class Ratio:
    """A distribution of ratios over rounds.

    Attributes:
        median: median ratio.
        low: lower quartile.
        high: upper quartile.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


class StageTimes:
    """Calls the functions of consecutive stages, and records how long each takes; `str` lists the seconds."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def __call__(self, stage: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        started = time.perf_counter()
        result = function(*args, **kwargs)
        self._seconds[stage] = time.perf_counter() - started
        return result

    def __str__(self) -> str:
        return ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in self._seconds.items())


def interleaved_times(candidates: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Times candidates in turns; every second round is in reverse order.

    Args:
        candidates: functions to time, by name.
        rounds: number of turns of each candidate.

    Returns:
        Seconds per call by candidate, one value per round.
    """
    calls_per_turn = {name: math.ceil(MIN_TURN_S / max(_time_s(call, 1), 1e-6)) for name, call in candidates.items()}
    times_s: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    for _ in range(rounds):
        for name in order:
            times_s[name].append(_time_s(candidates[name], calls_per_turn[name]))
        order.reverse()
    return times_s


def _time_s(call: Callable[[], object], calls: int) -> float:
    call()  # warms up; meanwhile the threads of the previous candidate stop spinning
    wait_for_device()
    started = time.perf_counter()
    for _ in range(calls):
        call()
    wait_for_device()
    return (time.perf_counter() - started) / calls


def wait_for_device() -> None:
    """Waits until all queued work on the GPU is done; returns at once without a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def speedup(base_s: Sequence[float], other_s: Sequence[float]) -> Ratio:
    """Returns how many times as fast the other candidate is as the base.

    Args:
        base_s: seconds per call of the base, one value per round, of at least two rounds.
        other_s: seconds per call of the other candidate in the same rounds.
    """
    low, median, high = statistics.quantiles([b / o for b, o in zip(base_s, other_s, strict=True)], method="inclusive")
    return Ratio(median, low, high)
