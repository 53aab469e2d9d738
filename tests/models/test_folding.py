"""Batch normalization folded into convolutions computes what the two compute."""

import copy

import torch
from torch import nn

from jersey.models.backbones import build_backbone
from jersey.models.folding import fold_batch_norm


def resnet_with_statistics() -> nn.Module:
    """Returns a ResNet whose batch normalization differs between channels."""
    torch.manual_seed(0)
    backbone, _ = build_backbone("resnet50")
    for norm in (each for each in backbone.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
        norm.running_mean, norm.running_var = torch.randn_like(norm.bias), torch.rand_like(norm.bias) + 0.5
    return backbone.eval()


def test_a_folded_resnet_computes_the_same_features_without_batch_normalization() -> None:
    backbone = resnet_with_statistics()
    folded = copy.deepcopy(backbone)
    fold_batch_norm(folded, {"architecture": "resnet50"})
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    images_BCHW = torch.rand(2, 3, 64, 48)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images_BCHW), backbone(images_BCHW), rtol=1e-3, atol=1e-3)


def test_another_backbone_is_left_to_the_exporter() -> None:
    """Its batch normalization may precede the convolution."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    fold_batch_norm(backbone, {"architecture": "vgg11_bn"})
    assert isinstance(backbone[2], nn.BatchNorm2d)
