"""Aim, the experiment tracker: one run's config, labels, metrics and images, to be looked at in a browser.

The only file that knows Aim, imported on first use (it costs 3 s and 100 MB). Aim is a window, not the record:
whatever fails in it costs one warning, never the training. https://aimstack.readthedocs.io
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

from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from jersey.core.atomic import write_text
from jersey.core.labels import SPLITS
from jersey.runs.metrics_csv import PlainLogger
from jersey.runs.state import RunState
from jersey.runs.timeouts import CallTimeout, TimeoutThread

if TYPE_CHECKING:
    import aim

log = logging.getLogger("jersey")

CREATION_TIMEOUT_S = 60
TIMEOUT_S = 120  # with one call, the first one makes the repository
ROOM_BYTES = 16 * 2**20  # more than Aim holds in memory before it writes


class AimTracker(PlainLogger):
    """Lightning logger that writes fit, test and export into one Aim run, over any number of processes.

    Nothing here raises: the first failure is logged, and later calls do nothing. Other ranks than zero never write.

    Args:
        repo: the repository folder, named `.aim`; created when missing.
        experiment: groups runs in Aim, also as a tag.
        commit: of jersey's code, as `provenance.record_start` gives it; a tag, as the machine's name is.
        run_name: the run's name in Aim.
        hash_file: holds Aim's identifier of the run. If it exists that run is continued, else it is written.
        system_tracking_interval: seconds between two samples of CPU, memory and GPU use; None for no samples.
    """

    def __init__(
        self,
        *,
        repo: Path,
        experiment: str,
        run_name: str,
        hash_file: Path,
        commit: str | None = None,
        system_tracking_interval: float | None = 30,
    ) -> None:
        super().__init__()
        self._experiment, self._run_name, self._commit = experiment, run_name, commit
        self._repo, self._hash_file = repo.absolute(), hash_file
        self._system_tracking_interval = system_tracking_interval
        self._run: aim.Run | None = None
        self._patient = TimeoutThread(TIMEOUT_S)
        self._has_failed = False

    def join(self, run: RunState) -> None:
        """Gets the pictures of the callbacks."""
        run.log_image = self.log_image

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Records numbers at a step; `val/acc_top1` becomes `acc_top1` in the context `subset: val`."""
        epoch = int(metrics["epoch"]) if "epoch" in metrics else None

        def track(run: "aim.Run") -> None:
            for key, value in metrics.items():
                subset, _, name = key.partition("/")
                if subset in SPLITS:
                    run.track(value, name=name, step=step, epoch=epoch, context={"subset": subset})
                elif key != "epoch":
                    run.track(value, name=key, step=step, epoch=epoch)

        self._attempt(track)

    def log_facts(self, name: str, facts: Mapping[str, Any]) -> None:
        """Records what is known of a part of the run; Aim groups and finds runs by `run.config.optimizer.lr`."""
        self._attempt(lambda run: run.set(name, dict(facts)))

    def log_image(self, name: str, image: Image.Image, *, step: int, epoch: int, subset: str | None) -> None:
        """Records one picture of a sequence, losslessly; one of the whole run belongs to no subset."""
        context = {} if subset is None else {"subset": subset}

        def track(run: "aim.Run") -> None:
            import aim

            run.track(aim.Image(image, format="png"), name=name, step=step, epoch=epoch, context=context)

        self._attempt(track)

    def log_outcome(self, status: str, detail: str = "") -> None:
        """The last word: "finished", "failed" (detail: the traceback) or "interrupted". Until then it is "running".

        Aim's own status says "finished" of every run that has ended.
        """
        self.log_facts("outcome", {"status": status, "detail": detail})
        self.finalize(status)

    @contextmanager
    def outcome(self) -> Iterator[None]:
        """Around everything that happens in a run: records how it ended, and lets errors pass."""
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
        """Closes the run, so that everything is on disk and others may open it; the next call to log reopens it."""
        if self._run is not None:
            self._attempt(lambda run: run.close())
            self._run = None
        atexit.unregister(self.finalize)  # that would keep the tracker, and all it holds, as long as the process
        self._patient.close()

    @rank_zero_only
    def _attempt(self, action: "Callable[[aim.Run], None]") -> None:
        if self._has_failed:
            return
        try:
            self._patient.call(lambda: action(self._open_run()))
        except Exception as error:
            self._disable(error)

    def _open_run(self) -> "aim.Run":
        if self._repo.exists() and shutil.disk_usage(self._repo).free < ROOM_BYTES:
            # RocksDB would wait until there is room, and training with it as long as it has patience.
            raise OSError(errno.ENOSPC, "its disk is nearly full")
        if self._run is None:
            self._run = self._continue_or_create()
            _calm_threads(self._run, self._repo)
            # What is registered last runs first: our careful closing comes before Aim's, which could hang.
            atexit.register(self.finalize, "exit")
            self._write_tags(self._run)
        elif not self._holds(self._run.hash):
            # Writes into deleted files would succeed, and closing the run would then never return.
            raise FileNotFoundError("the repository was deleted while the run was open")
        return self._run

    def _continue_or_create(self) -> "aim.Run":
        import aim
        from filelock import FileLock

        self._repo.parent.mkdir(parents=True, exist_ok=True)
        # Of two processes that create one repository at once, one would die.
        with FileLock(f"{self._repo}.lock", timeout=CREATION_TIMEOUT_S):
            repository = aim.Repo.from_path(str(self._repo), init=not (self._repo / "VERSION").exists())
        _clean_up_at_exit()
        known = self._known_hash()
        # Forcing the lock of a killed process is safe: RocksDB below has its own lock, which dies with its process.
        logging.getLogger("aim.sdk.lock_manager").setLevel(logging.ERROR)
        return aim.Run(
            known if known and self._holds(known) else None,
            repo=repository,
            experiment=self._experiment,
            force_resume=True,
            system_tracking_interval=self._system_tracking_interval,
            log_system_params=False,  # they would hold every environment variable
            capture_terminal_logs=False,
        )

    def _write_tags(self, run: "aim.Run") -> None:
        if run.hash != self._known_hash():
            write_text(self._hash_file, run.hash)
            run.name = self._run_name
        # A run that is continued with other code or on another machine has the tags of both.
        for tag in (self._experiment, short_commit(self._commit or ""), platform.node()):
            if tag and tag not in run.tags:
                run.add_tag(tag)
        run.set("outcome", {"status": "running", "detail": ""})

    def _known_hash(self) -> str | None:
        known = self._hash_file.read_text(encoding="utf-8").strip() if self._hash_file.exists() else ""
        return known if known.isascii() and known.isalnum() else None  # it names folders; `../..` would, too

    def _holds(self, run_hash: str) -> bool:
        # Aim's `run_exists` remembers its answer for half a second, in which a run can appear.
        return (self._repo / "meta" / "chunks" / run_hash).is_dir()

    def _disable(self, error: Exception) -> None:
        self._has_failed = True
        log.warning(
            "Aim stops recording this run, everything else goes on (repository %s: %s: %s)",
            self._repo,
            type(error).__name__,
            error,
        )
        run: Any = self._run
        self._run = None
        if run is not None and not isinstance(error, CallTimeout):
            with suppress(Exception):
                self._patient.call(run._resources.close)
        _forget_cleanup()


def _calm_threads(run: Any, repo: Path) -> None:
    """Keeps Aim's threads from dying loudly when the repository is gone or full, and from bringing it back."""
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
    """Lets Aim clean up in the thread that exits; its own way starts another, which Python 3.12 refuses by then."""
    from aim.ext.cleanup import AutoClean

    atexit.unregister(AutoClean.cleanup)
    atexit.unregister(AutoClean._cleanup)
    atexit.register(AutoClean._cleanup)


def _forget_cleanup() -> None:
    """Keeps Aim from flushing into a broken repository at exit: the first error there makes the process hang."""
    with suppress(ImportError):
        from aim.ext.cleanup import AutoClean

        registered: Any = AutoClean
        for _, finalizer in list(registered._finalizers.values()):
            finalizer.detach()


def short_commit(commit: str) -> str:
    """Shortens "898edff0...-dirty" to "898edff0-dirty", as people write it; of what is no commit nothing is left."""
    sha, dash, dirty = commit.partition("-")
    return sha[:8] + dash + dirty if sha and set(sha) <= set(string.hexdigits) else ""


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turns {"a": "<AdamW>", "a.b": 1} into {"a": {"callable": "<AdamW>", "b": 1}}.

    What is no number, string, bool or None becomes its repr.
    """
    tree: dict[str, Any] = {}
    inner = {path[:index] for path in flat for index, character in enumerate(path) if character == "."}
    for path, value in flat.items():
        *parents, leaf = [*path.split("."), "callable"] if path in inner else path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = value if value is None or isinstance(value, bool | int | float | str) else repr(value)
    return tree
