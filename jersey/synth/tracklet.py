"""Tracklets: pictures of one player, as a tracker cuts them out of a broadcast.

The player is painted once, so number, kit, typeface and body stay. View, folds, light, blur, resolution and what stands
before the number wander from frame to frame. For some frames at a time nobody can read the number: the player has
turned, is hidden, or is blurred.

Shape suffix: N values of one call.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from jersey.synth.crop import KINDS, LEGIBLE, Back, Crop, Kind, Player, paint, photograph
from jersey.synth.typefaces import Typeface

HARD_SHARE = 0.25  # of all frames, on average
_HARD_FRAMES = 4  # in a row, on average
_HARD_KINDS = ("aside", "hidden", "defocused", "moved")


def render_tracklet(
    number: str, *, frames: int, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int
) -> Iterator[Crop]:
    """Draws the frames of a tracklet one after the other; arguments as `crop.render_crop`."""
    seed = int(rng.integers(2**32))
    players: dict[Back, Player] = {}
    rng_of = _correlated(rng)
    for kind in _kinds(frames, rng):
        if kind.back not in players:
            same = np.random.default_rng(seed)
            players[kind.back] = paint(number, rng=same, typefaces=typefaces, size_px=size_px, back=kind.back)
        yield photograph(players[kind.back], rng_of, kind)


def _kinds(frames: int, rng: np.random.Generator) -> Iterator[Kind]:
    """Whether and why each frame is hard: a Markov chain that begins as it goes on."""
    hard = rng.random() < HARD_SHARE
    kind = rng.choice(_HARD_KINDS)
    for _ in range(frames):
        yield KINDS[str(kind)] if hard else LEGIBLE
        if hard:
            hard = rng.random() >= 1 / _HARD_FRAMES
        elif rng.random() < HARD_SHARE / (1 - HARD_SHARE) / _HARD_FRAMES:
            hard, kind = True, rng.choice(_HARD_KINDS)


def _correlated(rng: np.random.Generator) -> Callable[[str], np.random.Generator]:
    """A correlated generator for each part of the picture, so that a part that draws more does not move another."""
    drifts: dict[str, CorrelatedRng] = {}

    def rng_of(part: str) -> np.random.Generator:
        drift = drifts.setdefault(part, CorrelatedRng(rng))
        drift.next_frame()
        return cast(np.random.Generator, drift)  # it has those of its methods that are called

    return rng_of


Size = int | tuple[int, ...] | None

# Correlation of a latent value with itself one frame later: how much moves faster than whether and which.
_MEMORY = {"normal": 0.95, "uniform": 0.95, "permutation": 0.99, "random": 0.99, "integers": 0.99, "choice": 0.99}


_erf = np.vectorize(math.erf, otypes=[float])


class CorrelatedRng:
    """Those methods of numpy's Generator that pictures call; the n-th call of one finds its values of the frame before.

    What moves them is `rng`.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._latents_N: dict[tuple[str, int], NDArray[np.floating]] = {}
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
        shares = 0.5 + 0.5 * _erf(self._latents(method, size) / math.sqrt(2))
        return float(shares) if size is None else shares  # Pillow takes no number of numpy's for a radius

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Size = None) -> Any:
        return loc + scale * self._latents("normal", size)

    def standard_normal(self, size: Size = None, dtype: Any = np.float64) -> Any:
        """The noise of a sensor, which is new in each frame."""
        return self._rng.standard_normal(size, dtype)

    def random(self, size: Size = None) -> Any:
        return self._shares("random", size)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Size = None) -> Any:
        return low + (high - low) * self._shares("uniform", size)

    def integers(self, low: int, high: int | None = None, size: Size = None) -> Any:
        low, high = (0, low) if high is None else (low, high)
        return np.minimum(low + (high - low) * self._shares("integers", size), high - 1).astype(int)

    def choice(self, options: int | Sequence[Any], p: Sequence[float] | None = None) -> Any:
        options = range(options) if isinstance(options, int) else options
        ends = np.cumsum([1 / len(options)] * len(options) if p is None else p)
        return options[min(int(np.searchsorted(ends, self._shares("choice", None))), len(options) - 1)]

    def permutation(self, count: int) -> Any:
        return np.argsort(self._latents("permutation", count))
