"""Sharpness-aware steps on a quadratic, compared with an explicit loop, and in real fits."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.countdown import rows_of
from helpers.small_run import STEPS, assert_same_training, copy_of, fitted, noisy_module, small_trainer, tiny_data
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.data.datamodule import JerseyDataModule
from jersey.training.optimizers import adamw, sgd
from jersey.training.sam import SAM

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


class Quadratic(nn.Module):
    """Returns half the sum of stiffness times squared weight, whose gradient is stiffness times weight."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights or (3.0, 1.0)))
        self.offset = nn.Parameter(torch.tensor([5.0]), requires_grad=False)
        self.stiffness = torch.tensor([1.0, 4.0])

    def forward(self) -> Tensor:
        return 0.5 * (self.stiffness * self.weights**2).sum()


def step(network: Quadratic, optimizer: torch.optim.Optimizer, *, rho: float) -> float:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = network()
        loss.backward()
        return loss

    return optimizer.step(SAM(rho=rho).wrap_closure(network, closure)).item()  # type: ignore[arg-type, union-attr]


def test_step_on_a_quadratic_has_the_expected_result() -> None:
    """The gradient (3, 4) has norm 5: an ascent step of 0.5 leads to (3.3, 1.4), with the gradient (3.3, 5.6)."""
    network = Quadratic()
    loss = step(network, torch.optim.SGD([network.weights], lr=0.1), rho=0.5)
    assert loss == pytest.approx(0.5 * (9 + 4))  # at the original weights
    torch.testing.assert_close(network.weights.detach(), torch.tensor([3 - 0.33, 1 - 0.56]))
    assert network.offset.item() == 5.0
    at_minimum = Quadratic(0.0, 0.0)
    step(at_minimum, torch.optim.SGD([at_minimum.weights], lr=0.1), rho=0.5)
    assert at_minimum.weights.tolist() == [0.0, 0.0]


def test_smaller_ascent_steps_are_closer_to_the_plain_optimizer() -> None:
    ends = []
    for rho in (1.0, 0.1, 0.01, 0.0):
        network = Quadratic()
        step(network, torch.optim.AdamW([network.weights], lr=0.1, weight_decay=0.1, eps=1.0), rho=rho)
        ends.append(network.weights.detach())
    distances = [(end - ends[-1]).norm().item() for end in ends[:-1]]
    assert distances == sorted(distances, reverse=True)
    assert 0 < distances[-1] < 0.02 * distances[0]


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


@pytest.mark.parametrize("optimizer", [adamw, partial(sgd, momentum=0.9, nesterov=True)])
def test_without_ascent_the_result_is_that_of_the_plain_optimizer(
    data: JerseyDataModule, tmp_path: Path, optimizer: Any
) -> None:
    """The result is identical, including batch statistics and logged scores, so the second pass has no side effect."""
    configured = partial(optimizer, lr=0.02, weight_decay=0.05)
    plain = fitted(tmp_path / "plain", data, noisy_module(data, optimizer=configured))
    same = fitted(tmp_path / "sam", data, noisy_module(data, optimizer=configured, sam=SAM(rho=0.0)))
    assert_same_training(same, plain)
    assert (tmp_path / "sam" / "metrics.csv").read_text() == (tmp_path / "plain" / "metrics.csv").read_text()


def test_train_split_is_evaluated_once_at_the_original_weights(data: JerseyDataModule, tmp_path: Path) -> None:
    evaluations = []
    for name, sam in {"sam": SAM(rho=3.0), "plain": None}.items():
        module = noisy_module(data, sam=sam, optimizer=partial(sgd, lr=0.0, weight_decay=0.0))
        fitted(tmp_path / name, data, module, epochs=1)
        evaluations.append(module.evaluations["train"])
    assert sorted(evaluations[0].indices_N.tolist()) == list(range(len(data.decoded["train"])))
    assert torch.equal(evaluations[0].logits_NK, evaluations[1].logits_NK)
    assert rows_of(tmp_path / "sam") == rows_of(tmp_path / "plain")


# The gradient of a bias before batch normalization is rounding noise, of which Adam would make a full step.
SGD = partial(sgd, lr=0.1, momentum=0.9, weight_decay=0.01)


def expected_epoch(data: JerseyDataModule, *, rho: float, clip_norm: float) -> dict[str, Tensor]:
    """Trains one epoch with the second gradient from a copy of the network, which has its own batch statistics."""
    module = noisy_module(data, optimizer=SGD)
    optimizer, schedule = module.optimizer_and_schedule(STEPS)
    for index, batch in enumerate(data.train_dataloader()):
        images_BCHW, labels_B = module.prepare_batch(batch, index)
        ascended = copy.deepcopy(module.network)
        gradients = gradients_of(module, module.network, images_BCHW, labels_B)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        for weight, gradient in zip(ascended.parameters(), gradients, strict=True):
            weight.data += rho * gradient / norm
        gradients = gradients_of(module, ascended, images_BCHW, labels_B)
        for weight, gradient in zip(module.network.parameters(), gradients, strict=True):
            weight.grad = torch.empty_like(weight).copy_(gradient)  # in the weight's memory format, as of backward()
        torch.nn.utils.clip_grad_norm_(module.network.parameters(), clip_norm)
        optimizer.step()
        schedule.step()
    return {f"network.{name}": value for name, value in module.network.state_dict().items()}


def gradients_of(module: Any, network: nn.Module, images_BCHW: Tensor, labels_B: Tensor) -> list[Tensor]:
    loss = module.loss(network(images_BCHW), labels_B, module.class_weights_K)
    return list(torch.autograd.grad(loss, list(network.parameters())))


@pytest.mark.parametrize("clip_norm", [1.0, 0.05])
def test_fit_matches_the_explicit_loop(data: JerseyDataModule, tmp_path: Path, clip_norm: float) -> None:
    module = noisy_module(data, sam=SAM(rho=0.3), optimizer=SGD)
    seen = fitted(tmp_path, data, module, epochs=1, clip_norm=clip_norm)["state_dict"]
    for name, value in expected_epoch(data, rho=0.3, clip_norm=clip_norm).items():
        torch.testing.assert_close(seen[name], value, atol=1e-5, rtol=1e-4)


def test_negative_rho_and_accumulated_batches_are_rejected(data: JerseyDataModule, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"module\.sam\.rho"):
        SAM(rho=-0.1)
    with pytest.raises(UserError, match=r"module\.sam.*trainer\.accumulate=2"):
        fitted(tmp_path, data, noisy_module(data, sam=SAM()), accumulate=2)


def fitted_in_fp16(folder: Path, data: JerseyDataModule, module: L.LightningModule, scale: float) -> dict[str, Tensor]:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10_000)
    plugins = [MixedPrecision("16-mixed", "cpu", scaler)]
    small_trainer(folder, plugins=plugins, gradient_clip_val=1.0).fit(module, datamodule=data)
    return copy_of(module)


def test_loss_scale_of_fp16_does_not_change_steps_and_overflow_skips_them(
    data: JerseyDataModule, tmp_path: Path
) -> None:
    """The ascent step has the same norm at any scale, and scaling by powers of two is exact."""
    before = copy_of(noisy_module(data).network)
    low, high, none = (
        fitted_in_fp16(tmp_path, data, noisy_module(data, sam=SAM(rho=0.3)), scale) for scale in (64.0, 1024.0, 2.0**60)
    )
    exact = fitted(tmp_path / "exact", data, noisy_module(data, sam=SAM(rho=0.3)), epochs=1)["state_dict"]
    for name, value in exact.items():
        torch.testing.assert_close(low[name], high[name], atol=2e-2, rtol=2e-2)
        torch.testing.assert_close(high[name], value, atol=5e-2, rtol=5e-2)
    for name, _ in noisy_module(data).network.named_parameters():
        assert torch.equal(none[f"network.{name}"], before[name])
