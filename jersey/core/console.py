"""Terminal output: one log line per stage, progress bars, and no warning that the user cannot act on."""

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from jersey.core.distributed import rank

# Warnings of libraries about their internals or about a deliberate choice of jersey. Each is listed here, so that a
# new warning is shown.
_IGNORED_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).*",  # Lightning uses an old function of torch's pytree
    r".*does not have many workers.*",  # the crops are in memory
    r".*`tensorboardX`.*",  # no run logs to TensorBoard
    r".*The number of training batches .* is smaller than the logging interval.*",  # metrics are logged once per epoch
    r".*Checkpoint directory .* exists and is not empty.*",  # a resumed run continues in its folder
    r".*sync_dist=True.*",  # logged values cover the crops of all processes
)


def set_up_console() -> None:
    """Sends jersey's log to stderr as plain lines and silences the libraries; a command calls it once.

    Of several processes only rank zero logs, because the others would log the same lines.
    """
    log = logging.getLogger("jersey")
    log.handlers, log.propagate = [_TqdmHandler()], False
    log.setLevel(logging.INFO if rank() == 0 else logging.ERROR)
    logging.getLogger().setLevel(logging.WARNING)  # absl's handler there prints the log of every library
    for library in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.ERROR)
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def escape_missing_characters() -> None:
    """Lets stdout escape characters that the terminal lacks, such as those of a file name, instead of raising."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Yields a list to which each warning of jersey's log is added while the body runs."""
    handler = _ListHandler(logging.WARNING)
    log = logging.getLogger("jersey")
    log.addHandler(handler)
    try:
        yield handler.messages
    finally:
        log.removeHandler(handler)


class _ListHandler(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class _TqdmHandler(logging.Handler):
    """Writes lines to stderr without breaking progress bars; above INFO, the line starts with the level."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        tqdm.write(level + self.format(record), file=sys.stderr)
