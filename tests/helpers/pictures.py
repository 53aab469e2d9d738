"""Checks of the pixels of a figure."""

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image


def assert_nothing_touches_the_border(image: Image.Image, *, margin_px: int = 5) -> None:
    pixels_HW3 = np.asarray(image.convert("RGB")).copy()
    pixels_HW3[margin_px:-margin_px, margin_px:-margin_px] = 255
    assert (pixels_HW3 == 255).all()


def is_color(image: Image.Image, color: str, *, within: int = 8) -> np.ndarray:
    """Returns a mask of the pixels that have approximately this color."""
    difference_HW3 = np.abs(np.asarray(image).astype(int) - np.array(to_rgb(color)) * 255)
    return difference_HW3.max(axis=2) < within


def gray_of(color: str) -> float:
    """Returns the brightness of a color, 0 to 1 (Rec. 601)."""
    return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))
