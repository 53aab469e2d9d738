"""Hue against torchvision's."""

import pytest
import torch
from helpers.augment_pictures import generator, noise, smooth
from torchvision.transforms.v2 import functional as tv

from jersey.augment.color import Hue, turn_hue


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_turn_is_torchvisions(size: tuple[int, int]) -> None:
    images_BCHW = torch.cat([smooth(6, *size), noise(5, 3, *size)])
    turns_B = torch.linspace(-0.5, 0.5, 11)
    turned_BCHW = turn_hue(images_BCHW, turns_B)
    for image, turned, turn in zip(images_BCHW, turned_BCHW, turns_B.tolist(), strict=True):
        torch.testing.assert_close(turned, tv.adjust_hue(image, turn), atol=1e-4, rtol=0)


def test_grey_has_no_hue() -> None:
    grey_BCHW = noise(4, 1, 16, 16).expand(-1, 3, -1, -1).contiguous()
    torch.testing.assert_close(Hue(turn=0.5)(grey_BCHW, generator()), grey_BCHW)


def test_turns_fill_their_range() -> None:
    """Green of a red crop rises with the turn, to 1 at a sixth of the circle; blue falls likewise."""
    red_BCHW = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(4000, 3, 2, 2)
    turned_BCHW = Hue(turn=0.1)(red_BCHW, generator())
    turns_B = (turned_BCHW[:, 1, 0, 0] - turned_BCHW[:, 2, 0, 0]) / 6
    assert turns_B.abs().max() <= 0.1 + 1e-6
    quartiles_3 = turns_B.quantile(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles_3, torch.tensor([-0.05, 0, 0.05]), atol=0.005, rtol=0)
