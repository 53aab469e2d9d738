"""Checkpoints written in the background, from a copy, while training continues; each file appears atomically.

Writing takes as long as a short epoch. Lightning's asynchronous plugin leaves a partial file behind when it is killed,
and cannot wait for pending writes.
"""

import copy
import logging
import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from jersey.core.atomic import atomic_write
from jersey.core.errors import UserError
from jersey.runs.folder import RunFolder

log = logging.getLogger(__name__)

CHECKPOINT_FORMAT = 1  # must be raised when what a checkpoint holds under "jersey" changes its meaning
MAX_UNPACKED = 10  # times the size of a file; weights hardly compress


class BackgroundCheckpointIO(TorchCheckpointIO):
    """Lightning plugin that writes checkpoints in one thread, in the order of the calls.

    An error of that thread is raised by a later call.
    """

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

    def link(self, source: Path, target: Path) -> None:
        """Schedules a hard link, which replaces an earlier file and keeps its content when the source is replaced.

        Args:
            source: existing file; if there is none when the earlier writes are done, there is no link.
            target: path of the link.
        """
        self._pending.append(self._thread.submit(_link, source, target))

    def wait(self) -> None:
        """Waits for all pending writes, and raises the OSError of the first that failed."""
        pending, self._pending = self._pending, []
        for each in pending:
            each.result()

    def teardown(self) -> None:
        """Waits for pending writes; Lightning calls it at the end of a fit or test. A later fit uses a new thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._thread = ThreadPoolExecutor(max_workers=1)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # With a path instead of an open file, torch would hide the reason of an error.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(checkpoint, file)


def _link(source: Path, target: Path) -> None:
    if not source.exists():
        return
    with atomic_write(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            temporary.hardlink_to(source)
        except OSError:  # the file system has no hard links
            shutil.copyfile(source, temporary)


def require_known_format(recorded: Mapping[str, Any], path: Path) -> None:
    """Raises a UserError if another version of jersey wrote the checkpoint, so that it might be misread.

    Args:
        recorded: what the checkpoint holds under "jersey".
        path: path of the checkpoint, for the error.
    """
    found = recorded.get("format", CHECKPOINT_FORMAT)
    if found != CHECKPOINT_FORMAT:
        raise UserError(
            f"{path} has the checkpoint format {found!r}, and this version of jersey reads format {CHECKPOINT_FORMAT}; "
            "install the version that wrote it, which provenance.json of its run names, or use another run"
        )


def load_tensors(path: Path, *, device: str) -> Any:
    """Loads the content of a file of torch, without unpickling objects.

    Such a file is a zip archive. torch compresses none, and would unpack one of another program at any size.

    Raises:
        UserError: the path is not a file, or is an archive that would become much larger. Other errors are torch's.
    """
    if not path.is_file():  # a pipe would block
        raise UserError(f"{path} is not a file; give one that torch has saved")
    if is_zipfile(path):
        with ZipFile(path) as archive:
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
        if unpacked_bytes > MAX_UNPACKED * path.stat().st_size:
            raise UserError(f"{path} would unpack to {unpacked_bytes:,} bytes; give a file that torch has saved")
    with warnings.catch_warnings():  # what torch cannot read raises an error as well
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        return torch.load(path, map_location=device, weights_only=True)


def usable_checkpoint(folder: RunFolder) -> Path | None:
    """Returns the latest checkpoint that can be read, to resume from, or None if there is none; logs damaged ones.

    Raises:
        UserError: all checkpoints are damaged, or one has another format.
    """
    damaged = []
    for path in folder.last_checkpoints:
        if not path.exists():
            continue
        try:
            recorded = load_tensors(path, device="meta")["jersey"]
        except Exception as error:  # its type depends on the damage
            damaged.append(path.name)
            log.warning("%s is damaged and is not used (%s)", path, str(error).partition("\n")[0])
        else:
            require_known_format(recorded, path)
            return path
    if damaged:
        raise UserError(
            f"the run {folder.path} has no usable checkpoint ({' and '.join(damaged)} cannot be read); restore a copy, "
            "or remove what is damaged to train from the start"
        )
    return None
