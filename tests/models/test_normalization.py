"""Normalization by ImageNet's statistics or by those of each crop."""

from typing import get_args

import pytest
import torch
from torch import Tensor
from torchvision import models

from jersey.models.normalization import ImageNetNormalize, Normalization, PerImageStandardize, normalizer

SIZE_PX = 16


@pytest.fixture
def images_BCHW() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, SIZE_PX, SIZE_PX), generator=generator, dtype=torch.uint8)


def test_imagenet_normalization_equals_torchvisions(images_BCHW: Tensor) -> None:
    preset = models.ResNet18_Weights.DEFAULT.transforms(crop_size=SIZE_PX, resize_size=SIZE_PX, antialias=True)
    torch.testing.assert_close(ImageNetNormalize()(images_BCHW), preset(images_BCHW), atol=1e-5, rtol=0)


def test_each_channel_of_each_crop_gets_mean_0_and_variance_1(images_BCHW: Tensor) -> None:
    std_BC, mean_BC = torch.std_mean(PerImageStandardize()(images_BCHW).flatten(2), dim=2, correction=0)
    torch.testing.assert_close(mean_BC, torch.zeros(4, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(std_BC, torch.ones(4, 3), atol=5e-3, rtol=0)


def test_two_levels_by_hand() -> None:
    image_13HW = torch.tensor([100.0, 124.0]).repeat(3, 1)[None, :, None]
    torch.testing.assert_close(
        PerImageStandardize()(image_13HW), (image_13HW - 112) / 13
    )  # the standard deviation is 12, EPS is 5


@pytest.mark.parametrize("kind", get_args(Normalization))
def test_uint8_becomes_float32(kind: Normalization, images_BCHW: Tensor) -> None:
    module = normalizer(kind)
    assert module(images_BCHW).dtype == torch.float32
    assert torch.equal(module(images_BCHW), module(images_BCHW.float()))
    assert not module.state_dict()  # checkpoints do not contain constants
