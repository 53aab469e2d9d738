"""Checkpoints written in the background, from a copy, while training continues; each file appears atomically.

Writing takes as long as a short epoch. Lightning's asynchronous plugin leaves a partial file behind when it is killed,
and cannot wait for pending writes.
"""

import copy
import logging
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from jersey.core.atomic import atomic_write
from jersey.core.errors import UserError
from jersey.runs.folder import RunFolder

log = logging.getLogger(__name__)


class BackgroundCheckpointIO(TorchCheckpointIO):
    """Writes in the order of the calls, in one thread, whose errors are raised by a later call."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: list[Future[None]] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Copies the checkpoint and schedules the write of the copy."""
        for each in [each for each in self._pending if each.done()]:
            self._pending.remove(each)
            each.result()
        self._pending.append(self._thread.submit(_write, copy.deepcopy(checkpoint), Path(path)))

    def link(self, path: Path, other: Path) -> None:
        """Schedules a hard link `other` to the file at `path`, if it exists by then; replacing `path` keeps it."""
        self._pending.append(self._thread.submit(_link, path, other))

    def wait(self) -> None:
        """Waits for all pending writes, and raises the OSError of the first that failed."""
        pending, self._pending = self._pending, []
        for each in pending:
            each.result()

    def teardown(self) -> None:
        """Waits for pending writes at the end of a fit or test, as Lightning asks; a later fit uses a new thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._thread = ThreadPoolExecutor(max_workers=1)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Given a path, torch would hide the reason of an error.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(checkpoint, file)


def _link(path: Path, other: Path) -> None:
    if not path.exists():
        return
    temporary = other.with_name(f".{other.name}.partial")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(path)
    except OSError:  # the file system has no hard links
        shutil.copyfile(path, temporary)
    temporary.replace(other)


def usable_checkpoint(folder: RunFolder) -> Path | None:
    """Returns the checkpoint to resume from, None for none; a damaged one is logged, and the previous one is used.

    Raises:
        UserError: all checkpoints are damaged.
    """
    damaged = []
    for path in folder.last_checkpoints:
        if not path.exists():
            continue
        try:
            torch.load(path, map_location="meta", weights_only=True)["jersey"]
        except Exception as error:  # its type depends on the damage
            damaged.append(path.name)
            log.warning("%s is damaged (%s); the previous checkpoint is used", path, str(error).partition("\n")[0])
            continue
        return path
    if damaged:
        raise UserError(
            f"{' and '.join(damaged)} of the run {folder.path} are damaged; "
            f"remove them to train it from the start, or restore a copy"
        )
    return None
