"""A random generator that remembers: what it draws for one frame is near what it drew for the frame before.

Behind each value stands a standard normal one that wanders from frame to frame (an autoregressive process of order 1,
so that its distribution stays what it is) and is mapped to what was asked for. So the code that draws single crops
draws the frames of a tracklet too, and each frame by itself looks like a crop.

Shape suffix: N values of one call.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Size = int | tuple[int, ...] | None

# Correlation of a latent value with itself one frame later: how much moves faster than whether and which.
_MEMORY = {"normal": 0.95, "uniform": 0.95, "permutation": 0.99, "random": 0.99, "integers": 0.99, "choice": 0.99}


class Drift:
    """Those methods of numpy's Generator that pictures call; the n-th call of one finds its values of the frame before.

    Args:
        rng: what moves the values.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._latents_N: dict[tuple[str, int], Floats] = {}
        self._calls: dict[str, int] = {}

    def next_frame(self) -> None:
        """The next call of each method is its first again."""
        self._calls.clear()

    def _latents(self, method: str, size: Size) -> Any:
        call = self._calls[method] = self._calls.get(method, -1) + 1
        before_N = self._latents_N.get((method, call), np.empty(0))
        memory = _MEMORY[method]
        moved_N = memory * before_N + math.sqrt(1 - memory**2) * self._rng.standard_normal(len(before_N))
        wanted = int(np.prod(1 if size is None else size))
        new_N = self._rng.standard_normal(max(0, wanted - len(before_N)))
        latents_N = self._latents_N[method, call] = np.concatenate([moved_N, new_N])
        return float(latents_N[0]) if size is None else latents_N[:wanted].reshape(size)

    def _shares(self, method: str, size: Size) -> Any:
        """Values that are uniform from 0 to 1, by the normal distribution function of the latent ones."""
        latents = self._latents(method, size)
        if isinstance(latents, float):
            return _normal_cdf(latents)
        return np.array([_normal_cdf(latent) for latent in latents.flat]).reshape(latents.shape)

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Size = None) -> Any:
        """See numpy, as below."""
        return loc + scale * self._latents("normal", size)

    def standard_normal(self, size: Size = None, dtype: Any = np.float64) -> Any:
        """The noise of a sensor, which is new in each frame."""
        return self._rng.standard_normal(size, dtype)

    def random(self, size: Size = None) -> Any:
        """See numpy."""
        return self._shares("random", size)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Size = None) -> Any:
        """See numpy."""
        return low + (high - low) * self._shares("uniform", size)

    def integers(self, low: int, high: int | None = None, size: Size = None) -> Any:
        """See numpy."""
        low, high = (0, low) if high is None else (low, high)
        return np.minimum(low + (high - low) * self._shares("integers", size), high - 1).astype(int)

    def choice(self, options: int | Sequence[Any], p: Sequence[float] | None = None) -> Any:
        """See numpy; one option."""
        options = range(options) if isinstance(options, int) else options
        ends = np.cumsum([1 / len(options)] * len(options) if p is None else p)
        return options[min(int(np.searchsorted(ends, self._shares("choice", None))), len(options) - 1)]

    def permutation(self, count: int) -> Any:
        """See numpy."""
        return np.argsort(self._latents("permutation", count))


def _normal_cdf(value: float) -> float:
    return 0.5 + 0.5 * math.erf(value / math.sqrt(2))
