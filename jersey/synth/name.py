"""The player's name above the number: letters only, straight or arched."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from jersey.synth.typefaces import FontTypeface

_SYLLABLES = (
    "AN", "BAR", "BEN", "CAR", "DAV", "DEN", "ED", "EL", "FOR", "GAR", "GRE", "HAR", "HILL", "JACK", "JO", "KEN",
    "KING", "LEE", "MAR", "MC", "MIL", "MOR", "NEL", "PAR", "PER", "RUS", "SAN", "SMI", "SON", "TAY", "THO", "TON",
    "VA", "WAL", "WES", "WIL", "WOOD", "YOUNG",
)  # fmt: skip


def print_name(typeface: FontTypeface, *, height_px: int, max_width_px: int, rng: np.random.Generator) -> Image.Image:
    """A made-up name as a mask ("L").

    Args:
        typeface: the face of its letters.
        height_px: height of the letters before arching.
        max_width_px: longer names are condensed to this width.
        rng: makes up the name and its arch.
    """
    name = "".join(_SYLLABLES[index] for index in rng.integers(len(_SYLLABLES), size=rng.integers(1, 4)))
    font = typeface.font(round(height_px * 1.35))
    left, top, right, bottom = font.getbbox(name)
    mask = Image.new("L", (round(right - left), round(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), name, fill=255, font=font, stroke_width=typeface.bolder * height_px / 2)
    if mask.width > max_width_px:
        mask = mask.resize((max_width_px, mask.height), Image.Resampling.BILINEAR)
    return _arch(mask, height_px * rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else mask


def _arch(mask: Image.Image, rise_px: float) -> Image.Image:
    """Bends the line of letters upwards in the middle, by `rise_px`."""
    width_px, height_px = mask.width, mask.height + round(rise_px)
    strips = []
    for x0, x1 in pairwise(np.unique(np.linspace(0, width_px, 9).round().astype(int)).tolist()):
        y0, y1 = (rise_px * (2 * x / width_px - 1) ** 2 for x in (x0, x1))
        strips.append(((x0, 0, x1, height_px), (x0, -y0, x0, height_px - y0, x1, height_px - y1, x1, -y1)))
    return mask.transform((width_px, height_px), Image.Transform.MESH, strips, Image.Resampling.BILINEAR)
