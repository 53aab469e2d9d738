"""Times that can be compared: candidates in turn, ratios within a round, medians of the rounds with their spread.

A machine is slower in some minutes than in others, and all candidates of a round meet the same minute.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from jersey.tables import aligned


@dataclass(frozen=True)
class Ratio:
    """Of two times: the median over rounds, and the quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


def alternate(candidates: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round, after a round that warms up; each round starts with another one."""
    times_s: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for number in range(-1, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds = time_s(candidates[name])
            if number >= 0:
                times_s[name].append(seconds)
    return times_s


def time_s(run: Callable[[], object]) -> float:
    """Seconds until all that `run` asks of the machine is done."""
    _wait()
    started = time.perf_counter()
    run()
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def speed(times_s: Mapping[str, list[float]], name: str, *, against: str) -> Ratio:
    """How many times as fast `name` is as `against`."""
    ratios = [other / own for own, other in zip(times_s[name], times_s[against], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else 3 * ratios
    return Ratio(statistics.median(ratios), low, high)


def table(times_s: Mapping[str, list[float]], *, against: str, unit: str, amount: float = 1.0) -> str:
    """A row a candidate: its median time, what it does in a second, and how fast that is beside `against`."""
    rows = [["", "median ms", f"{unit}/s", f"speed against {against}"]]
    for name, values in times_s.items():
        median_s = statistics.median(values)
        ratio = speed(times_s, name, against=against)
        rows.append([name, f"{1000 * median_s:.1f}", f"{amount / median_s:.0f}", str(ratio)])
    return "\n".join(aligned(rows))


def as_json(times_s: Mapping[str, list[float]], *, against: str) -> dict[str, dict[str, float]]:
    """The same, for machines."""
    result = {}
    for name, values in times_s.items():
        ratio = speed(times_s, name, against=against)
        numbers = {"median_ms": 1000 * statistics.median(values), "speed": ratio.median}
        result[name] = {
            key: round(value, 4) for key, value in {**numbers, "low": ratio.low, "high": ratio.high}.items()
        }
    return result


def machine() -> str:
    """Where it was measured."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{where}, torch {torch.__version__}"
