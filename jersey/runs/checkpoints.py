"""Checkpoints written beside the training, which goes on as soon as it has a copy; a file appears whole or not at all.

Writing takes as long as a short epoch. Lightning's own plugin for that leaves half a file behind when it is killed, and
has no way to wait for what is being written.
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
    """Writes in the order of the calls, in one thread; what goes wrong there is raised by a later call."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: list[Future[None]] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Copies the checkpoint, and has the copy written."""
        for each in [each for each in self._writing if each.done()]:
            self._writing.remove(each)
            each.result()
        self._writing.append(self._thread.submit(_write, copy.deepcopy(checkpoint), Path(path)))

    def link(self, path: Path, other: Path) -> None:
        """Gives the file at `path` another name too, in its turn, if it is there by then; a new `path` parts them."""
        self._writing.append(self._thread.submit(_link, path, other))

    def wait(self) -> None:
        """Returns when all is written, or raises an OSError of the first file that could not be."""
        writing, self._writing = self._writing, []
        for each in writing:
            each.result()

    def teardown(self) -> None:
        """Lightning calls this at the end of a fit and of a test; another fit may follow, and starts another thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._thread = ThreadPoolExecutor(max_workers=1)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Given a path, torch would not say what went wrong with it.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(checkpoint, file)


def _link(path: Path, other: Path) -> None:
    if not path.exists():
        return
    temporary = other.with_name(f".{other.name}.partial")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(path)
    except OSError:  # a file system without such links
        shutil.copyfile(path, temporary)
    temporary.replace(other)


def usable_checkpoint(folder: RunFolder) -> Path | None:
    """Where to go on from; a checkpoint that something has damaged is told, and the one before it taken."""
    damaged = []
    for path in folder.last_checkpoints:
        if not path.exists():
            continue
        try:
            torch.load(path, map_location="meta", weights_only=True)["jersey"]
        except Exception as error:  # as many kinds as there are damages
            damaged.append(path.name)
            log.warning("%s is damaged (%s); the checkpoint before it is taken", path, str(error).partition("\n")[0])
            continue
        return path
    if damaged:
        raise UserError(
            f"{' and '.join(damaged)} of the run {folder.path} are damaged; "
            f"remove them to train it from the start, or put back a copy"
        )
    return None
