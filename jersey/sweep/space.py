"""The space of a search: ranges and choices of parameters, and the point of one trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jersey.sweep.plan import Assignment

if TYPE_CHECKING:
    import optuna

DIGITS = 4  # significant digits of a number from a range; more make no difference and are hard to read


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, which are included.

    Attributes:
        path: full path of the parameter in the config.
        name: shortest unique ending of the path.
        low: lower bound; an int if the parameter is one.
        high: upper bound, of the same type.
        is_log: whether the logarithms of the numbers are equally likely at first, instead of the numbers.
    """

    path: str
    name: str
    low: float
    high: float
    is_log: bool

    def __str__(self) -> str:
        return f"{self.path}={'log' if self.is_log else 'uniform'}({self.low!r},{self.high!r})"

    @property
    def count(self) -> float:
        """The number of values."""
        return self.high - self.low + 1 if isinstance(self.low, int) else math.inf

    def assign(self, trial: "optuna.Trial") -> Assignment:
        """Returns the value that the trial suggests."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return self.assignment(trial.suggest_int(self.path, self.low, self.high, log=self.is_log))
        return self.assignment(trial.suggest_float(self.path, self.low, self.high, log=self.is_log))

    def assignment(self, value: float) -> Assignment:
        """Returns the assignment of a suggested value."""
        if isinstance(value, float):
            value = min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)
        return Assignment(self.path, self.name, repr(value))


@dataclass(frozen=True)
class Choices:
    """A few values.

    Attributes:
        path: full path of the parameter in the config.
        name: shortest unique ending of the path.
        texts: values, as Python text.
    """

    path: str
    name: str
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path}={','.join(self.texts)}"

    @property
    def count(self) -> float:
        """The number of values."""
        return len(self.texts)

    def assign(self, trial: "optuna.Trial") -> Assignment:
        """Returns the value that the trial suggests."""
        return self.assignment(trial.suggest_categorical(self.path, self.texts))

    def assignment(self, value: str) -> Assignment:
        """Returns the assignment of a suggested value."""
        return Assignment(self.path, self.name, value)


Dimension = Range | Choices


def point_count(space: Sequence[Dimension]) -> float:
    """Returns the number of points of a space; infinity if a range of it is not one of integers."""
    return math.prod(each.count for each in space)
