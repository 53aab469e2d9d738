"""The network's contract: normalisation inside, uint8 or float alike, any number of classes."""

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from jersey.models.network import Network, resnet_classifier

SIZE_PX = 64


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return resnet_classifier(num_classes=5, weights=None).eval()


@pytest.fixture
def images_BCHW() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, SIZE_PX, SIZE_PX), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def test_uint8_and_float_are_the_same_to_it(network: Network, images_BCHW: Tensor) -> None:
    logits_BK = network(images_BCHW)
    assert logits_BK.shape == (4, 5)
    assert logits_BK.dtype == torch.float32
    assert torch.equal(network(images_BCHW.float()), logits_BK)


@torch.no_grad()
def test_normalisation_is_that_of_torchvisions_weights(images_BCHW: Tensor) -> None:
    preset = models.ResNet18_Weights.DEFAULT.transforms(crop_size=SIZE_PX, resize_size=SIZE_PX, antialias=True)
    network = Network(nn.Identity(), nn.Identity())
    torch.testing.assert_close(network(images_BCHW), preset(images_BCHW), atol=1e-5, rtol=0)


@torch.no_grad()
def test_memory_format_and_batch_size_change_no_logit(network: Network, images_BCHW: Tensor) -> None:
    logits_BK = network(images_BCHW)
    torch.testing.assert_close(network(images_BCHW.contiguous(memory_format=torch.channels_last)), logits_BK)
    alone_BK = torch.cat([network(image[None]) for image in images_BCHW])
    torch.testing.assert_close(alone_BK, logits_BK, atol=1e-4, rtol=1e-4)


def test_it_is_channels_last(network: Network) -> None:
    kernels = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_every_weight_gets_a_gradient(images_BCHW: Tensor) -> None:
    network = resnet_classifier(num_classes=3, weights=None)
    network(images_BCHW).logsumexp(dim=1).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_checkpoint_holds_weights_and_no_constants(network: Network) -> None:
    state = network.state_dict()
    assert {name.split(".")[0] for name in state} == {"backbone", "head"}
    other = resnet_classifier(num_classes=5, weights=None)
    other.load_state_dict(state)
