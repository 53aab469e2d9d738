"""Appends each function of a repository that this process calls to the file of an environment variable, once.

`robustness.mutation` copies this file to the root of its copy as `sitecustomize.py`, which Python imports if the root
is on its path when it starts. So the processes that a test starts are recorded too.
"""

import os
import sys
import threading
from types import FrameType

RECORD = "MUTATION_RECORD"
ROOT = os.path.dirname(__file__) + os.sep  # noqa: PTH120  # pathlib is not imported yet


def record_calls() -> None:
    """Writes lines such as `jersey/data/split.py:40`: the file and first line of a function, decorators included."""
    output = os.open(os.environ[RECORD], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    seen: set[tuple[str, int]] = set()

    def on_call(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(ROOT) and (key := (code.co_filename, code.co_firstlineno)) not in seen:
            seen.add(key)
            os.write(output, f"{key[0].removeprefix(ROOT)}:{key[1]}\n".encode())

    threading.settrace(on_call)
    sys.settrace(on_call)


if RECORD in os.environ:
    record_calls()
