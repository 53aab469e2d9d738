"""How a picture was moved, found again from spots of light."""

import math

import pytest
import torch
from torch import Tensor

from jersey.augment.geometry import warp
from jersey.evaluation.motion import motion

SIZE_PX = 64


def spots(side_px: int = 6) -> Tensor:
    """Nine of them on black, [1,9,64,64]."""
    pictures_KHW = torch.zeros(9, SIZE_PX, SIZE_PX)
    for index in range(9):
        top, left = 14 + 12 * (index // 3), 16 + 11 * (index % 3)
        pictures_KHW[index, top : top + side_px, left : left + side_px] = 100
    return pictures_KHW[None]


def moved_by(matrix_22: Tensor, shift_px: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The spots after a map around the centre of the frame; and that map, from pixels to pixels, [2,3]."""
    to_middle = SIZE_PX / 2
    forward_33 = torch.eye(3)
    forward_33[:2, :2] = matrix_22
    forward_33[:2, 2] = torch.tensor(shift_px) / to_middle
    after = warp(spots().transpose(0, 1), torch.linalg.inv(forward_33).expand(9, 3, 3)).transpose(0, 1)
    offset_2 = to_middle + torch.tensor(shift_px) - matrix_22 @ torch.full((2,), to_middle)
    return after, torch.cat([matrix_22, offset_2[:, None]], dim=1)


def turn(degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cos, -sin], [sin, cos]])


@pytest.mark.parametrize(
    ("matrix_22", "shift_px"),
    [
        (torch.eye(2), (0.0, 0.0)),
        (turn(25), (2.0, -3.0)),
        (turn(180), (0.0, 0.0)),
        (torch.diag(torch.tensor([-1.0, 1.0])), (0.0, 4.0)),
        (turn(-10) @ torch.tensor([[1.2, 0.1], [0.0, 0.8]]), (-3.0, 1.0)),
    ],
)
def test_an_affine_map_is_found(matrix_22: Tensor, shift_px: tuple[float, float]) -> None:
    after, map_23 = moved_by(matrix_22, shift_px)
    points_P2 = torch.tensor([[20.0, 20.0], [40.0, 25.0], [30.0, 45.0]])
    expected_P2 = points_P2 @ map_23[:, :2].T + map_23[:, 2]
    # Other colors, noise around and lost spots do not matter.
    spoilt = 30 - 0.4 * after + torch.rand(after.shape, generator=torch.Generator().manual_seed(0))
    spoilt[:, (0, 4, 7)] = 12
    for seen, atol in ((after, 0.5), (spoilt, 0.6)):
        found = motion(spots(), seen, visible=4)
        assert found.told_N.all()
        torch.testing.assert_close(found(points_P2[None, None])[0, 0], expected_P2, atol=atol, rtol=0)


@pytest.mark.parametrize("seen", [(), (4,), (0, 8), (3, 4, 5)])
def test_too_few_spots_tell_nothing(seen: tuple[int, ...]) -> None:
    after = torch.zeros_like(spots())
    after[:, seen] = spots()[:, seen]
    assert not motion(spots(), after, visible=4).told_N.any()


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (turn(0), torch.diag(torch.tensor([-1.0, 1.0]))),
        (turn(20), turn(180)),
        (turn(35), turn(0)),
        (turn(10), turn(90)),
    ],
)
def test_small_turns_are_undone_and_large_ones_are_left(small: Tensor, large: Tensor) -> None:
    """Looking at the points in what came out shows what the large part alone would have made, around the middle."""
    around_2 = torch.tensor([35.0, 30.0])
    after, map_23 = moved_by(small @ large, (0.0, 0.0))
    points_P2 = torch.tensor([[20.0, 20.0], [40.0, 45.0]])
    seen_P2 = (points_P2 - around_2) @ torch.linalg.inv(large).T + around_2
    expected_P2 = seen_P2 @ map_23[:, :2].T + map_23[:, 2]
    found = motion(spots(), after, visible=4)
    shown_P2 = found.without_large_part(points_P2[None, None], around_N2=around_2[None])[0, 0]
    torch.testing.assert_close(shown_P2, expected_P2, atol=0.6, rtol=0)
