"""Training curves, plotted from `metrics.csv`, so that a resumed run shows all its epochs."""

import math
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from jersey.callbacks.base import module_of, save, track
from jersey.evaluation.metrics import metric_text
from jersey.plots.training_curves import training_curves
from jersey.runs.metrics_csv import Curves, read_metrics, read_rates


class TrainingCurves(Callback):
    """Writes `curves.png`: losses, top-1, macro scores and learning rates of `metrics.csv`, and the test scores.

    The plot is updated at an interval during training. At the end of training and after the test it is also added to
    Aim. The best epoch is that of the metric which the checkpoint callback monitors.

    Args:
        interval_s: minimum time between two plots during training, in seconds; a plot takes half a second.
    """

    def __init__(self, *, interval_s: float = 60.0) -> None:
        self.interval_s = interval_s
        self._plotted_at_s = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._plotted_at_s = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The row of an epoch is complete only when the next epoch starts.
        if time.monotonic() - self._plotted_at_s >= self.interval_s:
            self._plot(trainer, pl_module, is_final=False)
            self._plotted_at_s = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._plot(trainer, pl_module, is_final=True)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._plot(trainer, pl_module, is_final=True)

    @rank_zero_only
    def _plot(self, trainer: Trainer, module: LightningModule, *, is_final: bool) -> None:
        folder = Path(trainer.default_root_dir)
        curves, test = read_metrics(folder / "metrics.csv")
        if not curves:
            return
        run = module_of(module).run_state
        monitor, best_epoch = run.monitor, _best_epoch(curves, run.monitor, run.mode)
        title = f"{folder.parent.name}/{folder.name}"
        if best_epoch is not None:
            best = metric_text(monitor, dict(curves[monitor])[best_epoch])
            title += f"\nbest epoch {best_epoch + 1}: {monitor} {best}"
        if (test_metric := monitor.replace("val/", "test/", 1)) in test:
            title += f", {test_metric} {metric_text(test_metric, test[test_metric])}"
        image = training_curves(curves, test=test, best_epoch=best_epoch, title=title, rates_by_step=read_rates(folder))
        save(trainer, image, "curves")
        if is_final:
            track(trainer, module, image, "curves", step=trainer.global_step)


def _best_epoch(curves: Curves, monitor: str, mode: str) -> int | None:
    sign = 1 if mode == "max" else -1
    points = [(sign * score, -epoch) for epoch, score in curves.get(monitor, ()) if not math.isnan(score)]
    return -max(points)[1] if points else None  # the first of equal epochs
