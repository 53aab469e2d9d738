"""The average of a real fit against the same average computed by hand from the weights after every step."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from jersey.callbacks.checkpoints import RunCheckpoint
from jersey.callbacks.ema import EMA
from jersey.core.errors import UserError
from jersey.runs.state import RunState, join_all

BATCHES = 7
State = dict[str, Tensor]


class Small(L.LightningModule):
    """A network with batch normalisation: float buffers and an integer one, besides the weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self.validated: list[State] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        return (self.body(batch) - batch.sum(dim=1, keepdim=True)).square().mean()

    def validation_step(self, batch: Tensor, _: int) -> None:
        self.validated.append(copy_of(self))
        self.log("val/loss", 0.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class Recorder(Callback):
    """Keeps the raw weights after every optimizer step; to be placed before the EMA."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self._step = 0

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step > self._step:
            self._step = trainer.global_step
            self.states.append(copy_of(pl_module))


def copy_of(module: nn.Module) -> State:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def by_hand(states: list[State], decay: float) -> State:
    """The first step is taken as it is; from then on the average keeps min(decay, (1 + n) / (10 + n))."""
    average = states[0]
    for n, state in enumerate(states[1:], start=1):
        kept = min(decay, (1 + n) / (10 + n))
        average = {
            name: kept * average[name] + (1 - kept) * value if value.is_floating_point() else value
            for name, value in state.items()
        }
    return average


def by_hand_now_and_then(states: list[State], decay: float, updates: list[int]) -> State:
    """As if the weights had been those of an update ever since the one before."""
    held = []
    for before, now in zip([0, *updates], updates, strict=False):
        held += [states[now - 1]] * (now - before)
    return by_hand(held, decay)


def fit(
    folder: Path, *, epochs: int, accumulate: int = 1, resume: Path | None = None, **settings: Any
) -> tuple[Small, Recorder, EMA]:
    """Trains, and leaves `checkpoints/last.ckpt` in the folder."""
    module, recorder, ema, run = Small(), Recorder(), EMA(**settings), RunState()
    callbacks: list[Callback] = [recorder, ema, RunCheckpoint(monitor="val/loss")]
    join_all(callbacks, run)
    trainer = L.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        callbacks=callbacks,
        plugins=[run.checkpoint_io],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    batches: Any = torch.randn(BATCHES, 16, 4, generator=torch.Generator().manual_seed(1))
    train, val = (DataLoader[Tensor](part, batch_size=None) for part in (batches, batches[:1]))
    trainer.fit(module, train, val, ckpt_path=resume, weights_only=True)
    return module, recorder, ema


def assert_same(left: State, right: State) -> None:
    torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-5)


pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


@pytest.mark.parametrize("decay", [0.2, 0.998])  # reached at the second step, and not within the test
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_is_the_one_by_hand(tmp_path: Path, decay: float, accumulate: int) -> None:
    module, recorder, _ = fit(tmp_path, decay=decay, epochs=2, accumulate=accumulate)
    assert len(recorder.states) == 2 * -(-BATCHES // accumulate)
    assert_same(copy_of(module), by_hand(recorder.states, decay))
    raw = recorder.states[-1]
    for name, value in copy_of(module).items():
        assert torch.equal(value, raw[name]) == (name == "body.1.num_batches_tracked"), name


@pytest.mark.parametrize("decay", [0.2, 0.998])
def test_the_average_makes_up_for_the_steps_that_it_leaves_out(tmp_path: Path, decay: float) -> None:
    module, recorder, _ = fit(tmp_path, decay=decay, epochs=2, every_steps=3)
    updates = [3, 6, 7, 10, 13, 14]  # each third step, counted from the last update, and the end of an epoch of 7
    assert_same(copy_of(module), by_hand_now_and_then(recorder.states, decay, updates))
    for epoch, seen in enumerate(module.validated, start=1):
        assert_same(seen, by_hand_now_and_then(recorder.states, decay, updates[: 3 * epoch]))


def test_an_epoch_shorter_than_an_interval_has_its_average(tmp_path: Path) -> None:
    module, recorder, _ = fit(tmp_path, decay=0.5, epochs=2, every_steps=100)
    assert_same(copy_of(module), by_hand_now_and_then(recorder.states, 0.5, [BATCHES, 2 * BATCHES]))


def test_validation_sees_the_average_and_training_goes_on_with_the_raw_weights(tmp_path: Path) -> None:
    module, recorder, _ = fit(tmp_path, decay=0.998, epochs=3)
    for epoch, seen in enumerate(module.validated, start=1):
        assert_same(seen, by_hand(recorder.states[: epoch * BATCHES], 0.998))
    alone = Small()
    optimizer = alone.configure_optimizers()
    for batch in torch.randn(BATCHES, 16, 4, generator=torch.Generator().manual_seed(1)).repeat(3, 1, 1):
        optimizer.zero_grad()
        alone.training_step(batch, 0).backward()
        optimizer.step()
    assert_same(copy_of(alone), recorder.states[-1])


def test_a_resumed_run_continues_average_and_ramp(tmp_path: Path) -> None:
    whole, _, _ = fit(tmp_path, decay=0.998, epochs=2)
    fit(tmp_path / "parts", decay=0.998, epochs=1)
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    resumed, _, ema = fit(tmp_path / "parts", decay=0.998, epochs=2, resume=last)
    assert ema.state_dict() == {"latest_update_step": 2 * BATCHES}
    assert_same(copy_of(resumed), copy_of(whole))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_after_a_half_life_half_of_an_average_is_left(tmp_path: Path, accumulate: int) -> None:
    """A quarter of an epoch, in steps, is where decay after decay makes one half."""
    module, recorder, ema = fit(tmp_path, half_life_epochs=0.25, epochs=3, accumulate=accumulate)
    epoch_steps = len(recorder.states) / 3
    assert ema.decay is not None
    assert ema.decay ** (0.25 * epoch_steps) == pytest.approx(0.5)
    assert_same(copy_of(module), by_hand(recorder.states, ema.decay))


def test_a_resumed_run_has_the_same_half_life(tmp_path: Path) -> None:
    whole, _, _ = fit(tmp_path, half_life_epochs=0.2, epochs=2)
    fit(tmp_path / "parts", half_life_epochs=0.2, epochs=1)
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    resumed, _, _ = fit(tmp_path / "parts", half_life_epochs=0.2, epochs=2, resume=last)
    assert_same(copy_of(resumed), copy_of(whole))


def test_a_decay_stays_what_it_is_whatever_the_epoch() -> None:
    ema = EMA(decay=0.5)
    ema.set_epoch_steps(3)
    assert ema.decay_at(1000) == 0.5


def test_a_half_life_is_no_decay_before_the_epoch_is_known() -> None:
    with pytest.raises(RuntimeError, match="set_epoch_steps"):
        EMA(half_life_epochs=1.0).decay_at(0)


@pytest.mark.parametrize(
    "settings",
    [{}, {"decay": 0.9, "half_life_epochs": 1.0}, {"decay": 1.0}, {"decay": -0.1}, {"half_life_epochs": 0.0}],
)
def test_one_of_the_two_is_given_and_possible(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"callbacks\.ema has decay=.* and half_life_epochs=.*; "):
        EMA(**settings)


def test_an_interval_is_at_least_a_step() -> None:
    with pytest.raises(UserError, match=r"every_steps=0"):
        EMA(decay=0.9, every_steps=0)


def test_the_ramp_rises_to_the_decay() -> None:
    decays = [EMA(decay=0.998).decay_at(step) for step in range(10_000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.998


def test_the_average_lives_where_training_will_run() -> None:
    """In `setup` the module is still on the CPU; an average left there would be copied to at every step."""
    ema = EMA(decay=0.9)
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    ema.setup(trainer, Small(), "fit")
    assert ema._average_model is not None
    assert {value.device.type for value in ema._average_model.state_dict().values()} == {"meta"}
