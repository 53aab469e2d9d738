"""The exception for mistakes that the user can correct, and how a command reports it."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jersey.core import distributed

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)  # the error numbers of a full disk and of an exhausted quota
# Characters that must not be printed: control characters (an escape sequence could rewrite a terminal), line and
# paragraph separators, changes of the writing direction (what follows would appear in reverse order:
# https://trojansource.codes), and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(ValueError):
    """A mistake in flags, files or data, described in one sentence: what is wrong, where, and what to do.

    Commands print it without a traceback and exit with code 2. Any other exception is a defect of jersey and keeps
    its traceback. Control characters that the sentence quotes from files are escaped.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(escape_control(sentence))


class WriteError(OSError):
    """The error of a file system that did not let a file be written, with the name of that file."""


def escape_control(text: str) -> str:
    """Returns text from files (file names, labels) as one line of valid UTF-8 that is safe to print on a terminal.

    Characters that break a line or cannot be encoded are replaced by Python's escapes.
    """
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)


def shorten(text: str) -> str:
    """Returns at most the first 80 characters of a text from the user, for an error sentence."""
    return text if len(text) <= 80 else f"{text[:77]}..."


def plural(count: int, noun: str) -> str:
    """Returns a count with its noun: "1 image", "2,000 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def summarize(names: Sequence[str], *, limit: int, separator: str = ", ") -> str:
    """Joins the first `limit` names, and adds the number of the remaining ones: "0, 00, and 7 more"."""
    rest = [f"and {len(names) - limit:,} more"] if len(names) > limit else []
    return separator.join([*names[:limit], *rest])


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turns a UserError, a failed write, a full GPU or a missing package into one line on stderr and exit code 2.

    Of several processes one prints; the others exit with the same code, even if they fail only because it has exited.
    """
    try:
        yield
    except UserError as error:
        # Fiddle adds a paragraph with all arguments to an error of a part that it builds.
        distributed.print_once(f"error: {getattr(error, 'proxy_base_exception', error)}")
        sys.exit(2)
    except Exception as error:
        if distributed.error_was_printed():
            sys.exit(2)
        if (disk := _failed_write(error)) is not None:
            sentence = _disk_sentence(disk)
        elif (gpu := next(filter(_is_gpu_out_of_memory, causes(error)), None)) is not None:
            sentence = escape_control(_gpu_sentence(gpu))
        elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("jersey"):
            sentence = (
                f"the package {error.name} is not installed; run `pip install {error.name}`, or `uv sync` in a clone"
            )
        else:
            raise
        distributed.print_once(f"error: {sentence}")
        sys.exit(2)


def full_disk(error: BaseException) -> OSError | None:
    """Returns the disk-full or quota error that caused this one (`torch.save` hides it behind another), or None."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in DISK_FULL:
            return cause
    return None


def _failed_write(error: BaseException) -> OSError | None:
    """Returns the error of a disk that caused this one, or None; only writing raises that about a read-only disk."""
    for cause in causes(error):
        if isinstance(cause, WriteError) or (isinstance(cause, OSError) and cause.errno in (*DISK_FULL, errno.EROFS)):
            return cause
    return None


def _is_gpu_out_of_memory(error: BaseException) -> bool:
    """Returns whether torch or the driver raised this error; class names are compared, to avoid an import of torch."""
    is_allocator = type(error).__module__ == "torch" and type(error).__name__ == "OutOfMemoryError"
    # The driver's error, if other processes hold all the memory before torch allocates any.
    return is_allocator or "CUDA error: out of memory" in str(error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yields the error, its cause, the cause of that, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _gpu_sentence(error: BaseException) -> str:
    """Quotes the requested and the total memory if torch's message has them, and names the remedies."""
    _, *details = str(error).partition("\n")[0].split(". ")
    why = f" ({'; '.join(details[:2])})" if details else ""
    return (
        f"the GPU is out of memory{why}; lower data.batch_size (trainer.accumulate compensates for it), "
        "data.eval_batch_size or data.size_px, or stop other programs on it, which nvidia-smi lists"
    )


def _disk_sentence(error: OSError) -> str:
    what = f"cannot write {error.filename}" if error.filename else "cannot write"
    reason, remedy = error.strerror, "make it writable"
    if error.errno in DISK_FULL:
        reason, remedy = _disk_and_reason(error), "delete files there, such as old runs and decoded crops"
    return (
        f"{what}: {reason}; {remedy}, or write to another disk (a run does with --workdir and data.cache), "
        "and repeat the command: finished files are intact"
    )


def _disk_and_reason(error: OSError) -> str:
    if not error.filename:
        return f"a disk is full ({error.strerror})"
    place = Path(os.fsdecode(error.filename)).absolute()
    disk = next(folder for folder in (place, *place.parents) if os.path.ismount(folder))
    why = "is full" if error.errno == errno.ENOSPC else "has no room left in your quota"
    return f"the disk at {disk} {why} ({shutil.disk_usage(disk).free / 1e6:,.0f} MB are free)"
