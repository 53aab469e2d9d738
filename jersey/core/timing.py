"""How many times as fast one thing is as another, timed in turn, so that a slow minute of the machine hits both alike.

A ratio is taken within each round, and the median of the rounds is told with its quartiles.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

TURN_S = 0.02  # shorter turns would say more about the clock and the scheduler


@dataclass(frozen=True)
class Ratio:
    """The median of ratios, and their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


def interleaved_times(candidates: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of one call, by way, a value a round; every second round goes backwards."""
    calls = {name: math.ceil(TURN_S / max(_time_s(way, 1), 1e-6)) for name, way in candidates.items()}
    times_s: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(rounds):
        for name in list(candidates)[:: (-1) ** round_]:
            times_s[name].append(_time_s(candidates[name], calls[name]))
    return times_s


def _time_s(way: Callable[[], object], calls: int) -> float:
    way()  # plans and allocates; and meanwhile the threads of the way before give up waiting for more
    wait_for_device()
    started = time.perf_counter()
    for _ in range(calls):
        way()
    wait_for_device()
    return (time.perf_counter() - started) / calls


def wait_for_device() -> None:
    """Returns when all that has been asked of a GPU is done; at once where there is none."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def speedup(base_s: Sequence[float], other_s: Sequence[float]) -> Ratio:
    """How many times as fast the other is, from the seconds of the same rounds, two at least."""
    low, median, high = statistics.quantiles([b / o for b, o in zip(base_s, other_s, strict=True)], method="inclusive")
    return Ratio(median, low, high)
