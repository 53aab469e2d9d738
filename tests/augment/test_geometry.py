"""Geometry agrees with torchvision for the same parameters, crop by crop, and never mirrors.

The random parameters are recovered from the results, so that the tests do not depend on how they are sampled.

Shapes: B batch, C channels, H W size. Images are float in [0, 1] unless said otherwise.
"""

import math
from collections.abc import Callable

import pytest
import torch
from helpers.augment_images import assert_uniform_within, generator, mild, noise
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from jersey.augment.geometry import Geometry, warp
from jersey.core.errors import UserError

STRONG = {"rotation_deg": 30.0, "shear_deg": 20.0, "scale": 0.3, "shift": 0.2, "perspective": 0.3}
MANY = 4096
EYE_33 = torch.eye(3)


def inside(homographies_B33: Tensor, height: int, width: int) -> Tensor:
    """Returns which output pixels, bool [B,H,W], map to a point at least a pixel inside the input."""
    x = (torch.arange(width) + 0.5) * 2 / width - 1
    y = (torch.arange(height) + 0.5) * 2 / height - 1
    points_3P = torch.stack([x.repeat(height), y.repeat_interleave(width), torch.ones(height * width)])
    seen_B3P = homographies_B33 @ points_3P
    seen_B2P = (seen_B3P[:, :2] / seen_B3P[:, 2:]).abs()
    margin_21 = 1 - torch.tensor([[3 / width], [3 / height]])
    return (seen_B2P < margin_21).all(dim=1).view(-1, height, width)


@pytest.mark.parametrize("size", [(48, 48), (40, 72), (72, 40)])
def test_rotation_agrees_with_torchvision(size: tuple[int, int]) -> None:
    """The angle is recovered from the matrix; it holds in pixels, also for a crop that is not square."""
    images_BCHW = mild(8, *size)
    geometry = Geometry(rotation_deg=40)
    homographies_B33 = geometry.sample_homographies(8, generator(), aspect_ratio=size[1] / size[0])
    warped_BCHW = warp(images_BCHW, homographies_B33)
    angles_B = torch.rad2deg(torch.arccos(homographies_B33[:, 0, 0]) * homographies_B33[:, 1, 0].sign())
    seen_BHW = inside(homographies_B33, *size)
    for image, warped, angle, seen_HW in zip(images_BCHW, warped_BCHW, angles_B.tolist(), seen_BHW, strict=True):
        # torchvision rotates counter-clockwise; the homography maps output to input, with y downwards.
        expected = tv.rotate(image, angle, interpolation=InterpolationMode.BILINEAR)
        torch.testing.assert_close(warped[:, seen_HW], expected[:, seen_HW], atol=1e-3, rtol=0)
        assert seen_HW.float().mean() > 0.3


@pytest.mark.parametrize("size", [(48, 48), (40, 72)])
def test_all_parameters_together_agree_with_torchvisions_perspective(size: tuple[int, int]) -> None:
    height, width = size
    images_BCHW = mild(8, height, width)
    homographies_B33 = Geometry(**STRONG).sample_homographies(8, generator(), aspect_ratio=width / height)
    warped_BCHW = warp(images_BCHW, homographies_B33)
    # torchvision's eight coefficients map output to input in pixels, from the corner of the first pixel.
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


def test_borders_are_mirrored() -> None:
    """After a shift by a quarter follows the input from a quarter on, then its last quarter in reverse."""
    images_BCHW = noise(1, 3, 16, 16)
    shift_133 = torch.eye(3)[None].clone()
    shift_133[0, 0, 2] = 0.5
    expected_BCHW = torch.cat([images_BCHW[..., 4:], images_BCHW[..., 12:].flip(-1)], dim=-1)
    torch.testing.assert_close(warp(images_BCHW, shift_133), expected_BCHW, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("setting", "value", "limit", "values"),
    [
        ("rotation_deg", 12, 12, lambda m: [torch.rad2deg(torch.atan2(m[:, 1, 0], m[:, 0, 0]))]),
        ("shear_deg", 10, 10, lambda m: [torch.rad2deg(torch.atan(m[:, i, 1 - i])) for i in range(2)]),
        ("scale", 0.15, math.log(1.15), lambda m: [(m[:, 0, 0].log() + m[:, 1, 1].log()) / 2]),
        ("scale", 0.15, math.log(1.15), lambda m: [m[:, 0, 0].log() - m[:, 1, 1].log()]),  # the aspect ratio
        ("shift", 0.08, 0.08, lambda m: [m[:, i, 2] / 2 for i in range(2)]),  # a side is 2 long in these coordinates
        # The magnification in the middle of a side against that in the center, along that side.
        ("perspective", 0.2, 0.2, lambda m: [(m @ (EYE_33[2] + EYE_33[i]))[:, 2] - 1 for i in range(2)]),
    ],
)
def test_each_parameter_fills_its_range(
    setting: str, value: float, limit: float, values: Callable[[Tensor], list[Tensor]]
) -> None:
    matrices_B33 = Geometry(**{setting: value}).sample_homographies(MANY, generator())
    for each in values(matrices_B33):
        assert_uniform_within(each, limit)
    if setting == "rotation_deg":
        turns_B22 = matrices_B33[:, :2, :2]
        torch.testing.assert_close(turns_B22 @ turns_B22.mT, torch.eye(2).expand(MANY, 2, 2))
    if setting == "shear_deg":
        torch.testing.assert_close(matrices_B33[:, 0, 0], torch.ones(MANY))


@pytest.mark.parametrize(
    "settings",
    [
        STRONG,
        {"rotation_deg": 12.0, "shear_deg": 6.0, "scale": 0.15, "shift": 0.08, "perspective": 0.1},
        {"rotation_deg": 180.0, "shear_deg": 44.9, "scale": 1.0},
        {"perspective": 0.499},
    ],
)
def test_no_point_is_ever_mirrored(settings: dict[str, float]) -> None:
    """The map keeps its orientation at every point: det H / w^3 is positive, w being smallest at a corner."""
    homographies_B33 = Geometry(**settings).sample_homographies(MANY, generator()).double()
    corners_34 = torch.tensor([[-1, 1, -1, 1], [-1, -1, 1, 1], [1, 1, 1, 1]], dtype=torch.float64)
    assert (homographies_B33.det() > 0).all()
    assert ((homographies_B33 @ corners_34)[:, 2] > 0).all()


@pytest.mark.parametrize("settings", [{"shear_deg": 45.0}, {"perspective": 0.5}, {"perspective": math.nan}])
def test_settings_that_would_mirror_raise_an_error(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"module\.augment\.geometry.*{next(iter(settings))}"):
        Geometry(**settings)
