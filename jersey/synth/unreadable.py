"""Crops on which no number can be read: what each kind of them does to the back, the view and the picture.

They look like readable crops in all else: kits, bodies, frames, folds, light, noise. A model that has seen them learns
to say that it cannot read, instead of guessing from the colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jersey.synth import degrade
from jersey.synth.degrade import Blur
from jersey.synth.draw import Back, Crop, paint, shoot
from jersey.synth.typefaces import Typeface


@dataclass(frozen=True)
class Kind:
    """Why a number cannot be read.

    Args:
        back: what can be seen of the player.
        hidden: something is before the number.
        blur: that no number bears.
    """

    back: Back = "number"
    hidden: bool = False
    blur: Blur | None = None


def _far(picture: Image.Image, digit_height_px: float, rng: np.random.Generator) -> Image.Image:
    """Digits of 2 to 4 pixels."""
    return degrade.lose_resolution(picture, rng.uniform(2, 4) / digit_height_px, rng)


def _defocus(picture: Image.Image, digit_height_px: float, rng: np.random.Generator) -> Image.Image:
    return degrade.defocus(picture, digit_height_px * rng.uniform(0.22, 0.35))


def _move(picture: Image.Image, digit_height_px: float, rng: np.random.Generator) -> Image.Image:
    """A fast movement, a little out of focus."""
    moved = degrade.move(picture, digit_height_px * rng.uniform(0.8, 1.4), rng.uniform(0, np.pi))
    return degrade.defocus(moved, digit_height_px * rng.uniform(0.08, 0.14))


KINDS = {
    "blank": Kind(back="blank"),
    "hidden": Kind(hidden=True),
    "aside": Kind(back="aside"),
    "far": Kind(blur=_far),
    "defocused": Kind(blur=_defocus),
    "moved": Kind(blur=_move),
}


def draw_unreadable(
    kind: Kind, number: str, *, rng: np.random.Generator, typefaces: Sequence[Typeface], size_px: int
) -> Crop:
    """Draws a crop as `draw.draw_crop` does, on which the number cannot be read."""
    player = paint(number, rng=rng, typefaces=typefaces, size_px=size_px, back=kind.back)
    return shoot(player, lambda part: rng, hidden=kind.hidden, blur=kind.blur)
