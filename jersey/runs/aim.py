"""Aim, the experiment tracker, which shows the config, labels, metrics and images of runs in a browser.

Only this file uses Aim. It is imported on first use, because that takes 3 s and 100 MB. The run folder, not Aim, is the
record: a failure in Aim causes one warning and never stops training. https://aimstack.readthedocs.io
"""

import atexit
import errno
import logging
import platform
import shutil
import string
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from jersey.core.atomic import write_text
from jersey.core.labels import SPLITS
from jersey.runs.metrics_csv import PlainLogger
from jersey.runs.provenance import Origin
from jersey.runs.state import RunState
from jersey.runs.timeouts import CallTimeout, TimeoutThread

if TYPE_CHECKING:
    import aim

log = logging.getLogger("jersey")

CREATION_TIMEOUT_S = 60  # of the wait for other processes that create or open the repository
TIMEOUT_S = 120  # of one call; the first call creates the repository
MIN_FREE_BYTES = 16 * 2**20  # more than Aim buffers in memory before it writes


class AimTracker(PlainLogger):
    """Lightning logger that writes fit, test and export to one Aim run, also when several processes write in turn.

    No method raises: the first failure is logged, and later calls do nothing. Only rank zero writes.

    Args:
        repo: repository folder, named `.aim`; created if missing.
        experiment: name of the experiment, by which Aim groups runs; also a tag.
        run_name: name of the run in Aim.
        hash_file: file with Aim's identifier of the run. If it exists that run is continued, else it is written.
        origin: code of the run, whose commits are tags, like the machine's name.
        description: text about the run, which Aim shows beside its name.
        system_tracking_interval: seconds between two samples of CPU, memory and GPU usage; None for no samples.
    """

    def __init__(
        self,
        *,
        repo: Path,
        experiment: str,
        run_name: str,
        hash_file: Path,
        origin: Origin | None = None,
        description: str = "",
        system_tracking_interval: float | None = 30,
    ) -> None:
        super().__init__()
        self._experiment, self._run_name, self._origin = experiment, run_name, origin or Origin()
        self._description = description
        self._repo, self._hash_file = repo.absolute(), hash_file
        self._system_tracking_interval = system_tracking_interval
        self._run: aim.Run | None = None
        self._timeout_thread = TimeoutThread(TIMEOUT_S)
        self._has_failed = False

    def join(self, run: RunState) -> None:
        """Receives images, texts and metrics by step of the callbacks."""
        run.log_image, run.log_text, run.log_step = self.log_image, self.log_text, self.log_metrics
        run.log_distribution = self.log_distribution

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Records metrics at a step; `val/acc_top1` becomes `acc_top1` in the context `subset: val`.

        The metrics of the test become metadata, `run.test.acc_top1`, because a curve of one point is hard to read.
        """
        epoch = int(metrics["epoch"]) if "epoch" in metrics else None
        if tested := {key.removeprefix("test/"): value for key, value in metrics.items() if key.startswith("test/")}:
            self.log_metadata("test", {name: float(value) for name, value in tested.items()})
            return

        def track(run: "aim.Run") -> None:
            for key, value in metrics.items():
                subset, _, name = key.partition("/")
                if subset in SPLITS:
                    run.track(value, name=name, step=step, epoch=epoch, context={"subset": subset})
                elif key != "epoch":
                    run.track(value, name=key, step=step, epoch=epoch)

        self._attempt(track)

    def log_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Records metadata of the run, by which Aim groups and finds runs, such as `run.config.optimizer.lr`."""
        self._attempt(lambda run: run.set(name, dict(metadata)))

    def log_text(self, name: str, text: str) -> None:
        """Records a text of the run."""

        def track(run: "aim.Run") -> None:
            import aim

            run.track(aim.Text(text), name=name)

        self._attempt(track)

    def log_distribution(
        self, name: str, counts_B: np.ndarray, *, low: float, high: float, step: int, epoch: int, subset: str | None
    ) -> None:
        """Records a histogram of a sequence.

        Args:
            name: name of the sequence.
            counts_B: number of values in each of B <= 512 equally wide bins.
            low: lower edge of the first bin.
            high: upper edge of the last bin.
            step: optimizer step.
            epoch: epoch of the step.
            subset: split that it describes; None for the whole run.
        """
        context = {} if subset is None else {"subset": subset}

        def track(run: "aim.Run") -> None:
            import aim

            distribution = aim.Distribution(hist=counts_B, bin_range=(low, high))
            run.track(distribution, name=name, step=step, epoch=epoch, context=context)

        self._attempt(track)

    def log_image(self, name: str, image: Image.Image, *, step: int, epoch: int | None, subset: str | None) -> None:
        """Records one image of a sequence, losslessly.

        Args:
            name: name of the sequence.
            image: image of this step.
            step: optimizer step.
            epoch: epoch of the step; None if training has ended.
            subset: split that the image shows; None for the whole run.
        """
        context = {} if subset is None else {"subset": subset}

        def track(run: "aim.Run") -> None:
            import aim

            run.track(aim.Image(image, format="png"), name=name, step=step, epoch=epoch, context=context)

        self._attempt(track)

    def log_outcome(self, status: str, detail: str = "") -> None:
        """Records how the run ended, and closes it; Aim's own status is "finished" for every run that has ended.

        Args:
            status: "finished", "failed" or "interrupted"; an open run has "running".
            detail: traceback of a failure.
        """
        self.log_metadata("outcome", {"status": status, "detail": detail})
        self.finalize(status)

    @contextmanager
    def outcome(self) -> Iterator[None]:
        """Records how the enclosed run ended, and re-raises its errors."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self.log_outcome("interrupted")
            raise
        except BaseException:
            self.log_outcome("failed", traceback.format_exc())
            raise
        self.log_outcome("finished")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Closes the run, so that its data is on disk and others can open it; the next call to log reopens it."""
        if self._run is not None:
            self._attempt(lambda run: run.close())
            self._run = None
        atexit.unregister(self.finalize)  # otherwise the tracker would live as long as the process
        self._timeout_thread.close()

    @rank_zero_only
    def _attempt(self, action: "Callable[[aim.Run], None]") -> None:
        if self._has_failed:
            return
        try:
            self._timeout_thread.call(lambda: action(self._open_run()))
        except Exception as error:
            self._disable(error)

    def _open_run(self) -> "aim.Run":
        if self._repo.exists() and shutil.disk_usage(self._repo).free < MIN_FREE_BYTES:
            # RocksDB would wait for free space, and training would wait with it until the timeout.
            raise OSError(errno.ENOSPC, "its disk is nearly full")
        if self._run is None:
            self._run = self._continue_or_create()
            _silence_threads(self._run, self._repo)
            # The last registered function runs first at exit. `finalize` has a timeout; Aim's own closing could hang.
            atexit.register(self.finalize, "exit")
            self._write_tags(self._run)
        elif not self._exists(self._run.hash):
            # Writes to deleted files would succeed, and closing the run would then never return.
            raise FileNotFoundError("the repository was deleted while the run was open")
        return self._run

    def _continue_or_create(self) -> "aim.Run":
        import aim
        from filelock import FileLock

        self._repo.parent.mkdir(parents=True, exist_ok=True)
        # If two processes created a repository at once, one of them would fail.
        with FileLock(f"{self._repo}.lock", timeout=CREATION_TIMEOUT_S):
            repository = aim.Repo.from_path(str(self._repo), init=not (self._repo / "VERSION").exists())
        _clean_up_at_exit()
        known_hash = self._read_hash()
        # Forcing the lock of a killed process is safe: RocksDB has a lock of its own, which ends with its process.
        logging.getLogger("aim.sdk.lock_manager").setLevel(logging.ERROR)
        return aim.Run(
            known_hash if known_hash and self._exists(known_hash) else None,
            repo=repository,
            experiment=self._experiment,
            force_resume=True,
            system_tracking_interval=self._system_tracking_interval,
            log_system_params=False,  # they would include every environment variable
            capture_terminal_logs=False,
        )

    def _write_tags(self, run: "aim.Run") -> None:
        if run.hash != self._read_hash():
            write_text(self._hash_file, run.hash)
            run.name = self._run_name
            run.description = self._description
        # A run that continues with other code or on another machine gets the tags of both.
        commits = short_commit(self._origin.commit), short_commit(self._origin.user_commit)
        for tag in (self._experiment, *commits, platform.node()):
            if tag and tag not in run.tags:
                run.add_tag(tag)
        run.set("outcome", {"status": "running", "detail": ""})

    def _read_hash(self) -> str | None:
        text = self._hash_file.read_text(encoding="utf-8").strip() if self._hash_file.exists() else ""
        return text if text.isascii() and text.isalnum() else None  # it is a folder name, so `../..` is not allowed

    def _exists(self, run_hash: str) -> bool:
        # Aim's `run_exists` caches its result for half a second, in which a run can appear.
        return (self._repo / "meta" / "chunks" / run_hash).is_dir()

    def _disable(self, error: Exception) -> None:
        self._has_failed = True
        log.warning(
            "Aim stops recording this run; everything else continues (repository %s: %s: %s)",
            self._repo,
            type(error).__name__,
            error,
        )
        run: Any = self._run
        self._run = None
        if run is not None and not isinstance(error, CallTimeout):
            with suppress(Exception):
                self._timeout_thread.call(run._resources.close)
        _forget_cleanup()


def _silence_threads(run: Any, repo: Path) -> None:
    """Prevents Aim's threads from printing tracebacks if the repository is deleted or full, and from recreating it."""
    files, sampler = run._checkins.file_manager, run._system_resource_tracker
    touch = files.touch

    def touch_if_possible(*args: Any, **kwargs: Any) -> None:
        if (repo / "VERSION").exists():
            with suppress(OSError):
                touch(*args, **kwargs)

    files.touch = touch_if_possible
    run._heartbeat.touch_path = None
    if sampler is not None:
        track = sampler._track

        def track_if_possible(sample: Any) -> None:
            with suppress(Exception):
                track(sample)

        sampler._track = track_if_possible


def _clean_up_at_exit() -> None:
    """Makes Aim clean up in the exiting thread; by default it starts another, which Python 3.12 no longer allows."""
    from aim.ext.cleanup import AutoClean

    atexit.unregister(AutoClean.cleanup)
    atexit.unregister(AutoClean._cleanup)
    atexit.register(AutoClean._cleanup)


def _forget_cleanup() -> None:
    """Prevents Aim from flushing to a broken repository at exit, where the first error would hang the process."""
    with suppress(ImportError):
        from aim.ext.cleanup import AutoClean

        registered: Any = AutoClean
        for _, finalizer in list(registered._finalizers.values()):
            finalizer.detach()


def short_commit(commit: str) -> str:
    """Shortens "898edff0...-dirty" to "898edff0-dirty"; returns "" for anything but a commit."""
    sha, dash, dirty = commit.partition("-")
    return sha[:8] + dash + dirty if sha and set(sha) <= set(string.hexdigits) else ""


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turns {"a": "<AdamW>", "a.b": 1} into {"a": {"callable": "<AdamW>", "b": 1}}.

    Numbers, strings, bools and None keep their type, tuples become lists, and other values are replaced by their repr.
    """
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        has_arguments = any(other.startswith(f"{path}.") for other in flat)
        *parents, leaf = f"{path}.callable".split(".") if has_arguments else path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = _stored(value)
    return tree


def _stored(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_stored(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
