"""Checkpoints inside epochs, at their ends, and of the best epoch, and the runs that resume from them."""

import functools
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.small_run import (
    EPOCHS,
    STEPS,
    KillAt,
    Killed,
    assert_same_training,
    fitted,
    noisy_module,
    tiny_data,
    tiny_module,
    tiny_network,
    trainer_in,
)
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import nn

from jersey.augment.mixing import CutMix
from jersey.callbacks.checkpoints import RunCheckpoint
from jersey.callbacks.ema import EMA
from jersey.callbacks.freezing import FreezeBackbone
from jersey.callbacks.monitoring import LearningRate
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.models.network import Network
from jersey.runs.checkpoints import BackgroundCheckpointIO
from jersey.training.sam import SAM

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
SCORES = (0.2, 0.5, 0.5, 0.4)


class BatchRecorder(Callback):
    """Records the rows of each train batch by its index in the run."""

    def __init__(self, seen: dict[int, list[int]]) -> None:
        self.seen = seen

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seen[trainer.fit_loop.total_batch_idx] = batch["indices"].tolist()


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


def everything(seen: dict[int, list[int]]) -> list[Callback]:
    early = EarlyStopping(monitor="val/loss", patience=EPOCHS)
    return [BatchRecorder(seen), EMA(decay=0.9, every_steps=4), early, LearningRate(), FreezeBackbone(freeze_frac=0.2)]


def dropping_network(*, labels: Labels) -> Network:
    """Has a layer with random numbers of its own, like many backbones of torchvision and timm."""
    network = tiny_network(labels=labels)
    return Network(nn.Sequential(network.backbone, nn.Dropout(0.5)), network.head)


KINDS: dict[str, tuple[Callable[[JerseyDataModule], Any], dict[str, Any]]] = {
    "plain": (noisy_module, {}),
    "mixed": (partial(noisy_module, mix=CutMix(alpha=1.0)), {}),
    "sam": (partial(tiny_module, sam=SAM()), {}),
    "dropout": (partial(noisy_module, network=dropping_network), {}),
    "accumulated": (noisy_module, {"accumulate": 2}),
    "a part of each epoch": (noisy_module, {"limit_batches": STEPS - 1}),
}


@pytest.fixture(scope="module")
def whole(data: JerseyDataModule, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Returns the uninterrupted run of each kind: its last checkpoint, its batches and its metrics."""

    @functools.cache
    def run(kind: str) -> Any:
        (make, settings), folder, seen = KINDS[kind], tmp_path_factory.mktemp("whole"), dict[int, list[int]]()
        last = fitted(folder, data, make(data), *everything(seen), every_steps=2, **settings)
        return last, seen, (folder / "metrics.csv").read_text()

    return run


@pytest.mark.parametrize(
    ("kind", "batch"),
    [
        *(("plain", batch) for batch in (0, 2, 3, STEPS, 2 * STEPS + 1)),
        *((kind, batch) for kind in ("mixed", "sam", "accumulated") for batch in (3, 2 * STEPS + 2)),
        # Not in the first epoch: most of its steps freeze the backbone, and its dropout with it.
        *(("dropout", batch) for batch in (STEPS + 2, 2 * STEPS + 2)),
        ("a part of each epoch", STEPS),
    ],
)
def test_run_killed_inside_an_epoch_ends_like_an_uninterrupted_one(
    data: JerseyDataModule, tmp_path: Path, whole: Callable[[str], Any], kind: str, batch: int
) -> None:
    make, settings = KINDS[kind]
    seen: dict[int, list[int]] = {}
    with pytest.raises(Killed):
        fitted(tmp_path, data, make(data), *everything(seen), KillAt(batch), every_steps=2, **settings)
    before = dict(seen)
    again = fitted(tmp_path, data, make(data), *everything(seen), every_steps=2, **settings)
    last, whole_seen, metrics = whole(kind)
    assert_same_training(again, last)
    assert seen == whole_seen == before | seen
    assert (tmp_path / "metrics.csv").read_text() == metrics


@pytest.mark.parametrize(("every_steps", "first"), [(1, STEPS + 3), (None, STEPS)])
def test_saved_steps_are_not_trained_again(
    data: JerseyDataModule, tmp_path: Path, every_steps: int | None, first: int
) -> None:
    """Without an interval, an epoch is saved only at its end."""
    with pytest.raises(Killed):
        fitted(tmp_path, data, noisy_module(data), KillAt(STEPS + 3), every_steps=every_steps)
    seen: dict[int, list[int]] = {}
    fitted(tmp_path, data, noisy_module(data), BatchRecorder(seen), every_steps=every_steps)
    assert min(seen) == first


@pytest.mark.parametrize(("minutes", "saved"), [(1e-9, [1, 2, 3, 4, 5, 6]), (60.0, [6]), (None, [6])])
def test_checkpoints_follow_the_interval_in_minutes(
    data: JerseyDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float | None, saved: list[int]
) -> None:
    steps: list[int] = []
    save = BackgroundCheckpointIO.save_checkpoint

    def watched(self: BackgroundCheckpointIO, checkpoint: dict[str, Any], *arguments: Any, **keywords: Any) -> None:
        steps.append(checkpoint["global_step"])
        save(self, checkpoint, *arguments, **keywords)

    monkeypatch.setattr(BackgroundCheckpointIO, "save_checkpoint", watched)
    fit(tmp_path, data, RunCheckpoint(monitor="val/loss", mode="min", every_minutes=minutes))
    assert steps == saved


def fit(folder: Path, data: JerseyDataModule, *callbacks: Callback, epochs: int = 1) -> None:
    module, last = noisy_module(data), folder / "checkpoints" / "last.ckpt"
    trainer = trainer_in(folder, module, *callbacks, epochs=epochs)
    trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)


class KnownScores(Callback):
    """Logs a known score for each epoch."""

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.log("val/known", SCORES[trainer.current_epoch])


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 0)])
@pytest.mark.parametrize("interrupted_after", [None, 2])
def test_first_of_equally_good_epochs_is_best(
    data: JerseyDataModule, tmp_path: Path, mode: str, best: int, interrupted_after: int | None
) -> None:
    for epochs in [interrupted_after, len(SCORES)] if interrupted_after else [len(SCORES)]:
        fit(tmp_path, data, KnownScores(), RunCheckpoint(monitor="val/known", mode=mode), epochs=epochs)
    epochs_of = {
        path.stem: torch.load(path, weights_only=True)["epoch"] for path in (tmp_path / "checkpoints").glob("*.ckpt")
    }
    assert epochs_of == {"best": best, "last": len(SCORES) - 1, "previous": len(SCORES) - 2}


@pytest.mark.parametrize("left_behind", [None, "previous"])
def test_resume_links_a_best_checkpoint_that_a_kill_prevented(
    data: JerseyDataModule, tmp_path: Path, left_behind: str | None
) -> None:
    # The second epoch is the best of all.
    fit(tmp_path, data, KnownScores(), RunCheckpoint(monitor="val/known"), epochs=2)
    best = tmp_path / "checkpoints" / "best.ckpt"
    best.unlink()
    if left_behind:
        shutil.copyfile(best.with_stem(left_behind), best)
    fit(tmp_path, data, KnownScores(), RunCheckpoint(monitor="val/known"), epochs=len(SCORES))
    assert torch.load(best, weights_only=True)["epoch"] == 1


def test_file_system_without_hard_links_gets_copies(
    data: JerseyDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError("Operation not permitted")

    fitted(tmp_path / "links", data, noisy_module(data))
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    fitted(tmp_path / "copies", data, noisy_module(data))
    for name in ("best", "last", "previous"):
        files = [tmp_path / kind / "checkpoints" / f"{name}.ckpt" for kind in ("links", "copies")]
        left, right = (torch.load(file, weights_only=True) for file in files)
        assert_same_training(left, right)


def test_monitored_metric_that_is_not_logged_is_an_error(data: JerseyDataModule, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"monitor=val/acc_top7 is not logged; choose from .*val/acc_top1"):
        fit(tmp_path, data, RunCheckpoint(monitor="val/acc_top7"))


@pytest.mark.parametrize(
    "settings", [{"mode": "lowest"}, {"every_minutes": 0.0}, {"every_steps": 0}, {"every_steps": -1}]
)
def test_invalid_settings_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"checkpoints\.{next(iter(settings))}="):
        RunCheckpoint(monitor="val/loss", **settings)
