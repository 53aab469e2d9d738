"""Grad-CAM against maps by hand and class activation maps, which it generalizes, and without side effects."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from jersey.core.labels import Labels
from jersey.evaluation.grad_cam import grad_cam, layer_for
from jersey.models.backbones import Stem, build_backbone
from jersey.models.network import Network, classifier


class Tiny(nn.Module):
    """A network with two feature maps, the image and its negative, squared and pooled, and two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, kernel_size=1, bias=False)
        self.features.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.tensor([[3.0, 0.0], [-1.0, 2.0]])

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.features(images_BCHW.float()).square().mean(dim=(2, 3)))


@pytest.fixture(params=["plain", "no_grad", "inference"])
def grad_mode(request: pytest.FixtureRequest) -> Iterator[None]:
    modes = {"plain": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}
    with modes[request.param]():
        yield


@pytest.mark.usefixtures("grad_mode")
def test_maps_by_hand() -> None:
    """Logit 0 is 3 mean(a^2), so its gradient 6a / 4 has the mean 1.5 mean(a), and the map is the positive part of
    that times a: for a = [[1, 2], [3, -2]] it is 1.5 * a, which scales to 1 at the 3.

    Logit 1 is -mean(a^2) + 2 mean(b^2) with b = -a, so the mean gradients are -mean(a) / 2 = -0.5 and mean(b) = -1, and
    the map is -0.5 a - 1 b = 0.5 a.
    """
    with torch.inference_mode(False):
        network = Tiny()
    image_1111 = torch.tensor([[1.0, 2.0], [3.0, -2.0]]).view(1, 1, 2, 2)
    maps_2HW = grad_cam(network, network.features, image_1111.expand(2, -1, -1, -1), torch.tensor([0, 1]))
    expected_HW = torch.tensor([[1.0, 2.0], [3.0, 0.0]]) / 3
    torch.testing.assert_close(maps_2HW, torch.stack([expected_HW, expected_HW]))


def test_the_map_is_zero_if_no_position_supports_the_class() -> None:
    network = Tiny()
    network.head.weight.data = torch.tensor([[-1.0, 0.0], [0.0, 0.0]])
    assert grad_cam(network, network.features, torch.rand(2, 1, 4, 4), torch.tensor([0, 1])).abs().max() == 0


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return classifier(labels=Labels(tuple("01234")), weights=None).train()


@pytest.fixture
def images_BCHW() -> Tensor:
    return torch.randint(0, 256, (3, 3, 96, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


CLASSES_B = torch.tensor([4, 0, 2])


def last_block(network: Network) -> nn.Module:
    return network.backbone.get_submodule("layer4")


def test_before_pooling_and_a_linear_head_the_map_is_the_class_activation_map(
    network: Network, images_BCHW: Tensor
) -> None:
    """The weights are then those of the head: https://arxiv.org/abs/1610.02391, section 3.1."""
    seen: list[Tensor] = []
    with last_block(network).register_forward_hook(lambda _, __, output: seen.append(output)), torch.no_grad():
        network.eval()(images_BCHW)
        network.train()
    cam_Bhw = torch.einsum("bchw,bc->bhw", seen[0], network.head.weight[CLASSES_B]).relu()
    expected_BHW = nn.functional.interpolate(cam_Bhw[:, None], (96, 64), mode="bilinear", align_corners=False)[:, 0]
    expected_BHW = expected_BHW / expected_BHW.amax(dim=(1, 2), keepdim=True)
    maps_BHW = grad_cam(network, last_block(network), images_BCHW, CLASSES_B)
    torch.testing.assert_close(maps_BHW, expected_BHW, atol=1e-4, rtol=1e-4)
    alone_1HW = grad_cam(network, last_block(network), images_BCHW[1:2], CLASSES_B[1:2])
    torch.testing.assert_close(maps_BHW[1:2], alone_1HW, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("grad_mode")
@pytest.mark.parametrize("is_frozen", [False, True])
def test_grad_cam_works_in_any_grad_mode_without_side_effects(
    network: Network, images_BCHW: Tensor, is_frozen: bool
) -> None:
    network.backbone.get_submodule("layer2").eval()  # a mixture of modes must be restored
    modes = [part.training for part in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    is_grad, is_inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    inputs, classes = (images_BCHW * 1, CLASSES_B * 1)  # inference tensors in inference mode, as a test loop has them
    network.requires_grad_(not is_frozen)
    maps_BHW = grad_cam(network, last_block(network), inputs, classes)
    network.requires_grad_(True)
    assert maps_BHW.amax(dim=(1, 2)).tolist() == [1, 1, 1]
    assert not maps_BHW.requires_grad
    assert [part.training for part in network.modules()] == modes
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(part._forward_hooks for part in network.modules())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == (is_grad, is_inference)


def test_a_failure_has_no_side_effects_either(network: Network) -> None:
    with pytest.raises(RuntimeError):
        grad_cam(network, last_block(network), torch.zeros(1, 5, 32, 32), torch.tensor([0]))
    assert network.training
    assert not last_block(network)._forward_hooks


STAGES = ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("size_px", [(224, 224), (96, 224), (224, 96), (48, 64), (24, 24), (16, 64), (8, 8)])
def test_the_layer_of_a_resnet_is_the_last_stage_with_enough_positions(
    architecture: str, stem: Stem, size_px: tuple[int, int]
) -> None:
    """The expected stage follows from the output shapes of a real ResNet."""
    positions: list[int] = []
    with torch.device("meta"):
        backbone, _ = build_backbone(architecture, stem=stem)
        images = torch.zeros(2, 3, *size_px)
    found = layer_for(backbone, images)
    for name in STAGES:
        backbone.get_submodule(name).register_forward_hook(lambda *args: positions.append(min(args[2].shape[2:])))
    backbone(images)
    enough = [name for name, count in zip(STAGES, positions, strict=True) if count >= 6]
    assert found == (enough[-1] if enough else STAGES[0])


@pytest.mark.parametrize(
    ("architecture", "size_px", "last_stage"),
    [("mobilenet_v3_small", 224, "features"), ("swin_t", 224, "permute"), ("vit_b_16", 224, None)],
)
def test_layers_of_other_networks(architecture: str, size_px: int, last_stage: str | None) -> None:
    """A Swin transformer computes [B,h,w,C]; a vision transformer has positions in the stem only."""
    with torch.device("meta"):
        backbone, _ = build_backbone(architecture)
        found = layer_for(backbone, torch.zeros(1, 3, size_px, size_px))
    assert found == last_stage
