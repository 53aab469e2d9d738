"""The measured magnitude of augmentations agrees with their settings."""

import math

import pytest
import torch
from torch import Generator, Tensor

from jersey.augment.base import Augment, Augmentation
from jersey.augment.color import Color, Noise
from jersey.augment.geometry import Geometry
from jersey.augment.magnitude import TOGETHER, magnitudes, mean_change, reference_crops


class FromTorch(Augmentation):
    """An operation that samples from torch's global generator."""

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        return images_BCHW + 0.1 * torch.rand(len(images_BCHW), 1, 1, 1)


def test_the_crops_show_numbers_and_fill_the_range() -> None:
    crops = reference_crops()
    assert crops.shape == (64, 3, 64, 64)
    assert crops.dtype == torch.uint8
    assert crops[:8].float().std(dim=(1, 2, 3)).min() > 15
    assert not torch.equal(crops[0], crops[1])


def test_known_changes_are_measured_correctly() -> None:
    """E|N(0, s)| is s x sqrt(2 / pi), and s is uniform below 0.02, so small that clipping hardly matters."""
    assert magnitudes(lambda images, _: images.float() + 10)[TOGETHER].change == pytest.approx(10)
    change = magnitudes(Augment(noise=Noise(std=0.02)))["noise"].change
    assert change == pytest.approx(255 * 0.01 * math.sqrt(2 / math.pi), rel=0.1)


def test_a_shift_moves_points_by_its_fraction_of_a_side() -> None:
    """Both offsets are uniform in +-0.1 of a side, a mean distance of 0.1 x 0.765 (a square's mean radius)."""
    shifted = magnitudes(Augment(geometry=Geometry(shift=0.1)))["geometry"]
    assert shifted.moved_mean_percent == pytest.approx(10 * 0.7652, rel=0.15)
    assert shifted.moved_p95_percent is not None
    assert 10 < shifted.moved_p95_percent < 10 * math.sqrt(2)
    still = magnitudes(Augment(geometry=Geometry()))
    assert [each.change for each in still.values()] == pytest.approx([0] * 2, abs=1e-3)
    assert still["geometry"].moved_p95_percent == pytest.approx(0, abs=1e-3)


def test_each_operation_is_measured_alone_and_all_together() -> None:
    both = magnitudes(Augment(color=Color(brightness=0.2), noise=Noise(std=0.1)))
    assert list(both) == ["color", "noise", TOGETHER]
    assert both["noise"].change == magnitudes(Augment(noise=Noise(std=0.1)))[TOGETHER].change
    assert both[TOGETHER].change > max(both["color"].change, both["noise"].change)
    assert magnitudes(None) == {}


def test_measuring_is_repeatable_and_keeps_the_callers_random_state() -> None:
    torch.manual_seed(1)
    first = mean_change(Augment(own=FromTorch()))
    sampled = torch.rand(1)
    assert first > 5
    assert mean_change(Augment(own=FromTorch())) == first
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), sampled)


def test_more_rounds_detect_rarer_changes() -> None:
    rare = Augment(color=Color(channel_swap_p=0.002))
    assert mean_change(rare) == 0
    assert mean_change(rare, rounds=30) > 0
