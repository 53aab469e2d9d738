"""The trials of a search, which several processes and machines share through a file or a database. Only here is Optuna.

A process claims a trial under a lock and holds a lock of the trial while it runs. Both end with the process, so a trial
that is running in the study and has no holder was killed: another process queues it again, and its run resumes in the
same folder. Optuna's heartbeats would need a database. https://optuna.readthedocs.io
"""

import logging
import math
import os
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from jersey.core.atomic import create_folder
from jersey.core.errors import UserError
from jersey.core.locks import is_locked, try_lock
from jersey.runs.folder import LOCK, changed_lines, read_status
from jersey.runs.metrics_csv import read_metrics
from jersey.sweep.plan import Assignment
from jersey.sweep.space import Dimension
from jersey.sweep.table import VAL, read_result

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

MAX_ASKS = 20  # for values that no trial has yet
MAX_ATTEMPTS = 3  # of a trial whose process is killed, for example for its memory
STARTUP_TRIALS = 5  # finished ones before any is pruned
STARTUP_EPOCHS = 2  # of a trial, before which it is not pruned: warm-up tells little
MIN_IMPORTANCE_TRIALS = 10  # finished ones, below which importances mean little
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
RUN, ATTEMPT, TEST, REASON = "run", "attempt", "test_top1", "reason"  # what a trial records about itself


@dataclass
class Claim:
    """A trial that this process holds.

    Attributes:
        trial: trial of Optuna.
        run: name of its run folder.
        assignments: its values.
        lock: lock by which other processes know that the trial has a holder.
        is_pruned: whether its process was asked to end, because it is worse than others at the same epoch.
        reported: epochs whose value the study has.
    """

    trial: "optuna.Trial"
    run: str
    assignments: tuple[Assignment, ...]
    lock: IO[str] | None
    is_pruned: bool = False
    reported: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class TrialRow:
    """What became of a trial.

    Attributes:
        run: name of its run folder.
        state: "finished", "pruned", "failed", "running" or "waiting".
        assignments: its values.
        epochs: number of validated epochs.
        val_top1: top-1 accuracy on the validation split, of the best epoch; None without one.
        test_top1: top-1 accuracy of these weights on the test split; None if the trial has not finished.
        reason: why it has failed.
    """

    run: str
    state: str
    assignments: tuple[Assignment, ...]
    epochs: int
    val_top1: float | None
    test_top1: float | None
    reason: str


class Study:
    """The shared state of a search.

    Args:
        name: name of the study, and first part of the names of its run folders.
        parent: folder of the run folders, in which the study has the folder `<name>.search`.
        space: parameters that the search varies.
        config_text: lines `path = value` of the config that the trials change.
        trials: number of trials.
        storage: URL of a database that Optuna supports; None for a file in the study's folder.

    Raises:
        UserError: the study exists with another space or config, or its folder or storage cannot be used.
    """

    def __init__(
        self,
        name: str,
        parent: Path,
        *,
        space: Sequence[Dimension],
        config_text: str,
        trials: int,
        storage: str | None = None,
    ) -> None:
        import optuna

        self.name, self.parent, self.space, self.trials = name, parent, space, trials
        self.folder = parent / f"{name}.search"
        create_folder(self.folder, remedy="choose another --workdir or --run")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._exclusive():
            self._study = _open(name, self.folder, storage)
            self._require_same({"space": [str(each) for each in space], "config": config_text})
        self._study.sampler = optuna.samplers.TPESampler(seed=len(self._study.trials))  # processes differ in it
        self._study.pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, STARTUP_EPOCHS)

    def claim(self) -> Claim | None:
        """Returns a trial for this process; None if all are taken."""
        from optuna.trial import TrialState

        with self._exclusive():
            self._queue_killed_trials()
            trials = self._study.get_trials(deepcopy=False)
            is_queued = any(each.state == TrialState.WAITING for each in trials)
            if not is_queued and len({each.user_attrs.get(RUN) for each in trials} - {None}) >= self.trials:
                return None
            trial, assignments = self._ask({row.assignments for row in self.rows()})
            lock = try_lock(self._lock_path(trial.number))
            run = trial.user_attrs.get(RUN, f"{self.name}-{trial.number:03d}")
            trial.set_user_attr(RUN, run)
            return Claim(trial, run, assignments, lock)

    def report(self, claim: Claim) -> bool:
        """Reports the new epochs of a running trial; returns whether it should be pruned."""
        folder = self.parent / claim.run
        try:
            epochs, _ = read_metrics(folder / "metrics.csv")
            is_training = read_status(folder)["stage"] == "fit"
        except UserError:  # the run has not written them yet
            return False
        new = [(epoch, value) for epoch, value in epochs.get(VAL, ()) if epoch not in claim.reported]
        for epoch, value in new:
            claim.trial.report(value, epoch)
            claim.reported.add(epoch)
        return bool(new) and is_training and claim.trial.should_prune()

    def settle(self, claim: Claim, *, cause: str, was_killed: bool) -> TrialRow:
        """Records the outcome of a trial whose process has ended, and releases it.

        Args:
            claim: the trial.
            cause: why the run has no result, if it has none.
            was_killed: whether a signal ended the process; such a trial is queued again.
        """
        from optuna.trial import TrialState

        self.report(claim)
        result = read_result(self.parent / claim.run)
        with self._exclusive():
            if result and math.isfinite(result.val_top1):
                claim.trial.set_user_attr(TEST, result.test_top1)
                self._study.tell(claim.trial, result.val_top1)
            elif claim.is_pruned:
                self._study.tell(claim.trial, state=TrialState.PRUNED)
            else:
                claim.trial.set_user_attr(REASON, cause)
                self._fail(claim.trial.number, claim.trial.params, claim.trial.user_attrs, is_queued=was_killed)
            row = next(each for each in self.rows() if each.run == claim.run)
            self._lock_path(claim.trial.number).unlink(missing_ok=True)
        if claim.lock is not None:
            claim.lock.close()
        return row

    def rows(self) -> list[TrialRow]:
        """Returns one row for each trial, in their order; the attempts of one run are one trial."""
        last = {each.user_attrs[RUN]: each for each in self._study.get_trials(deepcopy=False) if RUN in each.user_attrs}
        return [_row(run, each, self.space) for run, each in last.items()]

    def is_done(self) -> bool:
        """Returns whether all trials have ended, in whichever process."""
        rows = self.rows()
        return len(rows) >= self.trials and not any(each.state in ("running", "waiting") for each in rows)

    def importances(self) -> dict[str, float]:
        """Returns the fraction of the variance of validation accuracy by parameter; empty if it is unknown."""
        import optuna

        if sum(each.state == "finished" for each in self.rows()) < MIN_IMPORTANCE_TRIALS:
            return {}
        fractions = optuna.importance.get_param_importances(self._study)
        return {each.name: fractions[each.path] for each in self.space if each.path in fractions}

    def _ask(self, known: Container[tuple[Assignment, ...]]) -> "tuple[optuna.Trial, tuple[Assignment, ...]]":
        """Returns a trial and its values; if possible not those of an earlier one, which would have the same result."""
        from optuna.trial import TrialState

        for asks_left in reversed(range(MAX_ASKS)):
            trial = self._study.ask()
            assignments = tuple(each.assign(trial) for each in self.space)
            if RUN in trial.user_attrs or assignments not in known or not asks_left:
                break
            self._study.tell(trial, state=TrialState.FAIL)  # without the name of a run it does not count
        return trial, assignments

    def _queue_killed_trials(self) -> None:
        from optuna.trial import TrialState

        for each in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            lock, run = self._lock_path(each.number), each.user_attrs.get(RUN)
            # A missing lock is on another machine's disk. The run of a killed search goes on for a moment, with a lock.
            if lock.exists() and not is_locked(lock) and not (run and is_locked(self.parent / run / LOCK)):
                self._fail(each.number, each.params, each.user_attrs, is_queued=run is not None)
                lock.unlink()

    def _fail(self, number: int, params: dict[str, Any], attributes: dict[str, Any], *, is_queued: bool) -> None:
        """Ends an attempt; the run gets another one if its process was killed and it has attempts left."""
        from optuna.trial import TrialState

        self._study.tell(number, state=TrialState.FAIL)
        attempt = attributes.get(ATTEMPT, 1)
        if is_queued and attempt < MAX_ATTEMPTS:
            self._study.enqueue_trial(params, user_attrs={RUN: attributes[RUN], ATTEMPT: attempt + 1})

    def _require_same(self, described: dict[str, Any]) -> None:
        recorded = self._study.user_attrs
        for name, value in described.items():
            if name not in recorded:
                self._study.set_user_attr(name, value)
        known = described | recorded
        if known["space"] != described["space"]:
            raise UserError(
                f"the study {self.folder} has another search space ({', '.join(known['space'])}); "
                "use the same --search, or choose another --run"
            )
        if known["config"] != described["config"]:
            changes = changed_lines(known["config"], described["config"])
            raise UserError(f"the study {self.folder} has another config ({changes}); choose another --run")

    def _exclusive(self) -> Any:
        from filelock import FileLock

        return FileLock(self.folder / ".lock")

    def _lock_path(self, number: int) -> Path:
        return self.folder / f"trial-{number}.lock"


def _open(name: str, folder: Path, storage: str | None) -> "optuna.Study":
    import optuna
    from optuna.storages.journal import JournalFileBackend

    journal = folder / "journal.log"
    try:
        if storage is None:
            _remove_incomplete_record(journal)
        opened: Any = storage or optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
        return optuna.create_study(study_name=name, storage=opened, direction="maximize", load_if_exists=True)
    except Exception as error:  # of a driver, an address, or a damaged file
        reason = " ".join(str(error).split())[:200]
        remedy = "check --study" if storage else "restore it, or choose another --run"
        raise UserError(
            f"the study {storage or journal} cannot be opened ({type(error).__name__}: {reason}); {remedy}"
        ) from error


def _remove_incomplete_record(journal: Path) -> None:
    """Removes a last record without its end, as a full disk leaves it: Optuna would append the next one to it."""
    from optuna.storages.journal import JournalFileSymlinkLock

    if not journal.exists():
        return
    lock = JournalFileSymlinkLock(str(journal))
    lock.acquire()
    try:
        content = journal.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            log.warning("%s ends within a record, which is removed", journal)
            os.truncate(journal, complete)
    finally:
        lock.release()


def _row(run: str, trial: "optuna.trial.FrozenTrial", space: Sequence[Dimension]) -> TrialRow:
    values = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    return TrialRow(
        run=run,
        state=STATES[trial.state.name],
        assignments=tuple(each.assignment(trial.params[each.path]) for each in space if each.path in trial.params),
        epochs=len(trial.intermediate_values),
        val_top1=trial.value if trial.state.name == "COMPLETE" else max(values, default=None),
        test_top1=trial.user_attrs.get(TEST),
        reason=trial.user_attrs.get(REASON, ""),
    )
