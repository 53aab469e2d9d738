"""The folder of one run: its selection, its lock against a second process, its config and its status.

`runs/<experiment>/<run>/` is created once and never overwritten. `config.txt` identifies the run and `status.json` has
its stage, so the same command continues where the run stopped, and another config is rejected.
"""

import itertools
import json
import os
import platform
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from jersey.core.atomic import create_folder, write_text
from jersey.core.distributed import broadcast, rank
from jersey.core.errors import UserError, plural, shorten
from jersey.core.locks import try_lock

STATUS = "status.json"
CONFIG = "config.txt"
LOCK = ".lock"
LABELS = "labels_mapping.json"
BEST_CHECKPOINT = "checkpoints/best.ckpt"
LAST_CHECKPOINT = "checkpoints/last.ckpt"
PREVIOUS_CHECKPOINT = "checkpoints/previous.ckpt"
STAGES = ("fit", "test", "finished")  # in their order; "test" includes export and report
MAX_CHANGES = 5  # changed values that an error names


@dataclass
class RunFolder:
    """An open run, which only one process can hold and write to at a time.

    Attributes:
        path: folder of the run.
        experiment: name of the experiment.
        status: content of `status.json`: "stage", one of `STAGES`; "data_sha256" after the audit; "epochs" after the
            fit; "best_epoch" at the end.
        created: the folder and those around it, from the inside out, as far as this process has created them.
    """

    path: Path
    experiment: str
    status: dict[str, Any]
    _lock: IO[str] | None = field(repr=False)  # None in the other processes of a distributed run
    created: Sequence[Path] = ()

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stage(self) -> str:
        return self.status["stage"]

    @property
    def best_checkpoint(self) -> Path:
        return self.path / BEST_CHECKPOINT

    @property
    def last_checkpoints(self) -> tuple[Path, Path]:
        """The last checkpoint and the previous one."""
        return self.path / LAST_CHECKPOINT, self.path / PREVIOUS_CHECKPOINT

    @property
    def labels(self) -> Path:
        return self.path / LABELS

    @property
    def onnx(self) -> Path:
        return self.path / "model.onnx"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def mark_stage(self, stage: str, **metadata: Any) -> None:
        """Records that everything before `stage` is done, with metadata that a resumed run needs."""
        self.status |= {"stage": stage, **metadata}
        if self._lock is not None:
            write_text(self.path / STATUS, json.dumps(self.status, indent=2) + "\n")

    @contextmanager
    def removed_on_failed_start(self) -> Iterator[None]:
        """Removes what this process has created if a UserError ends the body before a checkpoint.

        The user will then correct the config, and the folder of another config would refuse the same `--run`.
        """
        try:
            yield
        except UserError:
            if self.created and not any(path.exists() for path in (*self.last_checkpoints, self.best_checkpoint)):
                shutil.rmtree(self.path)
                with suppress(OSError):  # the folder has other runs
                    for parent in self.created[1:]:
                        parent.rmdir()
            raise


def open_run(workdir: Path, experiment: str, name: str | None, *, config_files: Mapping[str, str]) -> RunFolder:
    """Opens a new run, or continues an unfinished one of the same config; rank zero does so for all processes.

    Args:
        workdir: folder of all runs.
        experiment: name of the experiment.
        name: name of the run; None continues the latest unfinished run with this config, or starts one named by the
            time.
        config_files: texts that a new run stores about its config, by file name; "config.txt" identifies the run.

    Raises:
        UserError: the named run has another config, or is in use by another process, or is on a disk that a process
            does not see.
    """
    run = _acquire(workdir, experiment, name, config_files) if rank() == 0 else None
    path, status = broadcast((run.path.absolute(), run.status) if run else (workdir, {}))
    if run:
        return run
    if not (path / CONFIG).exists():
        raise UserError(f"{platform.node()} does not see {path}; choose a --workdir on a disk that all machines share")
    return RunFolder(path, experiment, status, None)


def _acquire(workdir: Path, experiment: str, name: str | None, config_files: Mapping[str, str]) -> RunFolder:
    parent = workdir / experiment
    if name is None:
        for path in sorted(parent.glob(f"*/{CONFIG}"), reverse=True):
            if read_config(path.parent) == config_files[CONFIG]:
                run = _open(path.parent, experiment)
                if run is not None and run.stage != "finished":
                    return run
        name = _unused_name(parent)
    else:
        require_run_name(name)
    return _open_named(parent / name, experiment, config_files)


def require_run_name(name: str) -> None:
    """Raises a UserError unless `name` can be the name of a folder, or the first part of one."""
    if not name or not name.isprintable() or Path(name).name != name or name.startswith("."):
        raise UserError(f"--run={shorten(name)} is not a plain folder name; use letters and digits, as in --run=first")


def _unused_name(parent: Path) -> str:
    name = datetime.now().strftime("%Y%m%d-%H%M%S")
    unused, count = name, 1
    while (parent / unused).exists():
        count += 1
        unused = f"{name}-{count}"
    return unused


def _open_named(path: Path, experiment: str, config_files: Mapping[str, str]) -> RunFolder:
    created = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    create_folder(path, remedy="choose another --workdir or --run")
    run = _open(path, experiment)
    if run is None:
        raise UserError(f"the run {path} is in use by another process; wait for it or choose another --run")
    if not (path / CONFIG).exists():
        run.created = created
        # The file that identifies the run is written last, so that a run with it has all of them.
        for name in sorted(config_files, key=lambda name: name == CONFIG):
            write_text(path / name, config_files[name])
        run.mark_stage("fit")
    elif difference := changed_lines(read_config(path), config_files[CONFIG]):
        remedy = _continuation(run, config_files[CONFIG]) or "choose another --run, or use the same config"
        raise UserError(f"the run {path} has another config ({difference}); {remedy}")
    return run


def _continuation(run: RunFolder, config: str) -> str | None:
    """Returns how to go on from a finished run whose config differs in more epochs only; None for any other.

    A schedule spans all epochs of its run, so more epochs are another run, which starts from the weights of this one.
    """
    before, now = _values(read_config(run.path)), _values(config)
    epochs, weights = "trainer.epochs", "module.network.weights"
    if run.stage != "finished" or weights not in now or {**before, epochs: ""} != {**now, epochs: ""}:
        return None
    more = int(now.get(epochs, 0)) - int(before.get(epochs, 0))
    if more <= 0:
        return None
    numbers = (number for number in itertools.count(2) if not run.path.with_name(f"{run.name}-{number}").exists())
    flags = [f"--run={run.name}-{next(numbers)}", f"--fdl_set={weights}={run.path}", f"--fdl_set={epochs}={more}"]
    return f"to train {plural(more, 'more epoch')} from its weights, as it is finished, add {shlex.join(flags)}"


def _open(path: Path, experiment: str) -> RunFolder | None:
    """Returns the run in an existing folder, or None if another process holds it."""
    lock = try_lock(path / LOCK)
    if lock is None:
        return None
    status = read_status(path) if (path / STATUS).exists() else {"stage": "fit"}
    return RunFolder(path, experiment, status, lock)


def read_config(path: Path) -> str:
    """Returns the flat print of the config in the run folder `path`; raises a UserError if it cannot be read."""
    return _read(path / CONFIG)


def read_status(path: Path) -> dict[str, Any]:
    """Returns the status in the run folder `path`; raises a UserError if it was not written by a run."""
    status = _read(path / STATUS, json.loads)
    if not _is_status(status):
        raise UserError(f"{path / STATUS} was not written by a run, or is damaged; restore it, or move the folder away")
    return status


def _read(file: Path, parse: Callable[[str], Any] = str) -> Any:
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {file} ({error}); restore it, or move the folder away") from None


def _is_status(status: Any) -> bool:
    if not isinstance(status, dict) or status.get("stage") not in STAGES:
        return False
    counts = [status[name] for name in ("epochs", "best_epoch") if name in status]
    is_complete = status["stage"] != "test" or "epochs" in status
    return is_complete and all(type(count) is int and count >= 0 for count in counts)  # -1 epochs would be no limit


def changed_lines(old: str, new: str) -> str:
    """Describes the lines `path = value` that differ between two flat prints; returns "" if there are none."""
    before, now = _values(old), _values(new)
    paths = [path for path in before | now if before.get(path) != now.get(path)]
    changes = [f"{path} was {before.get(path, 'not set')}, now {now.get(path, 'not set')}" for path in paths]
    rest = [f"and {len(changes) - MAX_CHANGES} more"] if len(changes) > MAX_CHANGES else []
    return "; ".join(changes[:MAX_CHANGES] + rest)


def _values(flat_print: str) -> dict[str, str]:
    parts = (line.partition(" = ") for line in flat_print.splitlines())
    return {path: value for path, _, value in parts}
