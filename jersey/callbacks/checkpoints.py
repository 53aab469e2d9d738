"""Checkpoints of a run: `last.ckpt` has its latest state, and `best.ckpt` its best epoch.

Lightning's `ModelCheckpoint` saves by only one of epochs, steps and time, and writes the best epoch twice.
"""

import math
import signal
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from jersey.core.distributed import world_size
from jersey.core.errors import UserError
from jersey.runs import signals
from jersey.runs.folder import BEST_CHECKPOINT, LAST_CHECKPOINT, PREVIOUS_CHECKPOINT
from jersey.runs.state import RunState

SYNC_STEPS = 20
"""The interval, in steps, at which several processes agree on whether to save or stop; agreeing takes communication."""


class RunCheckpoint(Checkpoint):
    """Writes `last.ckpt`, `previous.ckpt` and `best.ckpt` in `<run folder>/checkpoints`, each atomically.

    At the end of an epoch, after its validation, `last.ckpt` is written, and becomes `best.ckpt` too if the epoch is
    the best so far (the first of equal ones). Inside an epoch `last.ckpt` is written at an interval, and when a signal
    asks the run to stop; a resumed run continues with the next step.

    Args:
        monitor: name of the metric that selects the best epoch.
        mode: whether the "max" or the "min" of the metric is best.
        every_minutes: interval of `last.ckpt` inside epochs, in minutes; None for none.
        every_steps: interval of `last.ckpt` inside epochs, in optimizer steps; None for none.

    Raises:
        UserError: the mode is unknown, or an interval is not positive.
    """

    def __init__(
        self, *, monitor: str, mode: str = "max", every_minutes: float | None = None, every_steps: int | None = None
    ) -> None:
        if mode not in ("max", "min"):
            raise UserError(f"trainer.callbacks.checkpoints.mode={mode!r} is unknown; choose max or min")
        for name, value in (("every_minutes", every_minutes), ("every_steps", every_steps)):
            if value is not None and value <= 0:
                raise UserError(f"trainer.callbacks.checkpoints.{name}={value} must be positive, or None")
        self.monitor, self.mode = monitor, mode
        self.every_minutes, self.every_steps = every_minutes, every_steps
        self.best_score: float | None = None
        self._is_best = False  # whether `last.ckpt` is from the best epoch
        self._step = self._saved_step = 0
        self._saved_at_s = 0.0
        self._run = RunState()

    def join(self, run: RunState) -> None:
        """Shares the monitored metric, and takes the functions that other parts want called before a checkpoint."""
        self._run = run
        run.monitor, run.mode = self.monitor, self.mode

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "is_best": self._is_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score, self._is_best = state_dict["best_score"], state_dict["is_best"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._step = self._saved_step = trainer.global_step
        self._saved_at_s = time.monotonic()
        if self._is_best and trainer.ckpt_path and trainer.is_global_zero:
            # After a kill between the two writes, `last.ckpt` has not become `best.ckpt` yet.
            self._run.checkpoint_io.link(Path(trainer.ckpt_path), Path(trainer.default_root_dir) / BEST_CHECKPOINT)
        signals.reinstall_handlers()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # Saving between the batches of one step would lose gradients; the last batch is followed by the epoch's end.
        has_stepped, self._step = trainer.global_step > self._step, trainer.global_step
        if trainer.is_last_batch or not has_stepped:
            return
        must_stop = _agree(trainer, signals.exit_code() is not None)
        if must_stop or _agree(trainer, self._is_due(trainer.global_step)):
            self._save(trainer)
        if must_stop:
            self._stop()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning logs the epoch's metrics after this hook, and a run that resumes from its checkpoint would not log
        # them again.
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._run.record({**metrics, "epoch": trainer.current_epoch}, max(trainer.global_step - 1, 0))
        score = self._score(trainer)
        is_best = self._is_better(score)
        if is_best:
            self.best_score = score
        self._save(trainer, is_best=is_best)
        if _agree(trainer, signals.exit_code() is not None, is_epoch_end=True):
            self._stop()

    def _is_due(self, step: int) -> bool:
        is_time_due = self.every_minutes is not None and time.monotonic() - self._saved_at_s >= 60 * self.every_minutes
        return is_time_due or (self.every_steps is not None and step - self._saved_step >= self.every_steps)

    def _score(self, trainer: L.Trainer) -> float:
        if self.monitor not in trainer.callback_metrics:
            names = ", ".join(sorted(trainer.callback_metrics))
            raise UserError(f"trainer.callbacks.checkpoints.monitor={self.monitor} is not logged; choose from {names}")
        return float(trainer.callback_metrics[self.monitor])

    def _is_better(self, score: float) -> bool:
        if self.best_score is None or math.isnan(self.best_score):
            return True
        return score > self.best_score if self.mode == "max" else score < self.best_score

    def _save(self, trainer: L.Trainer, *, is_best: bool = False) -> None:
        if self._run.is_loss_broken(trainer):
            return
        folder = Path(trainer.default_root_dir)
        last, self._is_best = folder / LAST_CHECKPOINT, is_best
        if trainer.is_global_zero:
            self._run.checkpoint_io.link(last, folder / PREVIOUS_CHECKPOINT)
        trainer.save_checkpoint(last)
        if is_best and trainer.is_global_zero:
            self._run.checkpoint_io.link(last, folder / BEST_CHECKPOINT)
        self._saved_step, self._saved_at_s = trainer.global_step, time.monotonic()

    def _stop(self) -> None:
        self._run.checkpoint_io.wait()
        raise SystemExit(signals.exit_code() or 128 + signal.SIGTERM)  # without a code, another process got the signal


def _agree(trainer: L.Trainer, request: bool, *, is_epoch_end: bool = False) -> bool:
    """Returns whether any process has the request; inside an epoch several agree only every `SYNC_STEPS` steps."""
    if world_size() == 1:
        return request
    if not is_epoch_end and trainer.global_step % SYNC_STEPS:
        return False
    return trainer.strategy.reduce_boolean_decision(request, all=False)
