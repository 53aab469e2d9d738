"""The EMA weights of a real fit, compared with an average computed from the weights after every step."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from helpers.small_run import copy_of, small_trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from jersey.callbacks.ema import EMA
from jersey.core.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
BATCHES = torch.randn(7, 16, 4, generator=torch.Generator().manual_seed(1))
State = dict[str, Tensor]


class SmallModule(L.LightningModule):
    """A network with batch normalization: float buffers and an integer one, besides the weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self.validated: list[State] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        return (self.body(batch) - batch.sum(dim=1, keepdim=True)).square().mean()

    def validation_step(self, batch: Tensor, _: int) -> None:
        self.validated.append(copy_of(self))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class RawWeights(Callback):
    """Records the raw weights after every optimizer step; must be placed before the EMA."""

    def __init__(self) -> None:
        self.states: list[State] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step > len(self.states):
            self.states.append(copy_of(pl_module))


def expected_average(states: list[State], decay: float, updates: Sequence[int], *, ramp: bool = True) -> State:
    """Averages with decay min(decay, (1 + n) / (10 + n)), starting from the weights of the first step.

    Without the ramp, the decay is constant, and the average starts from the initial weights. Steps without an update
    count as if their weights were those of the next update.
    """
    seen = [states[now - 1] for before, now in zip([0, *updates], updates, strict=False) for _ in range(now - before)]
    average = seen[0] if ramp else copy_of(SmallModule())
    for n, state in enumerate(seen[1:] if ramp else seen, start=1):
        weight = min(decay, (1 + n) / (10 + n)) if ramp else decay
        average = {
            name: weight * average[name] + (1 - weight) * value if value.is_floating_point() else value
            for name, value in state.items()
        }
    return average


def fit(folder: Path, *, accumulate: int = 1, **settings: Any) -> tuple[SmallModule, list[State], EMA]:
    module, raw, ema = SmallModule(), RawWeights(), EMA(**settings)
    trainer = small_trainer(folder, raw, ema, epochs=2, accumulate_grad_batches=accumulate)
    loaders: Any = (DataLoader[Any](part, batch_size=None) for part in (BATCHES, BATCHES[:1]))  # type: ignore[arg-type]
    trainer.fit(module, *loaders)
    return module, raw.states, ema


def assert_same(left: State, right: State) -> None:
    torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-5)


EVERY_THIRD = (3, 6, 7, 10, 13, 14)  # every third step after an update, and the end of an epoch of 7 steps


@pytest.mark.parametrize(
    ("settings", "decay", "accumulate", "updates"),
    [
        ({"decay": 0.2}, 0.2, 1, range(1, 15)),  # reached at the second step
        ({"decay": 0.998}, 0.998, 2, range(1, 9)),  # not within the test
        ({"half_life_epochs": 0.25}, 0.5 ** (4 / 7), 1, range(1, 15)),
        ({"half_life_epochs": 0.25}, 0.5, 2, range(1, 9)),
        ({"decay": 0.2, "every_steps": 3}, 0.2, 1, EVERY_THIRD),
        ({"decay": 0.998, "every_steps": 3}, 0.998, 1, EVERY_THIRD),
        ({"decay": 0.5, "every_steps": 100}, 0.5, 1, (7, 14)),
        ({"half_life_epochs": 1.0, "ramp": False}, 0.5 ** (1 / 7), 1, range(1, 15)),
        ({"decay": 0.9, "ramp": False, "every_steps": 3}, 0.9, 1, EVERY_THIRD),
    ],
)
def test_average_matches_its_definition_and_is_validated(
    tmp_path: Path, settings: dict[str, float], decay: float, accumulate: int, updates: Sequence[int]
) -> None:
    module, states, ema = fit(tmp_path, accumulate=accumulate, **settings)
    assert len(states) == updates[-1]
    assert ema.decay == pytest.approx(decay)
    ramp = bool(settings.get("ramp", True))
    assert_same(copy_of(module), expected_average(states, decay, updates, ramp=ramp))
    for name, value in copy_of(module).items():
        assert torch.equal(value, states[-1][name]) == (name == "body.1.num_batches_tracked"), name
    for validated, done in zip(module.validated, (updates[: len(updates) // 2], updates), strict=True):
        assert_same(validated, expected_average(states, decay, done, ramp=ramp))


def test_training_uses_the_raw_weights(tmp_path: Path) -> None:
    _, states, _ = fit(tmp_path, decay=0.998)
    alone = SmallModule()
    optimizer = alone.configure_optimizers()
    for batch in BATCHES.repeat(2, 1, 1):
        optimizer.zero_grad()
        alone.training_step(batch, 0).backward()
        optimizer.step()
    assert_same(copy_of(alone), states[-1])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        *(
            (settings, r"callbacks\.ema has decay=.* and half_life_epochs=.*; ")
            for settings in (
                {},
                {"decay": 0.9, "half_life_epochs": 1.0},
                {"decay": 1.0},
                {"decay": -0.1},
                {"half_life_epochs": 0.0},
            )
        ),
        ({"decay": 0.9, "every_steps": 0}, "every_steps=0"),
    ],
)
def test_exactly_one_valid_value_of_decay_and_half_life_is_required(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        EMA(**settings)


def test_ramp_rises_to_the_decay() -> None:
    ema = EMA(decay=0.998)
    ema.set_epoch_steps(3)
    decays = [ema.decay_at(step) for step in range(10_000)]
    assert decays[:2] == [0, 2 / 11]
    assert decays == sorted(decays)
    assert decays[-1] == 0.998
    with pytest.raises(RuntimeError, match="set_epoch_steps"):
        EMA(half_life_epochs=1.0).decay_at(0)


def test_average_is_on_the_training_device() -> None:
    """In `setup` the module is still on the CPU; an average there would need a copy at every step."""
    ema, module = EMA(decay=0.9), SmallModule()
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    ema.setup(trainer, module, "fit")
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    ema.on_save_checkpoint(trainer, module, checkpoint)
    assert {value.device.type for value in checkpoint["state_dict"].values()} == {"meta"}
    assert {value.device.type for value in checkpoint["current_model_state"].values()} == {"cpu"}
