"""PerSample applies torchvision's transforms to one crop at a time."""

import pytest
import torch
from helpers.augment_images import generator, noise, smooth
from torch import Tensor
from torchvision.transforms import v2

from jersey.augment.base import Augment
from jersey.augment.per_sample import PerSample
from jersey.core.errors import UserError


def test_the_transform_gets_each_crop_as_uint8_and_its_result_is_returned() -> None:
    images_BCHW = (noise(5, 3, 8, 12) * 256).to(torch.uint8)
    inputs: list[Tensor] = []
    recorder = PerSample(lambda crop_CHW: inputs.append(crop_CHW) or crop_CHW)  # type: ignore[func-returns-value]
    augmented_BCHW = Augment(only=recorder)(images_BCHW, generator())
    assert torch.equal(torch.stack(inputs), images_BCHW)
    torch.testing.assert_close(augmented_BCHW, images_BCHW.float())


def test_a_transform_has_the_same_effect_as_alone() -> None:
    images_BCHW = smooth(4, 24, 24)
    flipped_BCHW = PerSample(v2.RandomHorizontalFlip(p=1))(images_BCHW, generator())
    torch.testing.assert_close(flipped_BCHW, images_BCHW.flip(-1), atol=0.5 / 255 + 1e-6, rtol=0)


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandAugment(),
        v2.TrivialAugmentWide(),
        v2.AugMix(),
        v2.ColorJitter(0.5, 0.5, 0.5, 0.1),
        v2.ElasticTransform(sigma=1.0),
        v2.RandomResizedCrop((24, 20)),
        v2.JPEG((10, 40)),
        v2.GaussianNoise(),
        v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.RandomErasing(p=1), v2.GaussianBlur(5)]),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_any_transform_is_a_function_of_the_generator(transform: torch.nn.Module) -> None:
    images_BCHW = (smooth(4, 24, 20) * 255).to(torch.uint8)
    augment = Augment(only=PerSample(transform))
    first_BCHW = augment(images_BCHW, generator(1))
    torch.manual_seed(4)
    assert torch.equal(augment(images_BCHW, generator(1)), first_BCHW)
    assert not torch.equal(augment(images_BCHW, generator(2)), first_BCHW)


def test_a_transform_that_changes_the_size_is_refused() -> None:
    with pytest.raises(UserError, match=r"Resize in PerSample makes \[3, 12, 12\] of a crop of \[3, 24, 20\]"):
        PerSample(v2.Resize((12, 12)))(noise(2, 3, 24, 20), generator())
