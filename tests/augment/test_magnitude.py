"""The measured strength of augmentations, against what their settings say."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from jersey.augment.base import Augment, Augmentation
from jersey.augment.blur import Blur, LowResolution, MotionBlur
from jersey.augment.color import Colour, Hue, Noise
from jersey.augment.erasing import Erasing
from jersey.augment.geometry import Geometry
from jersey.augment.jpeg import Jpeg
from jersey.augment.magnitude import TOGETHER, mean_change, reference_crops, strengths
from jersey.augment.per_sample import PerSample


class FromTorch(Augmentation):
    """Random without asking the generator."""

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        return images_BCHW + 0.1 * torch.rand(len(images_BCHW), 1, 1, 1)


def brighten(images_BCHW: Tensor, generator: Generator) -> Tensor:
    return images_BCHW.float() + 10


def test_the_crops_show_numbers_and_fill_the_range() -> None:
    crops = reference_crops()
    assert crops.shape == (64, 3, 64, 64)
    assert crops.dtype == torch.uint8
    assert crops[:8].float().std(dim=(1, 2, 3)).min() > 15
    assert not torch.equal(crops[0], crops[1])


def test_a_constant_change_is_measured_as_it_is() -> None:
    assert strengths(brighten)[TOGETHER].change == pytest.approx(10)


def test_noise_by_hand() -> None:
    """E|N(0, s)| is s x sqrt(2 / pi), and s is uniform below 0.02: too little for the range's ends to matter much."""
    change = strengths(Augment(noise=Noise(std=0.02)))["noise"].change
    assert change == pytest.approx(255 * 0.01 * math.sqrt(2 / math.pi), rel=0.1)


def test_a_shift_moves_points_by_its_share_of_a_side() -> None:
    """Both offsets are uniform in +-0.1 of a side: 0.1 x 0.765 apart on average (a square's mean radius)."""
    strength = strengths(Augment(geometry=Geometry(shift=0.1)))["geometry"]
    assert strength.moved_mean_percent == pytest.approx(10 * 0.7652, rel=0.15)
    assert strength.moved_p95_percent is not None
    assert 10 < strength.moved_p95_percent < 10 * math.sqrt(2)


def test_nothing_changes_nothing() -> None:
    found = strengths(Augment(geometry=Geometry(), colour=Colour(), noise=Noise(std=0.0)))
    assert [each.change for each in found.values()] == pytest.approx([0] * 4, abs=1e-3)
    assert found["geometry"].moved_p95_percent == pytest.approx(0, abs=1e-3)
    assert strengths(None) == {}


def test_each_operation_is_measured_alone() -> None:
    both = strengths(Augment(colour=Colour(brightness=0.2), noise=Noise(std=0.1)))
    assert list(both) == ["colour", "noise", TOGETHER]
    assert both["noise"].change == strengths(Augment(noise=Noise(std=0.1)))[TOGETHER].change
    assert both[TOGETHER].change > max(both["colour"].change, both["noise"].change)


@pytest.mark.parametrize(
    ("weak", "strong"),
    [
        (Hue(turn=0.05), Hue(turn=0.3)),
        (Blur(sigma_px=0.8), Blur(sigma_px=2)),
        (MotionBlur(length_px=3), MotionBlur(length_px=8)),
        (LowResolution(factor=1.5), LowResolution(factor=3)),
        (Jpeg(quality=80), Jpeg(quality=20)),
        (Erasing(area=0.05, p=0.5), Erasing(area=0.05)),
        (PerSample(v2.ColorJitter(0.1)), PerSample(v2.ColorJitter(0.4))),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_every_kind_of_operation_shows_and_a_stronger_one_more(weak: Augmentation, strong: Augmentation) -> None:
    changes = [strengths(Augment(it=each))["it"].change for each in (weak, strong)]
    assert 0.3 < changes[0] < changes[1] * 0.9


def test_it_is_repeatable_and_leaves_the_callers_randomness_alone() -> None:
    torch.manual_seed(1)
    first = mean_change(Augment(own=FromTorch()))
    drawn = torch.rand(1)
    assert first > 5
    assert mean_change(Augment(own=FromTorch())) == first
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)


def test_more_rounds_see_rarer_changes() -> None:
    rare = Augment(colour=Colour(swap=0.002))
    assert mean_change(rare) == 0
    assert mean_change(rare, rounds=30) > 0
