"""Changes colors (brightness, contrast, saturation, hue, order of channels) and adds sensor noise.

Shapes: B batch, C channels (3), H W size. Images are float in [0, 1].
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Generator, Tensor

from jersey.augment.base import Augmentation, uniform


@dataclass(eq=False, kw_only=True)
class Color(Augmentation):
    """Changes brightness, contrast and saturation, swaps channels and inverts, by one 3x3 matrix and offset per crop.

    Attributes:
        brightness: half-width of the uniform range of a factor around 1.
        contrast: half-width of the range of a factor around 1, on the difference to the crop's mean luminance.
        saturation: half-width of the range of a factor around 1, on the difference to the pixel's luminance.
        channel_swap_p: probability that a crop's channels are permuted and, independently, that it is inverted.
            Jerseys and numbers occur in every pair of colors, so only the shape may determine the label.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    channel_swap_p: float = 0.0

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch, device = len(images_BCHW), images_BCHW.device
        offsets_3B11 = uniform((3, batch, 1, 1), -1, 1, generator)
        brightness_B11 = 1 + self.brightness * offsets_3B11[0]
        contrast_B11 = 1 + self.contrast * offsets_3B11[1]
        saturation_B11 = 1 + self.saturation * offsets_3B11[2]
        eye_33 = torch.eye(3, device=device)
        luminance_13 = _luminance(device)
        # Saturation mixes each pixel with its own luminance, contrast with the crop's mean luminance.
        matrix_B33 = saturation_B11 * eye_33 + (1 - saturation_B11) * luminance_13.expand(3, 3)
        mean_B11 = luminance_13 @ images_BCHW.mean(dim=(2, 3))[..., None]
        matrix_B33 = brightness_B11 * contrast_B11 * matrix_B33
        offset_B31 = brightness_B11 * (1 - contrast_B11) * mean_B11.expand(batch, 3, 1)

        order_B3 = torch.rand((batch, 3), generator=generator, device=device).argsort(dim=1)
        swapped_B11, inverted_B11 = (
            torch.rand((2, batch, 1, 1), generator=generator, device=device) < self.channel_swap_p
        )
        matrix_B33 = torch.where(swapped_B11, eye_33[order_B3] @ matrix_B33, matrix_B33)
        matrix_B33 = torch.where(inverted_B11, -matrix_B33, matrix_B33)
        offset_B31 = torch.where(inverted_B11, 1 - offset_B31, offset_B31)
        return torch.baddbmm(offset_B31, matrix_B33, images_BCHW.flatten(2)).view_as(images_BCHW)


@cache
def _luminance(device: torch.device) -> Tensor:
    """Returns ITU-R BT.601's channel weights [1,3]; cached, because every copy from the host waits for the device."""
    return torch.tensor([[0.299, 0.587, 0.114]], device=device)


@dataclass(eq=False, kw_only=True)
class Hue(Augmentation):
    """Shifts the hues of each crop by up to `max_shift`, a fraction of the color circle; 0.5 allows every hue."""

    max_shift: float

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        shifts_B = uniform((len(images_BCHW),), -self.max_shift, self.max_shift, generator)
        return shift_hue(images_BCHW, shifts_B)


def shift_hue(images_BCHW: Tensor, shifts_B: Tensor) -> Tensor:
    """Shifts the hues of each image by its fraction of the color circle; gray pixels have no hue and stay.

    The conversion from HSV to RGB, with its `k`, is: https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
    """
    red, green, blue = images_BCHW.unbind(dim=1)
    high_BHW, low_BHW = images_BCHW.amax(dim=1), images_BCHW.amin(dim=1)
    chroma_BHW = high_BHW - low_BHW
    safe_BHW = chroma_BHW.clamp(min=1e-6)
    # The hue is in sixths of the circle from red; the highest channel determines the third in which it lies.
    hue_BHW = torch.where(
        high_BHW == red,
        (green - blue) / safe_BHW,
        torch.where(high_BHW == green, 2 + (blue - red) / safe_BHW, 4 + (red - green) / safe_BHW),
    )
    hue_BHW = hue_BHW + 6 * shifts_B[:, None, None]
    k_B3HW = torch.stack([(hue_BHW + offset) % 6 for offset in (5, 3, 1)], dim=1)
    return high_BHW[:, None] - chroma_BHW[:, None] * torch.minimum(k_B3HW, 4 - k_B3HW).clamp(0, 1)


@dataclass(eq=False, kw_only=True)
class Noise(Augmentation):
    """Adds Gaussian sensor noise whose standard deviation is uniform in [0, std] for each crop, on the 0..1 scale."""

    std: float

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        std_B111 = uniform((len(images_BCHW), 1, 1, 1), 0, self.std, generator)
        noise_BCHW = torch.randn(images_BCHW.shape, generator=generator, device=images_BCHW.device)
        return noise_BCHW.mul_(std_B111).add_(images_BCHW)
