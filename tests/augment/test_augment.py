"""Augmentation against torchvision with the same parameters, crop by crop, and what it must never do.

The random parameters are recovered from what came out, so that the tests say nothing about how they are drawn.

Shapes: B batch, C channels, H W size. Images are float in [0, 1] unless said otherwise.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from jersey.augment.base import Augment
from jersey.augment.color import Colour, Noise
from jersey.augment.geometry import Geometry, warp
from jersey.core.errors import UserError

STRONG = {"rotation_deg": 30.0, "shear_deg": 20.0, "scale": 0.3, "shift": 0.2, "perspective": 0.3}
MANY = 4096


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 5) -> Tensor:
    return torch.rand(shape, generator=generator(seed))


def smooth(batch: int, height: int, width: int) -> Tensor:
    """Pictures without symmetry whose values lie within 0.25 ... 0.75, so that small changes are not clipped."""
    coarse_BChw = noise(batch, 3, 6, 6)
    return F.interpolate(coarse_BChw, (height, width), mode="bicubic").clamp(0, 1) / 2 + 0.25


def uint8_noise(batch: int, height: int = 24, width: int = 20) -> Tensor:
    return (noise(batch, 3, height, width) * 256).to(torch.uint8)


def everything() -> Augment:
    return Augment(
        geometry=Geometry(**STRONG),
        colour=Colour(brightness=0.4, contrast=0.4, saturation=0.4, swap=0.5),
        noise=Noise(std=0.1),
    )


def inside(homographies_B33: Tensor, height: int, width: int) -> Tensor:
    """Which output pixels, bool [B,H,W], look at a point at least a pixel inside the input."""
    x = (torch.arange(width) + 0.5) * 2 / width - 1
    y = (torch.arange(height) + 0.5) * 2 / height - 1
    points_3P = torch.stack([x.repeat(height), y.repeat_interleave(width), torch.ones(height * width)])
    seen_B3P = homographies_B33 @ points_3P
    seen_B2P = (seen_B3P[:, :2] / seen_B3P[:, 2:]).abs()
    margin_21 = 1 - torch.tensor([[3 / width], [3 / height]])
    return (seen_B2P < margin_21).all(dim=1).view(-1, height, width)


@pytest.mark.parametrize("size", [(48, 48), (40, 72), (72, 40)])
def test_rotation_is_torchvisions(size: tuple[int, int]) -> None:
    """Of the angle that the top row of the matrix holds; in pixels, so also where the crop is not square."""
    images_BCHW = smooth(8, *size)
    geometry = Geometry(rotation_deg=40)
    homographies_B33 = geometry.draw(8, generator(), aspect_ratio=size[1] / size[0])
    warped_BCHW = warp(images_BCHW, homographies_B33)
    angles_B = torch.rad2deg(torch.arccos(homographies_B33[:, 0, 0]) * homographies_B33[:, 1, 0].sign())
    seen_BHW = inside(homographies_B33, *size)
    for image, warped, angle, seen_HW in zip(images_BCHW, warped_BCHW, angles_B.tolist(), seen_BHW, strict=True):
        # torchvision turns counter-clockwise; the homography leads from output to input, with y downwards.
        expected = tv.rotate(image, angle, interpolation=InterpolationMode.BILINEAR)
        torch.testing.assert_close(warped[:, seen_HW], expected[:, seen_HW], atol=1e-3, rtol=0)
        assert seen_HW.float().mean() > 0.3


def test_scale_and_shift_are_torchvisions_affine() -> None:
    images_BCHW = smooth(8, 64, 64)
    homographies_B33 = Geometry(shift=0.15).draw(8, generator())
    homographies_B33[:, :2, :2] *= torch.linspace(0.8, 1.25, 8)[:, None, None]
    warped_BCHW = warp(images_BCHW, homographies_B33)
    seen_BHW = inside(homographies_B33, 64, 64)
    for image, warped, matrix_33, seen_HW in zip(images_BCHW, warped_BCHW, homographies_B33, seen_BHW, strict=True):
        # torchvision takes the inverse: from input to output, in pixels.
        zoom = 1 / matrix_33[0, 0].item()
        expected = tv.affine(
            image,
            angle=0.0,
            translate=[-zoom * 32 * matrix_33[0, 2].item(), -zoom * 32 * matrix_33[1, 2].item()],
            scale=zoom,
            shear=[0.0, 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        # torchvision's own float32 grid is the less exact one here.
        torch.testing.assert_close(warped[:, seen_HW], expected[:, seen_HW], atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [(48, 48), (40, 72)])
def test_everything_together_is_torchvisions_perspective(size: tuple[int, int]) -> None:
    height, width = size
    images_BCHW = smooth(8, height, width)
    homographies_B33 = Geometry(**STRONG).draw(8, generator(), aspect_ratio=width / height)
    warped_BCHW = warp(images_BCHW, homographies_B33)
    # torchvision's eight numbers lead from output to input in pixels, counted from the corner of the first pixel.
    to_pixels_33 = torch.tensor([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]])
    pixels_B33 = to_pixels_33 @ homographies_B33 @ to_pixels_33.inverse()
    coefficients_B8 = (pixels_B33 / pixels_B33[:, 2:, 2:]).flatten(1)[:, :8]
    seen_BHW = inside(homographies_B33, height, width)
    for image, warped, coefficients_8, seen_HW in zip(
        images_BCHW, warped_BCHW, coefficients_B8.tolist(), seen_BHW, strict=True
    ):
        expected = tv.perspective(
            image, None, None, interpolation=InterpolationMode.BILINEAR, coefficients=coefficients_8
        )
        torch.testing.assert_close(warped[:, seen_HW], expected[:, seen_HW], atol=2e-3, rtol=0)


def test_outside_lies_the_mirrored_crop() -> None:
    """A shift by a quarter: the input from a quarter on, then its last quarter backwards."""
    images_BCHW = noise(1, 3, 16, 16)
    shift_133 = torch.eye(3)[None].clone()
    shift_133[0, 0, 2] = 0.5
    expected_BCHW = torch.cat([images_BCHW[..., 4:], images_BCHW[..., 12:].flip(-1)], dim=-1)
    torch.testing.assert_close(warp(images_BCHW, shift_133), expected_BCHW, atol=1e-5, rtol=0)


def half_width(values_B: Tensor, limit: float) -> None:
    """The values fill -limit ... limit evenly."""
    assert values_B.abs().max() <= limit * (1 + 1e-4)
    quartiles_3 = values_B.double().quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)) / limit
    np.testing.assert_allclose(quartiles_3, [-0.5, 0, 0.5], atol=0.06)
    assert values_B.min() < -0.98 * limit
    assert values_B.max() > 0.98 * limit


def test_range_of_the_rotation() -> None:
    matrices_B33 = Geometry(rotation_deg=12).draw(MANY, generator())
    half_width(torch.rad2deg(torch.atan2(matrices_B33[:, 1, 0], matrices_B33[:, 0, 0])), 12)
    torch.testing.assert_close(matrices_B33[:, :2, :2] @ matrices_B33[:, :2, :2].mT, torch.eye(2).expand(MANY, 2, 2))


def test_range_of_the_shear() -> None:
    matrices_B33 = Geometry(shear_deg=10).draw(MANY, generator())
    half_width(torch.rad2deg(torch.atan(matrices_B33[:, 0, 1])), 10)
    half_width(torch.rad2deg(torch.atan(matrices_B33[:, 1, 0])), 10)
    torch.testing.assert_close(matrices_B33[:, 0, 0], torch.ones(MANY))


def test_range_of_the_scale_and_of_the_aspect_ratio() -> None:
    matrices_B33 = Geometry(scale=0.15).draw(MANY, generator())
    width_B, height_B = matrices_B33[:, 0, 0].log(), matrices_B33[:, 1, 1].log()
    half_width((width_B + height_B) / 2, math.log(1.15))
    half_width(width_B - height_B, math.log(1.15))


def test_range_of_the_shift() -> None:
    """As a share of the whole side, which is 2 long in these coordinates."""
    matrices_B33 = Geometry(shift=0.08).draw(MANY, generator())
    half_width(matrices_B33[:, 0, 2] / 2, 0.08)
    half_width(matrices_B33[:, 1, 2] / 2, 0.08)


def test_range_of_the_perspective() -> None:
    """The magnification in the middle of a side against that in the centre, along that side."""
    matrices_B33 = Geometry(perspective=0.2).draw(MANY, generator())
    for axis in range(2):
        side_3 = torch.eye(3)[2] + torch.eye(3)[axis]
        half_width((matrices_B33 @ side_3)[:, 2] - 1, 0.2)


@pytest.mark.parametrize(
    "strengths",
    [
        STRONG,
        {"rotation_deg": 12.0, "shear_deg": 6.0, "scale": 0.15, "shift": 0.08, "perspective": 0.1},
        {"rotation_deg": 180.0, "shear_deg": 44.9, "scale": 1.0},
        {"perspective": 0.499},
    ],
)
def test_nothing_is_ever_mirrored(strengths: dict[str, float]) -> None:
    """The map keeps its orientation at every point: det H / w^3 is positive, w being smallest at a corner."""
    homographies_B33 = Geometry(**strengths).draw(MANY, generator()).double()
    corners_34 = torch.tensor([[-1, 1, -1, 1], [-1, -1, 1, 1], [1, 1, 1, 1]], dtype=torch.float64)
    assert (homographies_B33.det() > 0).all()
    assert ((homographies_B33 @ corners_34)[:, 2] > 0).all()


@pytest.mark.parametrize("strengths", [{"shear_deg": 45.0}, {"perspective": 0.5}, {"perspective": math.nan}])
def test_strengths_that_would_mirror_are_refused(strengths: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"module\.augment\.geometry.*{next(iter(strengths))}"):
        Geometry(**strengths)


def affine_of(before_CHW: Tensor, after_CHW: Tensor) -> tuple[Tensor, Tensor]:
    """The 3x3 matrix and the offset that lead from the colours before to those after; fails where none does."""
    pixels_P4 = torch.cat([before_CHW.flatten(1), torch.ones(1, before_CHW[0].numel())]).T.double()
    fitted = torch.linalg.lstsq(pixels_P4, after_CHW.flatten(1).T.double())
    torch.testing.assert_close(pixels_P4 @ fitted.solution, after_CHW.flatten(1).T.double(), atol=1e-4, rtol=0)
    return fitted.solution[:3].T, fitted.solution[3]


def test_colours_are_torchvisions_saturation_then_contrast_then_brightness() -> None:
    images_BCHW = smooth(64, 32, 32)
    changed_BCHW = Colour(brightness=0.2, contrast=0.2, saturation=0.2)(images_BCHW, generator())
    factors = []
    for image, changed in zip(images_BCHW, changed_BCHW, strict=True):
        matrix_33, offset_3 = affine_of(image, changed)
        both = matrix_33[0].sum()  # brightness times contrast, for grey stays grey
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
    assert correlation_33.abs().max() < 0.5  # drawn independently: about 1 / sqrt(64)


@pytest.mark.parametrize(
    ("strength", "adjust"), [("brightness", tv.adjust_brightness), ("contrast", tv.adjust_contrast)]
)
def test_clipping_is_torchvisions(strength: str, adjust: Callable[[Tensor, float], Tensor]) -> None:
    """Colours beyond black and white are clipped, after the operation; the slope in the middle tells the factor."""
    images_BCHW = torch.linspace(0, 240, 61).to(torch.uint8).expand(16, 3, 8, 61)
    changed_BCHW = Augment(colour=Colour(**{strength: 0.9}))(images_BCHW, generator()) / 255
    factors = ((changed_BCHW[:, 0, 0, 30] - changed_BCHW[:, 0, 0, 25]) * 255 / 20).tolist()
    assert max(factors) > 1.6
    for image, changed, factor in zip(images_BCHW / 255, changed_BCHW, factors, strict=True):
        torch.testing.assert_close(changed, adjust(image, factor), atol=2e-3, rtol=0)


def test_swap_reorders_the_channels_and_inverts_each_with_its_own_chance() -> None:
    batch = 240
    image_CHW = smooth(1, 8, 8)[0]
    changed_BCHW = Colour(swap=0.5)(image_CHW.expand(batch, -1, -1, -1).contiguous(), generator())
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
    # Half keep their order, and of the others a sixth draws the old one; inversion is decided apart from that.
    expected = {key: batch / 2 * (7 / 12 if key[0] == (0, 1, 2) else 1 / 12) for key in counts}
    for key, count in counts.items():
        assert abs(count - expected[key]) < 5 * math.sqrt(expected[key]), (key, count)


def test_swap_keeps_the_colour_changes() -> None:
    """Without and with swapping, the same generator gives the same crops up to the order of channels and inversion."""
    images_BCHW = smooth(16, 8, 8)
    strengths = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
    plain_BCHW = Colour(**strengths)(images_BCHW, generator())
    swapped_BCHW = Colour(**strengths, swap=1.0)(images_BCHW, generator())
    torch.testing.assert_close((1 - swapped_BCHW).sum(dim=1), plain_BCHW.sum(dim=1))
    torch.testing.assert_close((1 - swapped_BCHW).sort(dim=1).values, plain_BCHW.sort(dim=1).values)


def test_noise_has_its_own_strength_in_every_crop() -> None:
    batch = 1024
    images_BCHW = torch.full((batch, 3, 16, 16), 0.5)
    noise_BP = (Noise(std=0.1)(images_BCHW, generator()) - 0.5).flatten(1)
    std_B = noise_BP.std(dim=1)
    half_width((std_B - 0.05).clamp(-0.05, 0.05), 0.05)
    standard_BP = noise_BP / std_B[:, None]
    assert standard_BP.mean(dim=1).abs().max() < 5 / math.sqrt(768)
    assert standard_BP.pow(4).mean().item() == pytest.approx(3, abs=0.1)  # a Gaussian
    correlation_BB = torch.corrcoef(noise_BP) - torch.eye(batch)
    assert correlation_BB.abs().max() < 6 / math.sqrt(768)


def test_uint8_becomes_float_in_0_to_255() -> None:
    images_BCHW = uint8_noise(32)
    augmented_BCHW = everything()(images_BCHW, generator())
    assert augmented_BCHW.shape == images_BCHW.shape
    assert augmented_BCHW.dtype == torch.float32
    assert augmented_BCHW.min() >= 0
    assert augmented_BCHW.max() <= 255
    assert augmented_BCHW.max() > 200


@pytest.mark.parametrize("size", [(24, 20), (7, 64), (96, 96)])
def test_strength_zero_changes_nothing(size: tuple[int, int]) -> None:
    images_BCHW = uint8_noise(8, *size)
    nothing = Augment(geometry=Geometry(), colour=Colour(), noise=Noise(std=0.0))
    torch.testing.assert_close(nothing(images_BCHW, generator()), images_BCHW.float(), atol=0.02, rtol=0)
    torch.testing.assert_close(Augment()(images_BCHW, generator()), images_BCHW.float())


def test_a_crop_is_changed_alike_whatever_its_neighbours_hold() -> None:
    images_BCHW, others_BCHW = uint8_noise(8), 255 - uint8_noise(8)
    others_BCHW[3] = images_BCHW[3]
    first_BCHW, second_BCHW = (everything()(batch, generator()) for batch in (images_BCHW, others_BCHW))
    torch.testing.assert_close(first_BCHW[3], second_BCHW[3], atol=1e-3, rtol=0)
    assert not torch.allclose(first_BCHW[2], second_BCHW[2], atol=1)


def test_equal_crops_of_a_batch_are_changed_differently() -> None:
    images_BCHW = uint8_noise(1).expand(8, -1, -1, -1)
    for operation in (Geometry(rotation_deg=10), Colour(brightness=0.3), Noise(std=0.1)):
        augmented_BCHW = Augment(only=operation)(images_BCHW, generator())
        assert torch.pdist(augmented_BCHW.flatten(1)).min() > 0.1


def test_the_generator_alone_decides() -> None:
    images_BCHW = uint8_noise(4)
    kept_BCHW = images_BCHW.clone()
    torch.manual_seed(0)
    first = everything()(images_BCHW, generator(7))
    torch.manual_seed(1)
    assert torch.equal(everything()(images_BCHW, generator(7)), first)
    assert not torch.equal(everything()(images_BCHW, generator(8)), first)
    assert torch.equal(images_BCHW, kept_BCHW)


def test_autocast_does_not_coarsen_the_sampling_points() -> None:
    """The training step runs in autocast, whose 8-bit products would move pixels by half a pixel at 224."""
    images_BCHW = uint8_noise(4, 64, 64)
    exact_BCHW = everything()(images_BCHW, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(everything()(images_BCHW, generator()), exact_BCHW)
