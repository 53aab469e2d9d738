"""The one exception that means "the user can mend this", and what a command does with it."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jersey.core import distributed

FULL = (errno.ENOSPC, errno.EDQUOT)
# Control characters (an escape sequence could rewrite a terminal), line and paragraph separators, halves of surrogates.
_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UserError(ValueError):
    """A mistake in flags, files or data: one sentence that says what, where and what to do.

    Commands print it without a traceback and exit with code 2. Anything else that is raised is a defect of jersey
    and keeps its traceback. What the sentence quotes from files cannot break the line, or speak to the terminal.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(escape_control(sentence))


def escape_control(text: str) -> str:
    """Returns text from files (names of files, labels) on one line of valid UTF-8, safe to print on a terminal.

    Characters that break a line or cannot be encoded are written as Python escapes them.
    """
    return _BREAKING.sub(lambda found: ascii(found[0])[1:-1], text)


def shorten(text: str) -> str:
    """Returns text from the user for an error sentence: at most 80 characters of it."""
    return text if len(text) <= 80 else f"{text[:77]}..."


def summarize(names: Sequence[str], *, most: int, separator: str = ", ") -> str:
    """The first of the names, and how many more there are."""
    rest = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return separator.join([*names[:most], *rest])


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Around the body of a command: turns a UserError, a full disk or GPU into one line on stderr and exit code 2.

    Of several processes one prints; the others end with the same code, also when all they saw was that it had gone.
    """
    try:
        yield
    except UserError as error:
        distributed.print_once(f"error: {error}")
        sys.exit(2)
    except Exception as error:
        if distributed.has_been_said():
            sys.exit(2)
        if (disk := full_disk(error)) is not None:
            sentence = _sentence(disk)
        elif (gpu := next(filter(_is_of_full_gpu, _causes(error)), None)) is not None:
            sentence = escape_control(_sentence_of_gpu(gpu))
        else:
            raise
        distributed.print_once(f"error: {sentence}")
        sys.exit(2)


def full_disk(error: BaseException) -> OSError | None:
    """The error of a disk or a quota without room that has led to this one; `torch.save` raises another after it."""
    causes = (each for each in _causes(error) if isinstance(each, OSError) and each.errno in FULL)
    return next(causes, None)


def _is_of_full_gpu(error: BaseException) -> bool:
    """Known by its name, as torch is not imported for it."""
    is_allocator = type(error).__module__ == "torch" and type(error).__name__ == "OutOfMemoryError"
    # The driver's own, where others have taken the memory before torch has got any.
    return is_allocator or "CUDA error: out of memory" in str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what has led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _sentence_of_gpu(error: BaseException) -> str:
    """Says how much was wanted of how much, as far as torch tells it, and what can be done."""
    _, *told = str(error).partition("\n")[0].split(". ")
    why = f" ({'; '.join(told[:2])})" if told else ""
    return (
        f"the GPU is out of memory{why}; lower data.batch_size, for which trainer.accumulate can make up, "
        "data.eval_batch_size or data.size_px, or end what else runs on it, which nvidia-smi lists"
    )


def _sentence(error: OSError) -> str:
    """Says what was to be written, which disk has no room for it, and what can be done."""
    what = f"cannot write {error.filename}" if error.filename else "cannot write"
    return (
        f"{what}: {_place(error)}; remove from it what you can spare, such as old runs and decoded crops, or write to "
        "another with --workdir and data.cache, and give the same command again: no finished file was harmed"
    )


def _place(error: OSError) -> str:
    """Which disk has no room, as far as the error says."""
    if not error.filename:
        return f"a disk is full ({error.strerror})"
    place = Path(os.fsdecode(error.filename)).absolute()
    disk = next(folder for folder in (place, *place.parents) if os.path.ismount(folder))
    why = "is full" if error.errno == errno.ENOSPC else "gives you no more room, your quota is used up"
    return f"the disk at {disk} {why} ({shutil.disk_usage(disk).free / 1e6:,.0f} MB are free)"
