"""A training step creates every tensor on the device of its batch, and copies none to the host.

Shapes: B batch, K classes.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fiddle as fdl
import pytest
import torch
from fiddle import selectors
from helpers.fake_gpu import GPU, FakeGpu, fake_gpu
from helpers.registered import EXPERIMENTS
from helpers.small_run import small_module, small_network, tiny_data
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils.data import SequentialSampler

from jersey import config as configs
from jersey.augment.mixing import CutMix, Mix, MixUp
from jersey.augment.per_sample import PerSample
from jersey.callbacks.ema import EMA
from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.data.loader import Batch, BatchLoader, InMemorySplit
from jersey.models.heads import CompositionalHead, linear_head
from jersey.models.network import classifier
from jersey.training.losses import CrossEntropy, FocalLoss, LogitAdjustedLoss
from jersey.training.module import JerseyModule
from jersey.training.sam import SAM

LABELS = Labels(("0", "00", "01"))


@pytest.fixture(autouse=True)
def device_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JerseyModule, "device", GPU)  # otherwise set by `Module.to`


@pytest.fixture
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


def batch_on_gpu() -> Batch:
    images_BCHW = torch.zeros(4, 3, 32, 32, dtype=torch.uint8, device=GPU)
    labels_B = torch.zeros(4, dtype=torch.int64, device=GPU)
    return {"images": images_BCHW, "labels": labels_B, "indices": labels_B}


def step(gpu: FakeGpu, module: JerseyModule) -> None:
    """Trains and validates on one batch; the gradients are zero."""
    gpu.move(module).train()
    batch = batch_on_gpu()
    assert module.training_step(batch, 0).device == GPU
    optimizer, scheduler = module.optimizer_and_schedule(10, may_fuse=False)  # the fused SGD has no fake kernel
    for weight in module.network.parameters():
        weight.grad = torch.zeros_like(weight)
    module.configure_gradient_clipping(optimizer, 1.0)
    optimizer.step()
    scheduler.step()
    module.eval()
    module.validation_step(batch, 0)
    collected = [module._collectors[name].state_dict() for name in ("train", "val") if module._collectors[name]]
    assert {value.device for state in collected for value in [*state.values(), module._epoch_losses]} == {GPU}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_step_of_each_experiment(name: str, data: JerseyDataModule, shrink: Callable[[fdl.Buildable], None]) -> None:
    """Without `PerSample`, which waits once per batch, as documented."""
    config = configs.get_experiment(name)()
    shrink(config)
    config.module.network = fdl.Partial(small_network)  # the real ones have a test of their own
    selectors.select(config, PerSample, check_nonempty=False).replace(None)
    module = configs.build(config).module(labels=data.labels, class_counts=[1] * len(data.labels), seed=0)
    with fake_gpu() as gpu:
        step(gpu, module)


@pytest.mark.parametrize(("normalization", "head"), [("imagenet", linear_head), ("per_image", CompositionalHead)])
@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
def test_networks(architecture: Any, normalization: Any, head: Callable[..., nn.Module]) -> None:
    network = classifier(labels=LABELS, architecture=architecture, weights=None, normalization=normalization, head=head)
    with fake_gpu() as gpu:
        gpu.move(network)
        images_BCHW = batch_on_gpu()["images"]
        assert network(images_BCHW).device == GPU
        if network.has_open_vocabulary:
            assert network.open_vocabulary_logits(images_BCHW).device == GPU


@pytest.mark.parametrize("mix", [None, MixUp(alpha=1.0), CutMix(alpha=1.0)])
@pytest.mark.parametrize("loss", [CrossEntropy(label_smoothing=0.1), FocalLoss(), LogitAdjustedLoss()])
def test_losses_and_mixing(
    loss: nn.Module, mix: Mix | None, data: JerseyDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "randint", lambda *_, generator: 7 if generator.device.type == "cpu" else None)
    module = small_module(data, loss=copy.deepcopy(loss), mix=mix, class_weight_power=0.5)
    with fake_gpu() as gpu:
        step(gpu, module)


def test_ema_and_sam(data: JerseyDataModule) -> None:
    module, ema = small_module(data, sam=SAM()), EMA(decay=0.9)
    averaged = copy.deepcopy(module)
    with fake_gpu() as gpu:
        step(gpu, module)
        average = SimpleNamespace(module=gpu.move(averaged), n_averaged=torch.zeros((), device=GPU))
        ema._average_model = average
        ema._update(module, decay=0.5)
        assert module.sam is not None
        module.sam.wrap_closure(module.network, lambda: None)()
        assert {value.device for each in (averaged, module) for value in each.state_dict().values()} == {GPU}


@pytest.mark.parametrize("fits", [True, False])
def test_batches(fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30 if fits else 0, 2**30))
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)  # asks the driver
    with fake_gpu():
        split = InMemorySplit(torch.zeros(10, 3, 8, 8, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64))
        loader = BatchLoader(split, SequentialSampler(range(10)), batch_size=4, device=GPU)
        assert (loader.split.images_NCHW.device == GPU) == fits
        assert [{value.device for value in batch.values()} for batch in loader] == [{GPU}] * 3


class OnTheHost(nn.Module):
    """Has a constant that is not a buffer, or reads a value, or creates a tensor without a device."""

    def __init__(self, network: nn.Module, fault: str) -> None:
        super().__init__()
        self.network, self.fault, self.constant_K = network, fault, torch.ones(3)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK = self.network(images_BCHW)
        if self.fault == "constant":
            return logits_BK * self.constant_K
        if self.fault == "new tensor":
            return logits_BK + torch.arange(3)
        return logits_BK * logits_BK[0, 0].item()


@pytest.mark.parametrize("fault", ["constant", "new tensor", "read"])
def test_faults_are_errors(fault: str, data: JerseyDataModule) -> None:
    module = small_module(data)
    module.network.head = OnTheHost(module.network.head, fault)
    error = DataDependentOutputException if fault == "read" else RuntimeError
    with fake_gpu() as gpu, pytest.raises(error, match="_local_scalar_dense" if fault == "read" else "same device"):
        step(gpu, module)
