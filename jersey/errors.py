"""The one exception that means "the user can mend this", and what a command does with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jersey import distributed
from jersey.printable import printable


class UserError(ValueError):
    """A mistake in flags, files or data: one sentence that says what, where and what to do.

    Commands print it without a traceback and exit with code 2. Anything else that is raised is a defect of jersey
    and keeps its traceback. What the sentence quotes from files cannot break the line, or speak to the terminal.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Around the body of a command: turns a UserError into one line on stderr and exit code 2.

    Of several processes one prints; the others end with the same code, also when all they saw was that it had gone.
    """
    try:
        yield
    except UserError as error:
        distributed.print_once(f"error: {error}")
        sys.exit(2)
    except Exception:
        if distributed.has_been_said():
            sys.exit(2)
        raise
