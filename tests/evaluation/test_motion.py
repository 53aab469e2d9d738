"""The motion of an image is estimated from light spots."""

import math

import pytest
import torch
from torch import Tensor

from jersey.augment.geometry import warp
from jersey.evaluation.motion import motion

SIZE_PX = 64


def spots(side_px: int = 6) -> Tensor:
    """Nine images of one spot each on black, [1,9,64,64]."""
    images_KHW = torch.zeros(9, SIZE_PX, SIZE_PX)
    for index in range(9):
        top, left = 14 + 12 * (index // 3), 16 + 11 * (index % 3)
        images_KHW[index, top : top + side_px, left : left + side_px] = 100
    return images_KHW[None]


def moved_by(matrix_22: Tensor, shift_px: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The spots after an affine map around the image center, and that map in pixels, [2,3]."""
    to_center = SIZE_PX / 2
    forward_33 = torch.eye(3)
    forward_33[:2, :2] = matrix_22
    forward_33[:2, 2] = torch.tensor(shift_px) / to_center
    after = warp(spots().transpose(0, 1), torch.linalg.inv(forward_33).expand(9, 3, 3)).transpose(0, 1)
    offset_2 = to_center + torch.tensor(shift_px) - matrix_22 @ torch.full((2,), to_center)
    return after, torch.cat([matrix_22, offset_2[:, None]], dim=1)


def rotation(degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cos, -sin], [sin, cos]])


@pytest.mark.parametrize(
    ("matrix_22", "shift_px"),
    [
        (torch.eye(2), (0.0, 0.0)),
        (rotation(25), (2.0, -3.0)),
        (rotation(180), (0.0, 0.0)),
        (torch.diag(torch.tensor([-1.0, 1.0])), (0.0, 4.0)),
        (rotation(-10) @ torch.tensor([[1.2, 0.1], [0.0, 0.8]]), (-3.0, 1.0)),
    ],
)
def test_an_affine_map_is_found(matrix_22: Tensor, shift_px: tuple[float, float]) -> None:
    after, map_23 = moved_by(matrix_22, shift_px)
    points_P2 = torch.tensor([[20.0, 20.0], [40.0, 25.0], [30.0, 45.0]])
    expected_P2 = points_P2 @ map_23[:, :2].T + map_23[:, 2]
    # Other colors, noise and lost spots do not matter.
    corrupted = 30 - 0.4 * after + torch.rand(after.shape, generator=torch.Generator().manual_seed(0))
    corrupted[:, (0, 4, 7)] = 12
    for seen, atol in ((after, 0.5), (corrupted, 0.6)):
        found = motion(spots(), seen, min_change=4)
        assert found.is_determined_N.all()
        torch.testing.assert_close(found(points_P2[None, None])[0, 0], expected_P2, atol=atol, rtol=0)


@pytest.mark.parametrize("seen", [(), (4,), (0, 8), (3, 4, 5)])
def test_too_few_spots_do_not_determine_a_motion(seen: tuple[int, ...]) -> None:
    after = torch.zeros_like(spots())
    after[:, seen] = spots()[:, seen]
    assert not motion(spots(), after, min_change=4).is_determined_N.any()


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (rotation(0), torch.diag(torch.tensor([-1.0, 1.0]))),
        (rotation(20), rotation(180)),
        (rotation(35), rotation(0)),
        (rotation(10), rotation(90)),
    ],
)
def test_small_rotations_are_undone_and_large_ones_are_kept(small: Tensor, large: Tensor) -> None:
    """Sampling the result at the points shows the effect of the large part alone, around the center."""
    around_2 = torch.tensor([35.0, 30.0])
    after, map_23 = moved_by(small @ large, (0.0, 0.0))
    points_P2 = torch.tensor([[20.0, 20.0], [40.0, 45.0]])
    seen_P2 = (points_P2 - around_2) @ torch.linalg.inv(large).T + around_2
    expected_P2 = seen_P2 @ map_23[:, :2].T + map_23[:, 2]
    found = motion(spots(), after, min_change=4)
    shown_P2 = found.without_large_part(points_P2[None, None], around_N2=around_2[None])[0, 0]
    torch.testing.assert_close(shown_P2, expected_P2, atol=0.6, rtol=0)
