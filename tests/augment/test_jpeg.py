"""Simulated JPEG compression agrees with Pillow's encoder and decoder."""

import io

import numpy as np
import pytest
import torch
from helpers.augment_images import generator, noise
from PIL import Image
from torch import Tensor

from jersey.augment.jpeg import RandomJPEG, compress, constants, quantization_steps
from jersey.augment.magnitude import reference_crops


def file_of(image_CHW: Tensor, quality: int) -> Image.Image:
    """Encodes a uint8 image with Pillow."""
    file = io.BytesIO()
    Image.fromarray(image_CHW.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return Image.open(file)


def by_pillow(image_CHW: Tensor, quality: int) -> Tensor:
    return torch.from_numpy(np.array(file_of(image_CHW, quality))).permute(2, 0, 1).float()


@pytest.mark.parametrize("quality", [1, 30, 75, 95])
@pytest.mark.parametrize("size", [(64, 64), (40, 37), (8, 8)])
def test_the_image_agrees_with_pillow(quality: int, size: tuple[int, int]) -> None:
    crops_BCHW = reference_crops()[:8, :, : size[0], : size[1]]
    compressed_BCHW = compress(crops_BCHW / 255, torch.full((8,), float(quality))) * 255
    expected_BCHW = torch.stack([by_pillow(crop, quality) for crop in crops_BCHW])
    lost = (crops_BCHW - expected_BCHW).abs().mean()
    off_BCHW = (compressed_BCHW - expected_BCHW).abs()
    assert off_BCHW.mean() < 0.75
    assert off_BCHW.mean() < 0.05 * lost + 0.35
    assert off_BCHW.median() == 0
    # A frequency half-way between two steps may be rounded either way, which changes a whole block.
    assert (off_BCHW > 3).float().mean() < (0.03 if min(size) > 8 else 0.1)


@pytest.mark.parametrize("quality", [1, 49, 50, 51, 95])
def test_the_tables_equal_pillows(quality: int) -> None:
    written = file_of(torch.zeros(3, 16, 16, dtype=torch.uint8), quality).quantization
    fixed = constants(torch.device("cpu"))
    for index, standard_88 in enumerate((fixed.luminance_88, fixed.chrominance_88)):
        ours = quantization_steps(standard_88, torch.tensor([float(quality)])).flatten().int().tolist()
        assert ours == list(written[index])


def test_compressed_noise_agrees_with_pillow() -> None:
    images_BCHW = (noise(4, 3, 64, 64) * 256).to(torch.uint8)
    compressed_BCHW = compress(images_BCHW / 255, torch.full((4,), 40.0)) * 255
    expected_BCHW = torch.stack([by_pillow(image, 40) for image in images_BCHW])
    assert (compressed_BCHW - expected_BCHW).abs().mean() < 0.05 * (images_BCHW - expected_BCHW).abs().mean()


def test_every_crop_has_its_own_quality_in_the_range() -> None:
    images_BCHW = noise(1, 3, 32, 32).expand(150, -1, -1, -1).contiguous()
    jpegs_BCHW = RandomJPEG(quality=88)(images_BCHW, generator())
    candidates_QCHW = compress(images_BCHW[:96], torch.arange(1.0, 97.0))
    quality_B = torch.cdist(jpegs_BCHW.flatten(1), candidates_QCHW.flatten(1)).argmin(dim=1) + 1
    assert set(quality_B.tolist()) == set(range(88, 96))
