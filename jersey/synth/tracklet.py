"""Renders tracklets: crops of one player from consecutive frames.

The player is painted once, so number, kit, typeface and body are constant. View, folds, light, blur, resolution and
occlusion change gradually from frame to frame. Some runs of frames are illegible, because the player has turned, is
hidden, or is blurred.

Shape suffix: N values of one call.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from jersey.synth.crop import KINDS, LEGIBLE, Back, Crop, Kind, Player, paint, photograph
from jersey.synth.typefaces import Typeface

HARD_FRACTION = 0.25  # of all frames, on average
_HARD_FRAMES = 4  # consecutive ones, on average
_HARD_KINDS = ("aside", "hidden", "defocused", "moved")


def render_tracklet(
    number: str, *, frames: int, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int
) -> Iterator[Crop]:
    """Renders the frames of a tracklet one after the other; the arguments are those of `crop.render_crop`."""
    seed = int(rng.integers(2**32))
    players: dict[Back, Player] = {}
    rng_of = _correlated(rng)
    for kind in _kinds(frames, rng):
        if kind.back not in players:
            same = np.random.default_rng(seed)
            players[kind.back] = paint(number, rng=same, typefaces=typefaces, size_px=size_px, back=kind.back)
        yield photograph(players[kind.back], rng_of, kind)


def _kinds(frames: int, rng: np.random.Generator) -> Iterator[Kind]:
    """Yields the kind of each frame: a Markov chain that starts in its stationary distribution."""
    hard = rng.random() < HARD_FRACTION
    kind = rng.choice(_HARD_KINDS)
    for _ in range(frames):
        yield KINDS[str(kind)] if hard else LEGIBLE
        if hard:
            hard = rng.random() >= 1 / _HARD_FRAMES
        elif rng.random() < HARD_FRACTION / (1 - HARD_FRACTION) / _HARD_FRAMES:
            hard, kind = True, rng.choice(_HARD_KINDS)


def _correlated(rng: np.random.Generator) -> Callable[[str], np.random.Generator]:
    """Returns one correlated generator per part of the picture, so that more calls in one do not shift another."""
    generators: dict[str, CorrelatedRng] = {}

    def rng_of(part: str) -> np.random.Generator:
        generator = generators.setdefault(part, CorrelatedRng(rng))
        generator.next_frame()
        return cast(np.random.Generator, generator)  # it implements the methods that are called

    return rng_of


Size = int | tuple[int, ...] | None

# Correlation of a latent value with itself one frame later; amounts change faster than decisions and choices.
_MEMORY = {"normal": 0.95, "uniform": 0.95, "permutation": 0.99, "random": 0.99, "integers": 0.99, "choice": 0.99}


_erf = np.vectorize(math.erf, otypes=[float])


class CorrelatedRng:
    """A generator with the methods of numpy's Generator that rendering calls, correlated from frame to frame.

    The n-th call of a method in a frame changes its values of the previous frame by random steps from `rng`.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._latents_N: dict[tuple[str, int], NDArray[np.floating]] = {}
        self._calls: dict[str, int] = {}

    def next_frame(self) -> None:
        """Starts a frame: the next call of each method is its first."""
        self._calls.clear()

    def _latents(self, method: str, size: Size) -> Any:
        call = self._calls[method] = self._calls.get(method, -1) + 1
        previous_N = self._latents_N.get((method, call), np.empty(0))
        memory = _MEMORY[method]
        moved_N = memory * previous_N + math.sqrt(1 - memory**2) * self._rng.standard_normal(len(previous_N))
        count = int(np.prod(1 if size is None else size))
        new_N = self._rng.standard_normal(max(0, count - len(previous_N)))
        latents_N = self._latents_N[method, call] = np.concatenate([moved_N, new_N])
        return float(latents_N[0]) if size is None else latents_N[:count].reshape(size)

    def _uniform(self, method: str, size: Size) -> Any:
        """Returns values that are uniform on [0, 1]: the normal distribution function of the latent values."""
        values = 0.5 + 0.5 * _erf(self._latents(method, size) / math.sqrt(2))
        return float(values) if size is None else values  # Pillow accepts no numpy scalar as a radius

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Size = None) -> Any:
        return loc + scale * self._latents("normal", size)

    def standard_normal(self, size: Size = None, dtype: Any = np.float64) -> Any:
        """Returns the noise of a sensor, which is independent in each frame."""
        return self._rng.standard_normal(size, dtype)

    def random(self, size: Size = None) -> Any:
        return self._uniform("random", size)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Size = None) -> Any:
        return low + (high - low) * self._uniform("uniform", size)

    def integers(self, low: int, high: int | None = None, size: Size = None) -> Any:
        low, high = (0, low) if high is None else (low, high)
        return np.minimum(low + (high - low) * self._uniform("integers", size), high - 1).astype(int)

    def choice(self, options: int | Sequence[Any], p: Sequence[float] | None = None) -> Any:
        options = range(options) if isinstance(options, int) else options
        ends = np.cumsum([1 / len(options)] * len(options) if p is None else p)
        return options[min(int(np.searchsorted(ends, self._uniform("choice", None))), len(options) - 1)]

    def permutation(self, count: int) -> Any:
        return np.argsort(self._latents("permutation", count))
