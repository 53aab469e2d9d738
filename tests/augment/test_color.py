"""Color, hue and noise agree with torchvision; the random parameters are recovered from the results.

Shapes: B batch, C channels, H W size. Images are float in [0, 1] unless said otherwise.
"""

import math

import pytest
import torch
from helpers.augment_images import assert_uniform_within, generator, mild, noise, smooth
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from jersey.augment.color import Color, Hue, Noise, shift_hue


def affine_of(before_CHW: Tensor, after_CHW: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the 3x3 matrix and the offset that map the colors before to those after; fails if there are none."""
    pixels_P4 = torch.cat([before_CHW.flatten(1), torch.ones(1, before_CHW[0].numel())]).T.double()
    fitted = torch.linalg.lstsq(pixels_P4, after_CHW.flatten(1).T.double())
    torch.testing.assert_close(pixels_P4 @ fitted.solution, after_CHW.flatten(1).T.double(), atol=1e-4, rtol=0)
    return fitted.solution[:3].T, fitted.solution[3]


def test_color_agrees_with_torchvisions_saturation_then_contrast_then_brightness() -> None:
    images_BCHW = mild(64, 32, 32)
    changed_BCHW = Color(brightness=0.2, contrast=0.2, saturation=0.2)(images_BCHW, generator())
    factors = []
    for image, changed in zip(images_BCHW, changed_BCHW, strict=True):
        matrix_33, offset_3 = affine_of(image, changed)
        both = matrix_33[0].sum()  # brightness times contrast, for gray stays gray
        saturation = ((matrix_33[0, 0] - matrix_33[1, 0]) / both).item()
        mean = tv.rgb_to_grayscale(image).mean()
        brightness = (both + offset_3[0] / mean).item()
        contrast = both.item() / brightness
        expected = tv.adjust_saturation(image, saturation)
        expected = tv.adjust_brightness(tv.adjust_contrast(expected, contrast), brightness)
        torch.testing.assert_close(changed.clamp(0, 1), expected, atol=0.5 / 255, rtol=0)
        factors.append((brightness, contrast, saturation))
    factors_B3 = torch.tensor(factors)
    assert (factors_B3 - 1).abs().max() < 0.2 + 1e-3
    assert (factors_B3.amin(dim=0) < 0.85).all()
    assert (factors_B3.amax(dim=0) > 1.15).all()
    correlation_33 = torch.corrcoef(factors_B3.T) - torch.eye(3)
    assert correlation_33.abs().max() < 0.5  # sampled independently: about 1 / sqrt(64)


def test_channel_swap_permutes_and_inverts_channels_independently() -> None:
    batch = 240
    image_CHW = mild(1, 8, 8)[0]
    changed_BCHW = Color(channel_swap_p=0.5)(image_CHW.expand(batch, -1, -1, -1).contiguous(), generator())
    counts: dict[tuple[tuple[int, ...], bool], int] = {}
    for changed in changed_BCHW:
        matrix_33, offset_3 = affine_of(image_CHW, changed)
        inverted = bool(matrix_33.sum() < 0)
        order = tuple(matrix_33.abs().argmax(dim=1).tolist())
        sign = -1.0 if inverted else 1.0
        torch.testing.assert_close(matrix_33, sign * torch.eye(3, dtype=torch.float64)[list(order)], atol=1e-2, rtol=0)
        torch.testing.assert_close(offset_3, torch.full((3,), float(inverted), dtype=torch.float64), atol=1e-2, rtol=0)
        counts[order, inverted] = counts.get((order, inverted), 0) + 1
    assert len(counts) == 12  # every order, each upright and inverted
    # Half keep their order, and a sixth of the rest sample the old one; inversion is independent of that.
    expected = {key: batch / 2 * (7 / 12 if key[0] == (0, 1, 2) else 1 / 12) for key in counts}
    for key, count in counts.items():
        assert abs(count - expected[key]) < 5 * math.sqrt(expected[key]), (key, count)


def test_channel_swap_keeps_the_color_changes() -> None:
    """With the same generator, swapping changes only the order of channels and the inversion."""
    images_BCHW = mild(16, 8, 8)
    settings = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
    plain_BCHW = Color(**settings)(images_BCHW, generator())
    swapped_BCHW = Color(**settings, channel_swap_p=1.0)(images_BCHW, generator())
    torch.testing.assert_close((1 - swapped_BCHW).sum(dim=1), plain_BCHW.sum(dim=1))
    torch.testing.assert_close((1 - swapped_BCHW).sort(dim=1).values, plain_BCHW.sort(dim=1).values)


def test_noise_has_its_own_standard_deviation_in_every_crop() -> None:
    batch = 1024
    images_BCHW = torch.full((batch, 3, 16, 16), 0.5)
    noise_BP = (Noise(std=0.1)(images_BCHW, generator()) - 0.5).flatten(1)
    std_B = noise_BP.std(dim=1)
    assert_uniform_within((std_B - 0.05).clamp(-0.05, 0.05), 0.05)
    standard_BP = noise_BP / std_B[:, None]
    assert standard_BP.mean(dim=1).abs().max() < 5 / math.sqrt(768)
    assert standard_BP.pow(4).mean().item() == pytest.approx(3, abs=0.1)  # a Gaussian
    correlation_BB = torch.corrcoef(noise_BP) - torch.eye(batch)
    assert correlation_BB.abs().max() < 6 / math.sqrt(768)


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_hue_shift_agrees_with_torchvision(size: tuple[int, int]) -> None:
    images_BCHW = torch.cat([smooth(6, *size), noise(5, 3, *size)])
    shifts_B = torch.linspace(-0.5, 0.5, 11)
    shifted_BCHW = shift_hue(images_BCHW, shifts_B)
    for image, shifted, shift in zip(images_BCHW, shifted_BCHW, shifts_B.tolist(), strict=True):
        torch.testing.assert_close(shifted, tv.adjust_hue(image, shift), atol=1e-4, rtol=0)


def test_gray_has_no_hue() -> None:
    gray_BCHW = noise(4, 1, 16, 16).expand(-1, 3, -1, -1).contiguous()
    torch.testing.assert_close(Hue(max_shift=0.5)(gray_BCHW, generator()), gray_BCHW)


def test_hue_shifts_fill_their_range() -> None:
    """In a red crop, green rises with the shift, to 1 at a sixth of the circle; blue falls likewise."""
    red_BCHW = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(4000, 3, 2, 2)
    shifted_BCHW = Hue(max_shift=0.1)(red_BCHW, generator())
    shifts_B = (shifted_BCHW[:, 1, 0, 0] - shifted_BCHW[:, 2, 0, 0]) / 6
    assert shifts_B.abs().max() <= 0.1 + 1e-6
    quartiles_3 = shifts_B.quantile(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles_3, torch.tensor([-0.05, 0, 0.05]), atol=0.005, rtol=0)
