"""Times taken in turn, as a table for people and as numbers for machines."""

import statistics
from collections.abc import Mapping

import torch

from jersey.core.tables import aligned
from jersey.core.timing import speedup

Times = dict[str, list[float]]
"""Seconds by candidate, a value a round."""


def table(times_s: Mapping[str, list[float]], *, against: str, unit: str, amount: float = 1.0) -> str:
    """A row a candidate: its median time, what it does in a second, and how fast that is beside `against`."""
    rows = [["", "median ms", f"{unit}/s", f"speed against {against}"]]
    for name, values in times_s.items():
        median_s = statistics.median(values)
        ratio = speedup(times_s[against], values)
        rows.append([name, f"{1000 * median_s:.1f}", f"{amount / median_s:.0f}", str(ratio)])
    return "\n".join(aligned(rows))


def as_json(times_s: Mapping[str, list[float]], *, against: str) -> dict[str, dict[str, float]]:
    """The same, for machines."""
    result = {}
    for name, values in times_s.items():
        ratio = speedup(times_s[against], values)
        numbers = {"median_ms": 1000 * statistics.median(values), "speed": ratio.median}
        result[name] = {
            key: round(value, 4) for key, value in {**numbers, "low": ratio.low, "high": ratio.high}.items()
        }
    return result


def machine() -> str:
    """Where it was measured."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{where}, torch {torch.__version__}"
