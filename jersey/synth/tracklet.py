"""Tracklets: pictures of one player, as a tracker cuts them out of a broadcast.

The player is painted once, so number, kit, typeface and body stay. View, folds, light, blur, resolution and what stands
before the number wander from frame to frame. For some frames at a time nobody can read the number: the player has
turned, is hidden, or is blurred.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np

from jersey.synth.draw import Back, Crop, Player, paint, shoot
from jersey.synth.drift import Drift
from jersey.synth.typefaces import Typeface
from jersey.synth.unreadable import KINDS, Kind

HARD_SHARE = 0.25  # of all frames, on average
_HARD_FRAMES = 4  # in a row, on average
_HARD_KINDS = ("aside", "hidden", "defocused", "moved")


def draw_tracklet(
    number: str, *, frames: int, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int
) -> Iterator[Crop]:
    """Draws the frames of a tracklet one after the other; arguments as `draw.draw_crop`."""
    seed = int(rng.integers(2**32))
    players: dict[Back, Player] = {}
    rng_of = _drifting(rng)
    for kind in _kinds(frames, rng):
        if kind.back not in players:
            same = np.random.default_rng(seed)
            players[kind.back] = paint(number, rng=same, typefaces=typefaces, size_px=size_px, back=kind.back)
        yield shoot(players[kind.back], rng_of, hidden=kind.hidden, blur=kind.blur)


def _kinds(frames: int, rng: np.random.Generator) -> Iterator[Kind]:
    """Whether and why each frame is hard: a Markov chain that begins as it goes on."""
    hard = rng.random() < HARD_SHARE
    kind = rng.choice(_HARD_KINDS)
    for _ in range(frames):
        yield KINDS[str(kind)] if hard else Kind()
        if hard:
            hard = rng.random() >= 1 / _HARD_FRAMES
        elif rng.random() < HARD_SHARE / (1 - HARD_SHARE) / _HARD_FRAMES:
            hard, kind = True, rng.choice(_HARD_KINDS)


def _drifting(rng: np.random.Generator) -> Callable[[str], np.random.Generator]:
    """A drifting generator for each part of the picture, so that a part that draws more does not move another."""
    drifts: dict[str, Drift] = {}

    def rng_of(part: str) -> np.random.Generator:
        drift = drifts.setdefault(part, Drift(rng))
        drift.next_frame()
        return cast(np.random.Generator, drift)  # it has those of its methods that are called

    return rng_of
