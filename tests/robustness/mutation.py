"""Mutation testing: changes a module in one small place at a time, and reports the changes that no test notices.

    PYTHONPATH=tests python -m robustness.mutation jersey/inference/decision.py --mutants=20 --seed=0

A mutant is the module with one small change, see `robustness.mutants`. It is killed if a test fails or does not end,
and survives otherwise.

All of it happens in a copy of the repository, in a temporary folder: the original files never change, also after
Ctrl-C. The tests of a mutant are first the files of its package's tests that are named after the module or import it,
then the other files of the package, as far as they call its function without a mutant; slow tests are left out. Each
run is a fork of one process that has imported and collected all tests. In the fork, the function gets the mutant's
code; a process that a test starts imports the mutant from the copy.
"""

import argparse
import gc
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from robustness import recorded_calls
from robustness.mutants import Mutant, mutants
from robustness.recorded_calls import RECORD

ROOT = Path(__file__).parents[2]  # of the repository, or of the copy in which this runs
DEFECT = 2  # exit code of a fork in which the mutant could not be tried


class Mutation:
    """A pytest plugin that runs the collected tests with mutants.

    Args:
        modules: the modules, relative to the current folder, which is the copy.
        count: largest number of mutants per module.
        seed: seed of their choice.
        say: prints a line.
    """

    def __init__(self, modules: Sequence[Path], *, count: int, seed: int, say: Callable[[str], None]) -> None:
        self.modules, self.count, self.seed, self.say = modules, count, seed, say
        self.items: dict[Path, list[pytest.Item]] = {}
        self.seconds: dict[Path, float] = {}
        self.calls: dict[Path, set[str]] = {}
        self.versions = 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Takes the place of pytest's own loop."""
        for item in session.items:
            self.items.setdefault(item.path.relative_to(ROOT), []).append(item)
        import hypothesis  # pytest warns of an earlier import

        fast = hypothesis.settings(phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])  # a failure is enough
        hypothesis.settings.register_profile("mutation", fast)
        hypothesis.settings.load_profile("mutation")
        for module in self.modules:
            self.try_mutants_of(module)
        return True

    def named_after(self, module: Path) -> list[Path]:
        """Returns the files of the package's tests that are named after a module or import it."""
        package, leaf = ".".join(module.parent.parts), module.stem
        imports = re.compile(rf"\b{re.escape(package)}\.{leaf}\b|from {re.escape(package)} import .*\b{leaf}\b")
        return [
            path
            for path in self.of_package(module)
            if leaf in path.stem or imports.search(path.read_text(encoding="utf-8"))
        ]

    def of_package(self, module: Path) -> list[Path]:
        """Returns the files of the tests of a module's package."""
        return [path for path in self.items if path.parts[1] == module.parts[1]]

    def that_call(self, called: str, paths: Sequence[Path]) -> list[Path]:
        """Returns those files of tests that call a function, the fastest first."""
        for path in paths:
            if path not in self.calls:
                self.measure(path)
        calling = [path for path in paths if path in self.seconds and called in self.calls[path]]
        return sorted(calling, key=self.seconds.__getitem__)

    def measure(self, path: Path) -> None:
        """Runs a file of tests without a mutant, and keeps its time and the functions that it calls."""
        record, start = ROOT.parent / "calls", time.monotonic()
        os.environ[RECORD] = str(record)
        verdict = self.run([path], lambda: runpy.run_path(str(ROOT / "sitecustomize.py")), timeout_s=600)
        del os.environ[RECORD]
        self.calls[path] = set(record.read_text(encoding="utf-8").split())
        if verdict == "survived":
            self.seconds[path] = time.monotonic() - start
        else:
            self.say(f"{path} is left out, because it fails without a mutant")
        record.unlink()

    def try_mutants_of(self, module: Path) -> None:
        """Prints a line per mutant that survives, and one with the counts."""
        possible = mutants(module.read_text(encoding="utf-8"))
        some = random.Random(self.seed).sample(range(len(possible)), min(self.count, len(possible)))
        counts: Counter[str] = Counter()
        for mutant in (possible[index] for index in sorted(some)):
            verdict = self.verdict(module, mutant)
            counts[verdict] += 1
            if verdict not in ("killed", "timed out"):
                self.say(f"{verdict}: {module}:{mutant.line}: {mutant.change}")
        found = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        self.say(f"{module}: {len(some)} of {len(possible)} mutants: {found}")

    def verdict(self, module: Path, mutant: Mutant) -> str:
        """Returns what `run` returns, or "not called" if no test of the package calls the mutant's function."""
        called, verdict = f"{module}:{mutant.function}", "not called"
        named = self.named_after(module)
        original = module.read_bytes()
        for candidates in (named, [path for path in self.of_package(module) if path not in named]):
            if paths := self.that_call(called, candidates):
                timeout_s = 20 + 3 * sum(self.seconds[path] for path in paths)
                self._write(module, mutant.source.encode())
                verdict = self.run(paths, lambda: install(ROOT / module, mutant), timeout_s=timeout_s)
                self._write(module, original)
            if verdict not in ("survived", "not called"):
                break
        return verdict

    def _write(self, module: Path, content: bytes) -> None:
        """Writes a module with a time of its own, because Python recognizes an old .pyc file by time and size."""
        (ROOT / module).write_bytes(content)
        self.versions += 1
        os.utime(ROOT / module, (10**9 + self.versions,) * 2)

    def run(self, paths: Sequence[Path], prepare: Callable[[], object], *, timeout_s: float) -> str:
        """Runs files of tests in a fork until one fails; returns "killed", "timed out", "survived" or "not tried"."""
        process, end = os.fork(), time.monotonic() + timeout_s
        if not process:
            self._run_here([item for path in paths for item in self.items[path]], prepare)
        try:
            while time.monotonic() < end:
                found, status = os.waitpid(process, os.WNOHANG)
                if found:
                    return {0: "survived", DEFECT: "not tried"}.get(os.waitstatus_to_exitcode(status), "killed")
                time.sleep(0.01)
            return "timed out"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)  # also ends what the tests left behind
            with suppress(ChildProcessError):
                os.waitpid(process, 0)
            shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
            Path(tempfile.gettempdir()).mkdir(exist_ok=True)

    def _run_here(self, items: Sequence[pytest.Item], prepare: Callable[[], object]) -> None:
        """Runs tests, and ends the process."""
        code = DEFECT
        try:
            os.setsid()
            os.dup2(1, 2)
            prepare()
            code = 1
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if item.session.testsfailed:
                    break
            else:
                code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes the reason of a failure to the log."""
        if report.failed:
            print(report.nodeid, report.longreprtext[-2000:], flush=True)


def install(file: Path, mutant: Mutant) -> None:
    """Gives the functions that were imported from `file` the code of the mutant."""
    codes = _codes(compile(mutant.source, str(file), "exec"))
    for function in [each for each in gc.get_objects() if type(each) is FunctionType]:  # isinstance would call code
        old = function.__code__
        if old.co_filename == str(file) and old.co_firstlineno == mutant.function and old.co_qualname in codes:
            function.__code__ = codes[old.co_qualname]


def _codes(code: CodeType) -> dict[str, CodeType]:
    """Returns the code of the functions and methods of a module by qualified name."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return {name: each for one in inner for name, each in {one.co_qualname: one, **_codes(one)}.items()}


def copy_repository(folder: Path) -> None:
    """Copies the repository to `folder`, as far as git does not ignore it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    shutil.copy(recorded_calls.__file__, folder / "sitecustomize.py")


def parsed() -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(
        prog="python -m robustness.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="+", type=Path, help="files, such as jersey/inference/decision.py")
    parser.add_argument("--mutants", type=int, default=10, help="mutants per module at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of mutants (default: %(default)s)")
    return parser.parse_args()


def in_copy() -> int:
    """Runs pytest with the plugin in the copy, which is the current folder; returns the exit code."""
    flags, log = parsed(), ROOT.parent / "log"
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    plugin = Mutation(
        flags.modules, count=flags.mutants, seed=flags.seed, say=lambda line: print(line, file=output, flush=True)
    )
    folders = sorted({f"tests/{module.parts[1]}" for module in flags.modules})
    code = pytest.main(["-q", "-s", "-n0", "-p", "no:cacheprovider", *folders], plugins=[plugin])
    if code:
        print(log.read_text(encoding="utf-8", errors="replace")[-4000:], file=output)
    return int(code)


def main() -> int:
    """Runs the tool in a copy; returns the exit code."""
    parsed()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        root, temporary = Path(folder, "copy"), Path(folder, "tmp")
        copy_repository(root)
        temporary.mkdir()
        roots = os.pathsep.join([str(root), str(root / "tests")])
        command = [sys.executable, "-c", "import sys, robustness.mutation as tool; sys.exit(tool.in_copy())"]
        environment = {**os.environ, "PYTHONPATH": roots, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        return subprocess.run([*command, *sys.argv[1:]], cwd=root, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
