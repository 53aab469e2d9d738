"""torchvision's ResNets without a classifier: number of features, resolution and cost of both stems."""

import pytest
import torch
from torch import Tensor, nn

from jersey.models.resnet import resnet
from jersey.report.model_profile import flops


def features(backbone: nn.Module) -> Tensor:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return backbone.eval()(images)


@pytest.mark.parametrize(("architecture", "size"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)])
def test_the_number_of_features_is_correct(architecture: str, size: int) -> None:
    backbone, count = resnet(architecture)  # type: ignore[arg-type]
    assert count == size == features(backbone).shape[1]
    again, _ = resnet(architecture)  # type: ignore[arg-type]
    assert not torch.equal(features(again), features(backbone))


def positions(backbone: nn.Module, size_px: int) -> list[int]:
    """Returns the width of the output of each stage."""
    sides: list[int] = []
    hooks = [
        backbone.get_submodule(f"layer{stage}").register_forward_hook(
            lambda _, __, output: sides.append(output.shape[3])
        )
        for stage in (1, 2, 3, 4)
    ]
    with torch.no_grad():
        backbone.eval()(torch.zeros(1, 3, size_px, size_px))
    for hook in hooks:
        hook.remove()
    return sides


def test_the_small_stem_has_twice_the_resolution_at_four_times_the_flops() -> None:
    standard, _ = resnet("resnet18")
    small, size = resnet("resnet18", stem="small")
    assert size == 512
    assert positions(standard, 64) == [16, 8, 4, 2]
    assert positions(small, 64) == [32, 16, 8, 4]
    crop_1CHW = torch.zeros(1, 3, 64, 64)
    first = flops(standard.conv1, crop_1CHW)  # type: ignore[arg-type]  # the stubs of a module's attributes
    assert flops(small, crop_1CHW) - first == 4 * (flops(standard, crop_1CHW) - first)
