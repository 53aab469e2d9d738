"""The real `launch.py` as a process of its own, forked from one that has imported torch and Lightning already.

Importing them takes longer than most of what the tests want to see. `launch.py` itself, its flags and its exit are as
in a fresh process; `tests/test_launch.py` and `tests/test_readme.py` also start fresh ones.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LAUNCH = Path(__file__).parent.parent / "launch.py"

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["experiments", "jersey.config.commands", "onnxscript", "onnxruntime"])


def launched(flags: Sequence[str], cwd: Path, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """What `python launch.py FLAGS` says and how it ends, started in `cwd` with this process's environment."""
    return ended(started(flags, cwd), cwd, timeout_s=timeout_s)


def started(flags: Sequence[str], cwd: Path) -> Any:
    """The process, for a test that does something to it."""
    process = _server.Process(target=_launch, args=(flags, cwd, dict(os.environ), _outputs(cwd)))
    process.start()
    return process


def ended(process: Any, cwd: Path, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """What it has said, and how it has ended."""
    process.join(timeout_s)
    outputs = _outputs(cwd)
    if process.is_alive():
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired("launch.py", timeout_s, stderr=outputs[1].read_bytes())
    stdout, stderr = (output.read_text(encoding="utf-8") for output in outputs)
    for output in outputs:
        output.unlink()
    return subprocess.CompletedProcess("launch.py", process.exitcode, stdout, stderr)


def _outputs(cwd: Path) -> list[Path]:
    return [cwd / ".stdout", cwd / ".stderr"]


def _launch(flags: Sequence[str], cwd: Path, environment: dict[str, str], outputs: Sequence[Path]) -> None:
    """In the new process: what the interpreter would set up, the program, and what the interpreter does at exit."""
    for number, output in enumerate(outputs, start=1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(LAUNCH), *flags]
    sys.orig_argv = [sys.executable, *sys.argv]
    try:
        runpy.run_path(str(LAUNCH), run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # a forked process would leave them out
