"""The resize agrees with torch's antialiased one, and preserves shape, content and borders as specified.

Shapes: B batch, C channels, h w size before, H W size after.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jersey.data.resize import WEIGHT_SCALE, ResizeMode, resampling_weights, resize, resize_image

# Heights and widths before and after: smaller, larger, one axis each, odd, thin, and a single pixel.
SIZES = [
    ((480, 640), (224, 224)),
    ((37, 23), (64, 64)),
    ((200, 20), (64, 64)),
    ((20, 200), (64, 96)),
    ((65, 63), (64, 64)),
    ((7, 5), (3, 11)),
    ((1, 1), (4, 6)),
    ((300, 1), (32, 32)),
]


def noise(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, height, width), generator=generator, dtype=torch.uint8)


def distance(left: Tensor, right: Tensor) -> float:
    assert left.shape == right.shape
    return (left.float() - right.float()).abs().max().item()


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_stretch_equals_torchs_antialiased_bilinear_resize(before: tuple[int, int], after: tuple[int, int]) -> None:
    images_BChw = noise(2, *before)
    resized_BCHW = resize(images_BChw, height_px=after[0], width_px=after[1])
    assert resized_BCHW.dtype == torch.uint8
    reference_BCHW = F.interpolate(images_BChw.float(), after, mode="bilinear", antialias=True, align_corners=False)
    assert distance(resized_BCHW, reference_BCHW) <= 1 + 0.05  # two roundings, and the rounding of the weights
    assert (resized_BCHW - reference_BCHW).mean().abs() < 0.1  # without a bias to dark or light


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize(("before", "after"), [*SIZES, ((64, 64), (64, 64))])
def test_one_image_on_the_host_has_the_same_pixels(
    mode: ResizeMode, before: tuple[int, int], after: tuple[int, int]
) -> None:
    image_1Chw = noise(1, *before)
    expected_1CHW = resize(image_1Chw, height_px=after[0], width_px=after[1], mode=mode)
    image_hw3 = image_1Chw[0].permute(1, 2, 0).numpy()
    resized_CHW = resize_image(image_hw3, height_px=after[0], width_px=after[1], mode=mode)
    assert torch.equal(torch.from_numpy(resized_CHW), expected_1CHW[0])


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(224, 224), (37, 61), (1, 1), (1024, 768)])
def test_an_image_of_the_output_size_is_unchanged(mode: str, size: tuple[int, int]) -> None:
    images_BChw = noise(1, *size)
    resized_BCHW = resize(images_BChw, height_px=size[0], width_px=size[1], mode=mode)  # type: ignore[arg-type]
    assert torch.equal(resized_BCHW, images_BChw)


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize(("before", "after"), [*SIZES, ((480, 641), (64, 64)), ((2000, 30), (48, 48))])
def test_the_order_of_summation_changes_no_pixel(before: tuple[int, int], after: tuple[int, int], mode: str) -> None:
    """Each sum is the same in float32, in reverse order, and in float64, where it is exact."""
    steps = [size / resized for size, resized in zip(before, after, strict=True)]
    rows_Hh, columns_Ww = (
        resampling_weights(
            size, torch.tensor(float(size)), resized, torch.tensor(max(steps) if mode == "letterbox" else step)
        )
        for size, resized, step in zip(before, after, steps, strict=True)
    )
    for images_BChw in (noise(1, *before), torch.full((1, 3, *before), 255, dtype=torch.uint8)):
        exact_BChW = images_BChw.double() @ columns_Ww.double().T
        assert torch.equal((images_BChw.float() @ columns_Ww.T).double(), exact_BChW)
        assert torch.equal((images_BChw.float().flip(3) @ columns_Ww.flip(1).T).double(), exact_BChW)
        exact_BCHW = rows_Hh.double() @ exact_BChW.round()
        resized_BCHW = resize(images_BChw, height_px=after[0], width_px=after[1], mode=mode)  # type: ignore[arg-type]
        assert torch.equal(resized_BCHW.double(), exact_BCHW.round().clamp(0, 255))
        assert max(exact_BChW.max(), exact_BCHW.max()) * WEIGHT_SCALE < 2**24


@pytest.mark.parametrize(("before", "inner"), [((100, 50), (64, 32)), ((50, 100), (32, 64)), ((16, 32), (32, 64))])
def test_letterbox_is_a_stretch_to_the_right_shape_between_black_bars(
    before: tuple[int, int], inner: tuple[int, int]
) -> None:
    images_BChw = noise(1, *before).clamp(min=1)
    resized_BCHW = resize(images_BChw, height_px=64, width_px=64, mode="letterbox")
    top, left = (64 - inner[0]) // 2, (64 - inner[1]) // 2
    expected_BCHW = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    expected_BCHW[..., top : top + inner[0], left : left + inner[1]] = resize(
        images_BChw, height_px=inner[0], width_px=inner[1]
    )
    assert distance(resized_BCHW, expected_BCHW) <= 1


@pytest.mark.parametrize("before", [(97, 31), (31, 97), (64, 63), (5, 64), (640, 480)])
def test_letterbox_keeps_the_aspect_ratio_and_the_center(before: tuple[int, int]) -> None:
    white_BChw = torch.full((1, 3, *before), 255, dtype=torch.uint8)
    resized_HW = resize(white_BChw, height_px=64, width_px=64, mode="letterbox")[0, 0]
    rows, columns = (resized_HW.amax(dim=side).nonzero()[:, 0] for side in (1, 0))
    for places, size in zip((rows, columns), before, strict=True):
        assert abs(len(places) - size * 64 / max(before)) <= 1
        assert places[0] + places[-1] == 63
    assert (resized_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 255).all()
