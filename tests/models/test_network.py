"""The network's interface: normalization inside, uint8 or float input, any number of classes."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.heads import CompositionalHead, linear_head
from jersey.models.network import Network, classifier
from jersey.models.normalization import Normalization
from jersey.models.parts import NUMBERS

SIZE_PX = 64
LABELS = Labels(("0", "00", "7", "23", "A7"))


@pytest.fixture(scope="module", params=[linear_head, CompositionalHead])
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return classifier(labels=LABELS, weights=None, head=request.param).eval()


@pytest.fixture
def images_BCHW() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, SIZE_PX, SIZE_PX), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def test_uint8_and_float_have_the_same_logits(network: Network, images_BCHW: Tensor) -> None:
    logits_BK = network(images_BCHW)
    assert logits_BK.shape == (4, 5)
    assert logits_BK.dtype == torch.float32
    assert torch.equal(network(images_BCHW.float()), logits_BK)


@torch.no_grad()
def test_memory_format_and_batch_size_do_not_change_logits(network: Network, images_BCHW: Tensor) -> None:
    logits_BK = network(images_BCHW)
    torch.testing.assert_close(network(images_BCHW.contiguous(memory_format=torch.channels_last)), logits_BK)
    alone_BK = torch.cat([network(image[None]) for image in images_BCHW])
    torch.testing.assert_close(alone_BK, logits_BK, atol=1e-4, rtol=1e-4)
    kernels = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_a_checkpoint_has_weights_without_constants_and_every_weight_gets_a_gradient(
    network: Network, images_BCHW: Tensor
) -> None:
    state = network.state_dict()
    assert {name.split(".")[0] for name in state} == {"backbone", "head"}
    statistics = {name for name in state if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert set(state) - statistics == {name for name, _ in network.named_parameters()}
    default_head = classifier(labels=LABELS, weights=None).head
    assert {name: tuple(p.shape) for name, p in default_head.state_dict().items()} == {"weight": (5, 512), "bias": (5,)}
    network(images_BCHW).logsumexp(dim=1).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@torch.no_grad()
def test_open_vocabulary_logits_follow_from_the_features(images_BCHW: Tensor) -> None:
    network = classifier(labels=LABELS, weights=None, head=CompositionalHead).eval()
    nn.init.normal_(network.head.parts.weight)
    scores_BN = network.open_vocabulary_logits(images_BCHW)
    assert scores_BN.shape == (4, len(NUMBERS))
    columns = [NUMBERS.index(name) for name in LABELS.names[:-1]]
    assert torch.equal(scores_BN[:, columns].argmax(dim=1), network(images_BCHW)[:, :-1].argmax(dim=1))
    assert torch.equal(scores_BN, network.head.open_vocabulary_logits(network.features(images_BCHW)))


def test_a_holistic_head_has_no_open_vocabulary(images_BCHW: Tensor) -> None:
    with pytest.raises(UserError, match=r"can only predict its labels; .*module\.network\.head"):
        classifier(labels=LABELS, weights=None).open_vocabulary_logits(images_BCHW)


@torch.no_grad()
def test_normalization_and_stem_are_part_of_the_network(images_BCHW: Tensor) -> None:
    torch.manual_seed(0)
    by_imagenet, per_image = (
        classifier(labels=LABELS, weights=None, normalization=kind).eval() for kind in get_args(Normalization)
    )
    per_image.load_state_dict(by_imagenet.state_dict())
    dim_BCHW = images_BCHW.float() / 2
    assert not torch.allclose(by_imagenet(dim_BCHW), by_imagenet(images_BCHW), atol=1e-2)
    torch.testing.assert_close(per_image(dim_BCHW), per_image(images_BCHW), atol=1e-2, rtol=0)
    small = classifier(labels=LABELS, weights=None, stem="small").eval()
    small.load_state_dict(by_imagenet.state_dict())
    assert not torch.allclose(small(images_BCHW), by_imagenet(images_BCHW))
