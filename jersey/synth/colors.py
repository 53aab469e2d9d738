"""Colors of jerseys, skin and halls, and the minimum contrast of a legible number."""

from dataclasses import dataclass

import numpy as np

Color = tuple[int, int, int]

CLOTH: tuple[Color, ...] = (
    (244, 244, 242), (240, 238, 230), (18, 18, 22), (150, 152, 158), (200, 16, 46), (120, 20, 40), (0, 43, 92),
    (29, 66, 138), (0, 107, 182), (93, 165, 218), (0, 101, 70), (0, 122, 51), (84, 45, 127), (253, 185, 39),
    (245, 130, 32), (255, 205, 60), (0, 140, 140), (225, 85, 150), (85, 60, 45), (190, 165, 110),
)  # fmt: skip
SKIN: tuple[Color, ...] = (
    (66, 42, 30), (88, 56, 38), (112, 72, 50), (141, 92, 62), (176, 122, 86), (208, 158, 122), (232, 190, 160),
)  # fmt: skip
HAIR: tuple[Color, ...] = ((18, 15, 14), (30, 22, 18), (58, 38, 24), (110, 78, 44), (170, 135, 85), (120, 110, 105))
HALL: tuple[Color, ...] = (
    (28, 26, 34), (60, 48, 44), (96, 84, 76), (196, 152, 100), (172, 122, 72), (214, 178, 130), (70, 84, 110),
    (140, 140, 140),
)  # fmt: skip
BALL: tuple[Color, ...] = ((196, 98, 44), (170, 80, 40))
BALL_SEAM: Color = (40, 25, 20)

# Difference in luma, 0 to 255; at 70 fill and cloth are distinct even with noise and a color cast.
MIN_CONTRAST = 70


@dataclass(frozen=True)
class Kit:
    """The colors of one jersey; `outlines` surround the fill of the number, innermost first."""

    cloth: Color
    fill: Color
    outlines: tuple[Color, ...]
    trim: Color


def luma(color: Color) -> float:
    """Returns the perceived brightness, 0 to 255 (Rec. 601)."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def shade(color: Color, factor: float) -> Color:
    """Returns the color in less light (a factor below 1) or more light."""
    red, green, blue = (min(255, round(value * factor)) for value in color)
    return red, green, blue


def pick(colors: tuple[Color, ...], rng: np.random.Generator, *, jitter: int = 14) -> Color:
    """Samples one of the colors and changes it slightly."""
    red, green, blue = np.clip(
        np.array(colors[rng.integers(len(colors))]) + rng.integers(-jitter, jitter + 1, 3), 0, 255
    )
    return int(red), int(green), int(blue)


def contrasting(color: Color, rng: np.random.Generator, *, min_contrast: float = MIN_CONTRAST) -> Color:
    """Samples a jersey color whose luma differs from that of `color` by at least `min_contrast`, up to 110."""
    while True:
        candidate = pick(CLOTH, rng)
        if abs(luma(candidate) - luma(color)) >= min_contrast:
            return candidate


def pick_kit(rng: np.random.Generator) -> Kit:
    """Samples the colors of a jersey; the fill contrasts with the cloth, and each outline with what it surrounds."""
    cloth = pick(CLOTH, rng) if rng.random() > 0.2 else pick(CLOTH[:2], rng, jitter=8)
    fill = contrasting(cloth, rng)
    outlines: tuple[Color, ...] = ()
    for _ in range(rng.choice(3, p=(0.35, 0.45, 0.2))):
        outlines = (*outlines, contrasting(outlines[-1] if outlines else fill, rng, min_contrast=40))
    trim = fill if rng.random() < 0.5 else pick(CLOTH, rng)
    return Kit(cloth, fill, outlines, trim)
