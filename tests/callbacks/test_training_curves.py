"""When curves are plotted, and from which data: fits of a module whose metrics are functions of the epoch."""

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.countdown import Countdown, rows_of
from helpers.small_run import PictureRecorder, trainer_in
from lightning.pytorch import Callback
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from jersey.callbacks.checkpoints import RunCheckpoint
from jersey.callbacks.training_curves import TrainingCurves
from jersey.plots.training_curves import training_curves
from jersey.runs.metrics_csv import MetricsCsv, read_metrics

LOADER: Any = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "quickstart" / "first"
    run.mkdir(parents=True)
    return run


class PlotWatcher(Callback):
    """Records at the start of each epoch whether there is a plot."""

    def __init__(self) -> None:
        self.is_plotted: list[bool] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if len(self.is_plotted) == trainer.current_epoch:
            self.is_plotted.append((Path(trainer.default_root_dir) / "curves.png").exists())


def pixels(folder: Path) -> bytes:
    return Image.open(folder / "curves.png").tobytes()


@pytest.mark.parametrize(("mode", "best_epoch", "best"), [("min", 0, 10.0), ("max", 3, 13.0)])
def test_resumed_and_tested_run_shows_all_epochs(folder: Path, mode: str, best_epoch: int, best: float) -> None:
    """The module's val/loss is 10 + epoch and its test/loss 0.5."""
    for epochs in (2, 4):
        module = Countdown()
        trainer = trainer_in(
            folder, module, TrainingCurves(), RunCheckpoint(monitor="val/loss", mode=mode), epochs=epochs
        )
        last = folder / "last.ckpt"
        trainer.fit(module, LOADER, LOADER, ckpt_path=last if last.exists() else None)
        trainer.save_checkpoint(last)
    trainer.test(module, LOADER, verbose=False)
    curves = {
        name: [(int(row["epoch"]), float(row[name])) for row in rows_of(folder)[:-1]]
        for name in ("train/loss", "val/loss")
    }
    assert curves == {"train/loss": [(e, float(e)) for e in range(4)], "val/loss": [(e, 10.0 + e) for e in range(4)]}
    assert [row["step"] for row in rows_of(folder)] == ["1", "3", "5", "7", "7"]
    title = f"quickstart/first\nbest epoch {best_epoch + 1}: val/loss {best:.4f}, test/loss 0.5000"
    expected = training_curves(curves, test={"test/loss": 0.5}, best_epoch=best_epoch, title=title)
    assert pixels(folder) == expected.tobytes()


@pytest.mark.parametrize(("interval_s", "plotted"), [(0.0, [False, True, True]), (math.inf, [False, False, False])])
def test_interval_limits_plots_and_aim_gets_those_after_training_and_test(
    folder: Path, interval_s: float, plotted: list[bool]
) -> None:
    recorder, watcher, module = PictureRecorder(folder), PlotWatcher(), Countdown()
    trainer = trainer_in(folder, module, TrainingCurves(interval_s=interval_s), watcher, recorder=recorder, epochs=3)
    trainer.fit(module, LOADER, LOADER)
    assert watcher.is_plotted == plotted
    trained = pixels(folder)
    trainer.test(module, LOADER, verbose=False)
    where = {"step": 6, "epoch": 3, "subset": None}
    assert [(name, place) for name, _, place in recorder.images] == [("curves", where)] * 2
    assert [image.tobytes() for _, image, _ in recorder.images] == [trained, pixels(folder)]
    assert trained != pixels(folder)


def test_run_that_stops_early_is_plotted(folder: Path) -> None:
    class Stops(Countdown):
        def on_train_epoch_end(self) -> None:
            super().on_train_epoch_end()
            self.trainer.should_stop = True

    module = Stops()
    trainer_in(folder, module, TrainingCurves(), epochs=9).fit(module, LOADER, LOADER)
    curves: dict[str, list[tuple[int, float]]] = {"train/loss": [(0, 0.0)], "val/loss": [(0, 10.0)]}
    assert pixels(folder) == training_curves(curves, test={}, best_epoch=None, title="quickstart/first").tobytes()


def test_first_of_equal_epochs_is_best_and_nan_is_never_best(folder: Path) -> None:
    values = [math.nan, 0.25, 0.5, 0.5, math.nan]
    for epoch, value in enumerate(values):
        MetricsCsv(run_dir=folder).log_metrics({"val/acc_top1": value, "epoch": epoch}, step=epoch)
    module = Countdown()
    trainer = trainer_in(folder, module, TrainingCurves(), RunCheckpoint(monitor="val/acc_top1", mode="max"))
    trainer.test(module, LOADER, verbose=False)
    title = "quickstart/first\nbest epoch 3: val/acc_top1 50.0 %"
    curves = {"val/acc_top1": list(enumerate(values))}
    assert pixels(folder) == training_curves(curves, test={"test/loss": 0.5}, best_epoch=2, title=title).tobytes()


def test_scores_keep_their_epoch_if_others_are_missing(tmp_path: Path) -> None:
    logger = MetricsCsv(run_dir=tmp_path)
    logger.log_metrics({"train/loss": 2.0, "epoch": 0}, step=1)
    logger.log_metrics({"train/loss": math.inf, "val/loss": 0.0, "epoch": 1}, step=3)
    logger.log_metrics({"test/loss": 0.5, "test/ece": 0.0, "epoch": 2}, step=3)
    curves, test = read_metrics(tmp_path / "metrics.csv")
    assert curves == {"train/loss": [(0, 2.0), (1, math.inf)], "val/loss": [(1, 0.0)]}
    assert test == {"test/loss": 0.5, "test/ece": 0.0}


def test_no_metrics_mean_no_plot(folder: Path) -> None:
    module = Countdown()
    trainer = trainer_in(folder, module, TrainingCurves(interval_s=0.0))
    trainer.loggers = []
    trainer.fit(module, LOADER, LOADER)
    trainer.test(module, LOADER, verbose=False)
    assert not (folder / "curves.png").exists()
