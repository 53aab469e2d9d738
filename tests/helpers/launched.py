"""Runs the real `launch.py`, or another program, in a process that is forked from one that has imported torch.

Importing torch and Lightning takes longer than most of the tested behavior. The program has the same flags, output and
exit code as in a fresh process; `tests/cli/test_launch.py` and `tests/test_docs.py` also start fresh ones.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LAUNCH = Path(__file__).parents[2] / "launch.py"
PICTURES = (
    "input_grid",
    "confusion_matrix",
    "digit_errors",
    "prediction_grid",
    "grad_cam",
    "training_curves",
    "dataset",
)
"""Callbacks that plot figures, which takes as long as the rest of a small run."""
NO_PICTURES = tuple(f"--fdl_set=trainer.callbacks.{name}=None" for name in PICTURES)
SMALL = (
    "--exp=resnet18_baseline",
    "--run=one",
    "--fiddler=cpu",
    "--fdl_set=data.size_px=(32, 32)",
    "--fdl_set=data.batch_size=16",
    "--fdl_set=weights=None",
    *NO_PICTURES,
)
"""Flags of a small run on the CPU."""

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["helpers.registered", "jersey.cli.commands", "onnxscript", "onnxruntime"])


class Started:
    """A process that runs `launch.py`, or another file or module, with its output in two files."""

    def __init__(self, flags: Sequence[str], cwd: Path, program: Path | str = LAUNCH) -> None:
        self._words = [str(program), *flags]
        self._outputs = [Path(tempfile.mkstemp(prefix=".output", dir=cwd)[1]) for _ in range(2)]
        self._process = SERVER.Process(target=run_launch, args=(flags, cwd, dict(os.environ), self._outputs, program))
        self._process.start()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Ends the process by a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def is_running(self) -> bool:
        return self._process.is_alive()

    def ended(self, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Waits for the end, and returns the output and exit code."""
        self._process.join(timeout_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise subprocess.TimeoutExpired(self._words, timeout_s, stderr=self._outputs[1].read_bytes())
        assert self._process.exitcode is not None
        stdout, stderr = (output.read_text(encoding="utf-8") for output in self._outputs)
        for output in self._outputs:
            output.unlink()
        return subprocess.CompletedProcess(self._words, self._process.exitcode, stdout, stderr)


def launched(
    flags: Sequence[str], cwd: Path, *, timeout_s: float, program: Path | str = LAUNCH
) -> subprocess.CompletedProcess[str]:
    """Runs `python launch.py FLAGS` in `cwd` with this process's environment; returns output and exit code."""
    return Started(flags, cwd, program).ended(timeout_s=timeout_s)


def run_launch(
    flags: Sequence[str],
    cwd: Path,
    environment: dict[str, str],
    outputs: Sequence[Path],
    program: Path | str = LAUNCH,
) -> None:
    """Runs in the new process: the interpreter's setup, the program, and the interpreter's exit functions."""
    for number, output in enumerate(outputs, start=1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(program), *flags]
    sys.orig_argv = [sys.executable, *([] if isinstance(program, Path) else ["-m"]), *sys.argv]
    try:
        if isinstance(program, Path):
            runpy.run_path(str(program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a forked process would skip them
