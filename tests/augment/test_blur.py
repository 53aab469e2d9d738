"""Blur and downscaling agree with torchvision's, and motion blur with an average of shifted copies."""

import math

import pytest
import torch
from helpers.augment_images import generator, noise, smooth
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from jersey.augment.blur import Blur, MotionBlur, RandomDownscale, convolve, down_and_up, gaussian_kernels, line_kernels


@pytest.mark.parametrize("size", [(32, 32), (20, 48)])
def test_gaussian_blur_agrees_with_torchvision(size: tuple[int, int]) -> None:
    images_BCHW = noise(6, 3, *size)
    sigma_B = torch.tensor([0.3, 0.5, 1.0, 1.7, 2.5, 3.0])
    kernels_BK = gaussian_kernels(sigma_B, radius_px=9)
    blurred_BCHW = convolve(convolve(images_BCHW, kernels_BK[:, None, :]), kernels_BK[:, :, None])
    for image, blurred, sigma in zip(images_BCHW, blurred_BCHW, sigma_B.tolist(), strict=True):
        torch.testing.assert_close(blurred, tv.gaussian_blur(image, [19, 19], [sigma, sigma]), atol=1e-5, rtol=0)


def spots(batch: int, size_px: int = 41) -> Tensor:
    images_BCHW = torch.zeros(batch, 3, size_px, size_px)
    images_BCHW[:, :, size_px // 2, size_px // 2] = 1
    return images_BCHW


def spread(images_BCHW: Tensor) -> Tensor:
    """Returns the covariance [B,2,2] of the light in each image, in square pixels, x first."""
    light_BHW = images_BCHW[:, 0] / images_BCHW[:, 0].sum(dim=(1, 2), keepdim=True)
    offsets_P = torch.arange(light_BHW.shape[-1]) - light_BHW.shape[-1] // 2.0
    y, x = torch.meshgrid(offsets_P, offsets_P, indexing="ij")
    points_P2 = torch.stack([x, y], dim=-1).view(-1, 2)
    return torch.einsum("bp,pi,pj->bij", light_BHW.flatten(1), points_P2, points_P2)


def assert_uniform_below(values_B: Tensor, limit: float) -> None:
    quartiles_3 = values_B.quantile(torch.tensor([0.25, 0.5, 0.75])) / limit
    torch.testing.assert_close(quartiles_3, torch.tensor([0.25, 0.5, 0.75]), atol=0.06, rtol=0)
    assert values_B.max() <= limit * 1.05


def test_every_crop_is_blurred_by_its_own_sigma_up_to_the_max() -> None:
    variance_B22 = spread(Blur(sigma_px=3)(spots(1000), generator()))
    sigma_B = variance_B22.diagonal(dim1=1, dim2=2).mean(dim=1).sqrt()
    assert_uniform_below(sigma_B, 3)
    assert variance_B22[:, 0, 1].abs().max() < 1e-3


def test_motion_blur_is_the_average_of_copies_shifted_along_a_line() -> None:
    images_BCHW = smooth(5, 48, 48)
    lengths, angles = [1.0, 3.0, 6.0, 8.0, 5.0], [0.0, 0.5, math.pi / 2, 2.0, 3.0]
    lines_B2 = torch.tensor([[r * math.cos(a), r * math.sin(a)] for r, a in zip(lengths, angles, strict=True)])
    blurred_BCHW = convolve(images_BCHW, line_kernels(lines_B2, radius_px=4))
    for image, blurred, (x, y) in zip(images_BCHW, blurred_BCHW, lines_B2.tolist(), strict=True):
        copies = [
            tv.affine(image, 0.0, [t * x, t * y], 1.0, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR)
            for t in torch.linspace(-0.5, 0.5, 101).tolist()
        ]
        inside = (..., slice(6, -6), slice(6, -6))
        torch.testing.assert_close(blurred[inside], torch.stack(copies).mean(dim=0)[inside], atol=0.012, rtol=0)


def test_motion_has_any_direction_and_any_length_up_to_the_max() -> None:
    variance_B22 = spread(MotionBlur(length_px=12)(spots(1500), generator()))
    values_B2, vectors_B22 = torch.linalg.eigh(variance_B22)
    # A uniform line of length l has the variance l^2 / 12; splitting points among pixels adds up to 1 / 4.
    length_B = (12 * (values_B2[:, 1] - values_B2[:, 0])).clamp(min=0).sqrt()
    assert_uniform_below(length_B, 12)
    assert values_B2[:, 0].max() < 0.3
    long = length_B > 3
    angle_B = torch.atan2(vectors_B22[long, 1, 1], vectors_B22[long, 0, 1]) % math.pi
    assert_uniform_below(angle_B, math.pi)


def by_torchvision(image_CHW: Tensor, height: int, width: int) -> Tensor:
    return tv.resize(tv.resize(image_CHW, [height, width], antialias=True), list(image_CHW.shape[1:]), antialias=True)


@pytest.mark.parametrize("size", [(32, 32), (24, 50), (8, 8)])
def test_down_and_up_agrees_with_torchvision(size: tuple[int, int]) -> None:
    height, width = size
    images_BCHW = noise(5, 3, height, width)
    small = [(1, 1), (3, 5), (height // 2, width // 2), (height - 1, width - 3), (height, width)]
    rows_BHH = down_and_up(torch.tensor([float(rows) for rows, _ in small]), size_px=height)
    columns_BWW = down_and_up(torch.tensor([float(columns) for _, columns in small]), size_px=width)
    changed_BCHW = rows_BHH[:, None] @ images_BCHW @ columns_BWW[:, None].mT
    for image, changed, (rows, columns) in zip(images_BCHW, changed_BCHW, small, strict=True):
        torch.testing.assert_close(changed, by_torchvision(image, rows, columns), atol=1e-4, rtol=0)


def test_every_crop_is_downscaled_by_its_own_factor_up_to_the_max() -> None:
    """The size is recovered by comparison with torchvision's results; both axes have the same factor."""
    image_CHW = noise(1, 3, 24, 48)[0]
    changed_BCHW = RandomDownscale(factor=3)(image_CHW.expand(300, -1, -1, -1).contiguous(), generator())
    sizes = [(rows, columns) for columns in range(12, 49) for rows in {int(columns / 2), int((columns + 1) / 2)}]
    results_SCHW = torch.stack([by_torchvision(image_CHW, *each) for each in sizes])
    distance_BS = torch.cdist(changed_BCHW.flatten(1), results_SCHW.flatten(1))
    assert distance_BS.amin(dim=1).max() < 0.05  # the distance to another size is about 1
    columns = torch.tensor([sizes[index][1] for index in distance_BS.argmin(dim=1).tolist()])
    assert columns.min() == 16
    assert columns.max() == 48
    # Log-uniform: half of the crops shrink by less than the square root of the max factor.
    assert (columns > 48 / 3**0.5).float().mean() == pytest.approx(0.5, abs=0.1)
