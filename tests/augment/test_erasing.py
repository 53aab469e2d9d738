"""Random erasing agrees with torchvision's; the rectangles are recovered from the results."""

import pytest
import torch
from helpers.augment_images import generator, noise
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from jersey.augment.erasing import RandomErasing


def rectangles(changed_BHW: Tensor) -> list[tuple[int, int, int, int]]:
    """Returns top, left, height and width of each changed area; fails if it is not a rectangle."""
    found = []
    for changed_HW in changed_BHW:
        rows, columns = (changed_HW.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        if not len(rows):
            found.append((0, 0, 0, 0))
            continue
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
        assert changed_HW.sum() == height * width
        found.append((top, left, height, width))
    return found


@pytest.mark.parametrize("size", [(40, 40), (24, 60), (9, 8)])
def test_erasing_agrees_with_torchvision_and_the_area_never_exceeds_the_max(size: tuple[int, int]) -> None:
    images_BCHW = noise(300, 3, *size)
    erased_BCHW = RandomErasing(area=0.2)(images_BCHW, generator())
    for image, erased, (top, left, height, width) in zip(
        images_BCHW, erased_BCHW, rectangles((images_BCHW != erased_BCHW).any(dim=1)), strict=True
    ):
        color_311 = erased[:, top : top + 1, left : left + 1]
        assert torch.equal(erased, tv.erase(image, top, left, height, width, color_311))
        assert height * width <= 0.2 * size[0] * size[1]


def test_sizes_shapes_positions_and_colors_fill_their_range() -> None:
    images_BCHW = torch.full((2000, 3, 100, 100), -1.0)
    erased_BCHW = RandomErasing(area=0.2)(images_BCHW, generator())
    found = torch.tensor(rectangles((erased_BCHW >= 0).all(dim=1))).float()
    top_B, left_B, height_B, width_B = found[found[:, 2] > 5].T
    area_B = height_B * width_B / 10_000
    assert area_B.mean() == pytest.approx(0.1, abs=0.01)
    assert area_B.max() > 0.18
    aspect_B = height_B / width_B
    assert aspect_B.quantile(torch.tensor([0.02, 0.5, 0.98])).tolist() == pytest.approx([0.36, 1, 2.8], rel=0.15)
    for first_B, length_B in ((top_B, height_B), (left_B, width_B)):
        place_B = first_B / (100 - length_B)
        torch.testing.assert_close(
            place_B.quantile(torch.tensor([0.0, 0.25, 0.5, 0.75, 1])), torch.linspace(0, 1, 5), atol=0.06, rtol=0
        )
    colors_B3 = erased_BCHW.amax(dim=(2, 3))[found[:, 2] > 0]
    torch.testing.assert_close(colors_B3.std(dim=0), torch.full((3,), 12**-0.5), atol=0.02, rtol=0)


def test_the_max_area_may_be_the_whole_crop() -> None:
    images_BCHW = noise(200, 3, 10, 30)
    found = rectangles((RandomErasing(area=1)(images_BCHW, generator()) != images_BCHW).any(dim=1))
    assert max(height * width for _, _, height, width in found) > 200
