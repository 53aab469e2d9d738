"""Drawn crops of players' backs: a data set to start with, to test with, and to fill up rare numbers.

Nothing here imports torch, so that drawing processes start fast.
"""

from jersey.synth.draw import Crop, draw_crop
from jersey.synth.generate import generate

__all__ = ["Crop", "draw_crop", "generate"]
