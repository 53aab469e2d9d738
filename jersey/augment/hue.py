"""Other hues: the same turn of the colour circle for all pixels of a crop.

The formula is the one-line inverse of hue, saturation and value: https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative

Shapes: B batch, C channels (3), H W size. Images are float in [0, 1].
"""

import torch
from torch import Generator, Tensor

from jersey.augment.augment import Augmentation, require, uniform


class Hue(Augmentation):
    """Turns the hues of each crop.

    Args:
        turn: half-width of the uniform range, as a share of the colour circle; 0.5 is every hue.
    """

    def __init__(self, *, turn: float) -> None:
        super().__init__()
        require("Hue", turn=(turn, 0, 0.5))
        self.turn = turn

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        turns_B = uniform((len(images_BCHW),), -self.turn, self.turn, generator)
        return turn_hue(images_BCHW, turns_B)


def turn_hue(images_BCHW: Tensor, turns_B: Tensor) -> Tensor:
    """Turns the hues of each image by its share of the circle; greys have none and stay."""
    red, green, blue = images_BCHW.unbind(dim=1)
    high_BHW, low_BHW = images_BCHW.amax(dim=1), images_BCHW.amin(dim=1)
    chroma_BHW = high_BHW - low_BHW
    safe_BHW = chroma_BHW.clamp(min=1e-6)
    # In sixths of the circle from red: each third is counted from the channel that is highest there.
    hue_BHW = torch.where(
        high_BHW == red,
        (green - blue) / safe_BHW,
        torch.where(high_BHW == green, 2 + (blue - red) / safe_BHW, 4 + (red - green) / safe_BHW),
    )
    hue_BHW = hue_BHW + 6 * turns_B[:, None, None]
    channels = []
    for offset in (5, 3, 1):
        away_BHW = (hue_BHW + offset) % 6
        channels.append(high_BHW - chroma_BHW * torch.minimum(away_BHW, 4 - away_BHW).clamp(0, 1))
    return torch.stack(channels, dim=1)
