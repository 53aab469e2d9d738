"""Low resolution against torchvision's resize, down and up."""

import pytest
import torch
from helpers.augment_pictures import generator, noise
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from jersey.augment.blur import LowResolution, down_and_up


def by_torchvision(image_CHW: Tensor, height: int, width: int) -> Tensor:
    return tv.resize(tv.resize(image_CHW, [height, width], antialias=True), list(image_CHW.shape[1:]), antialias=True)


@pytest.mark.parametrize("size", [(32, 32), (24, 50), (8, 8)])
def test_down_and_up_is_torchvisions(size: tuple[int, int]) -> None:
    height, width = size
    images_BCHW = noise(5, 3, height, width)
    small = [(1, 1), (3, 5), (height // 2, width // 2), (height - 1, width - 3), (height, width)]
    rows_BHH = down_and_up(torch.tensor([float(rows) for rows, _ in small]), size_px=height)
    columns_BWW = down_and_up(torch.tensor([float(columns) for _, columns in small]), size_px=width)
    changed_BCHW = rows_BHH[:, None] @ images_BCHW @ columns_BWW[:, None].mT
    for image, changed, (rows, columns) in zip(images_BCHW, changed_BCHW, small, strict=True):
        torch.testing.assert_close(changed, by_torchvision(image, rows, columns), atol=1e-4, rtol=0)


def test_every_crop_is_shrunk_by_its_own_factor_up_to_the_largest() -> None:
    """Found again among torchvision's results; both axes by the same factor."""
    image_CHW = noise(1, 3, 24, 48)[0]
    changed_BCHW = LowResolution(factor=3)(image_CHW.expand(300, -1, -1, -1).contiguous(), generator())
    sizes = [(rows, columns) for columns in range(12, 49) for rows in {int(columns / 2), int((columns + 1) / 2)}]
    results_SCHW = torch.stack([by_torchvision(image_CHW, *each) for each in sizes])
    distance_BS = torch.cdist(changed_BCHW.flatten(1), results_SCHW.flatten(1))
    assert distance_BS.amin(dim=1).max() < 0.05  # another size is 1 away
    columns = torch.tensor([sizes[index][1] for index in distance_BS.argmin(dim=1).tolist()])
    assert columns.min() == 16
    assert columns.max() == 48
    # Log-uniform: half of the crops shrink by less than the root of the largest factor.
    assert (columns > 48 / 3**0.5).float().mean() == pytest.approx(0.5, abs=0.1)
