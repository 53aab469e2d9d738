"""`last.ckpt` and `best.ckpt`: how far a run has come, and its best epoch.

Lightning's `ModelCheckpoint` saves by epochs or by steps or by time, and writes the best epoch a second time.
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

AGREED_STEPS = 20
"""How often several processes ask each other whether to save: all have to, and the answer takes them a moment."""


class RunCheckpoint(Checkpoint):
    """Keeps both files in `<run folder>/checkpoints`, each replaced whole, and the `last.ckpt` before this one.

    At the end of an epoch, after its validation, `last.ckpt` is written, and becomes `best.ckpt` too where the epoch is
    the best so far (of equal ones the first). Inside of an epoch `last.ckpt` is written now and then, and when a signal
    asks the run to stop; from there a resumed run goes on with the very next step.

    Args:
        monitor: the metric that says which epoch is best.
        mode: whether "max" or "min" is best.
        every_minutes: how often to write inside of epochs; None for not at all.
        every_steps: likewise, in optimizer steps.
    """

    def __init__(
        self, *, monitor: str, mode: str = "max", every_minutes: float | None = None, every_steps: int | None = None
    ) -> None:
        if mode not in ("max", "min"):
            raise UserError(f"trainer.callbacks.checkpoints.mode={mode!r} is neither max nor min")
        for name, value in (("every_minutes", every_minutes), ("every_steps", every_steps)):
            if value is not None and value <= 0:
                raise UserError(f"trainer.callbacks.checkpoints.{name}={value} has to be more than 0, or None")
        self.monitor, self.mode = monitor, mode
        self.every_minutes, self.every_steps = every_minutes, every_steps
        self.best_score: float | None = None
        self._is_best = False  # whether the latest checkpoint is the best epoch's
        self._step = self._saved_step = 0
        self._saved_at_s = 0.0
        self._run = RunState()

    def join(self, run: RunState) -> None:
        """Lets the others know what is best, and takes what they want to say before a checkpoint."""
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
            # A kill between the two files leaves a `last.ckpt` that has not become `best.ckpt` yet.
            self._run.checkpoint_io.link(Path(trainer.ckpt_path), Path(trainer.default_root_dir) / BEST_CHECKPOINT)
        signals.reinstall_handlers()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # Between the batches of a step their gradients would be lost; after the last batch the epoch's end is near.
        has_stepped, self._step = trainer.global_step > self._step, trainer.global_step
        if trainer.is_last_batch or not has_stepped:
            return
        is_to_stop = _agreed(trainer, signals.exit_code() is not None)
        if is_to_stop or _agreed(trainer, self._is_due(trainer.global_step)):
            self._save(trainer)
        if is_to_stop:
            self._stop()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning gives the epoch's metrics to the loggers after this hook, and a run that resumes after its
        # checkpoint would not log them again.
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._run.record({**metrics, "epoch": trainer.current_epoch}, max(trainer.global_step - 1, 0))
        score = self._score(trainer)
        is_best = self._is_better(score)
        if is_best:
            self.best_score = score
        self._save(trainer, is_best=is_best)
        if _agreed(trainer, signals.exit_code() is not None, is_rare=True):
            self._stop()

    def _is_due(self, step: int) -> bool:
        is_by_time = self.every_minutes is not None and time.monotonic() - self._saved_at_s >= 60 * self.every_minutes
        return is_by_time or (self.every_steps is not None and step - self._saved_step >= self.every_steps)

    def _score(self, trainer: L.Trainer) -> float:
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise UserError(
                f"trainer.callbacks.checkpoints.monitor={self.monitor} is not measured; choose from {known}"
            )
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
        raise SystemExit(signals.exit_code() or 128 + signal.SIGTERM)  # by a signal to another process


def _agreed(trainer: L.Trainer, wish: bool, *, is_rare: bool = False) -> bool:
    """Whether one of the processes wishes; of several they ask each other now and then."""
    if world_size() == 1:
        return wish
    if not is_rare and trainer.global_step % AGREED_STEPS:
        return False
    return trainer.strategy.reduce_boolean_decision(wish, all=False)
