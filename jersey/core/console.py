"""What a person sees on the terminal: one line a stage, progress bars, and no warning that nobody can act on."""

import logging
import sys
import warnings

from tqdm import tqdm

from jersey.core.distributed import rank

# Remarks of libraries about their own insides, or about a choice jersey makes on purpose. Each is named, so that a
# new warning is seen.
_REMARKS = (
    r".*isinstance\(treespec, LeafSpec\).*",  # lightning on torch's pytree
    r".*does not have many workers.*",  # the crops are in memory
    r".*`tensorboardX`.*",
    r".*The number of training batches .* is smaller than the logging interval.*",  # metrics are logged once an epoch
    r".*Checkpoint directory .* exists and is not empty.*",  # that is what resuming means
    r".*sync_dist=True.*",  # what is logged has been computed from the crops of all processes
)


def set_up_console() -> None:
    """Sends jersey's log to stderr as plain lines and quiets the libraries; called once by a command.

    Of several processes rank zero speaks, as the others would say the same.
    """
    log = logging.getLogger("jersey")
    log.handlers, log.propagate = [_AboveBars()], False
    log.setLevel(logging.INFO if rank() == 0 else logging.ERROR)
    logging.getLogger().setLevel(logging.WARNING)  # absl has put its handler there, open to every library's chatter
    for library in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.ERROR)
    for remark in _REMARKS:
        warnings.filterwarnings("ignore", message=remark)


class _AboveBars(logging.Handler):
    """Writes lines to stderr without tearing progress bars; above the level of information, the level comes first."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        tqdm.write(level + self.format(record), file=sys.stderr)
