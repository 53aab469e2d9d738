"""Mutation testing: changes a module in one small place at a time, and reports the changes that no test notices.

    PYTHONPATH=tests python -m robustness.mutation jersey/inference/decision.py --mutants=20 --seed=0

A mutant is the module with one comparison, operator, condition, number or slice bound changed, or one statement
removed, in the body of a function. The texts of messages are not changed. A mutant is killed if a test fails or does
not end, and survives otherwise.

All of it happens in a copy of the repository, in a temporary folder: the original files never change, also after
Ctrl-C. A mutant meets those files of its package's tests that import its module or are named after it, or all of the
package if none of these calls its function; slow tests are left out. The files first run without a mutant, which
records the functions that they call. Each run is a fork of one process that has imported and collected all tests. In
the fork, the function gets the mutant's code; a process that a test starts imports the mutant from the copy.
"""

import argparse
import ast
import copy
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

import hypothesis
import pytest
from robustness import recorded_calls
from robustness.recorded_calls import RECORD

ROOT = Path(__file__).parents[2]  # of the repository, or of the copy in which this runs
FLIPPED: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
DEFECT = 2  # exit code of a fork in which the mutant could not be tried
MESSAGES = {"debug", "info", "warning", "warn", "error", "print"}  # functions whose arguments are texts


class Mutant(NamedTuple):
    """A module with one change.

    Attributes:
        line: number of the changed line.
        function: first line of the function around it; of the outermost one, if it is nested.
        change: old and new text of the place.
        source: the whole module.
    """

    line: int
    function: int
    change: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Returns every mutant of a module, in the order of its lines."""
    content, found = source.encode(), []
    lines = content.splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    for function in _functions(ast.parse(source)):
        first = min(node.lineno for node in (function, *function.decorator_list))
        for node, changed in (change for statement in function.body for change in _changes(statement)):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            new = ast.unparse(changed)
            text = f"({new})" if isinstance(changed, ast.expr) else new
            change = re.sub(r"\s+", " ", f"{ast.unparse(node)}  ->  {new}")
            mutated = content[:start] + text.encode() + content[end:]
            found.append(Mutant(node.lineno, first, change, mutated.decode()))
    return sorted(found, key=lambda mutant: mutant.line)


def _functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Yields the functions of a module and the methods of its classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node)


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    """Yields each expression or statement of a tree with what may replace it."""
    if isinstance(tree, ast.expr | ast.stmt):
        yield from ((tree, changed) for changed in _variants(tree))
    if isinstance(tree, ast.If | ast.IfExp | ast.While | ast.comprehension):
        tests = tree.ifs if isinstance(tree, ast.comprehension) else [tree.test]
        forced = (False,) if isinstance(tree, ast.While) else (True, False)
        yield from ((test, ast.Constant(always)) for test in tests for always in forced)
    if isinstance(tree, ast.Slice):
        bounds = [each for each in (tree.lower, tree.upper) if each and not isinstance(each, ast.Constant)]
        yield from ((bound, ast.BinOp(bound, ast.Add(), ast.Constant(1))) for bound in bounds)
    if not _is_message(tree):
        for name, value in ast.iter_fields(tree):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and name not in ("annotation", "returns", "decorator_list"):
                    yield from _changes(child)


def _is_message(node: ast.AST) -> bool:
    name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
    return isinstance(node, ast.Raise | ast.JoinedStr) or name in MESSAGES


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what may replace an expression or a statement, apart from conditions."""
    match node:
        case ast.Compare(ops=[operator]):
            yield from (_with(node, ops=[kind()]) for kind in FLIPPED[type(operator)])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) | ast.BoolOp(op=operator):
            yield from (_with(node, op=kind()) for kind in FLIPPED.get(type(operator), ()))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (ast.Constant(changed) for changed in sorted({value + 1, -value} - {value}))
        case ast.Call(func=ast.Name(id=name)) if name in SWAPPED:
            yield _with(node, func=ast.Name(SWAPPED[name]))
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Expr(value=ast.Call()):
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


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
        fast = hypothesis.settings(phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])  # a failure is enough
        hypothesis.settings.register_profile("mutation", fast)
        hypothesis.settings.load_profile("mutation")
        for module in self.modules:
            self.try_mutants_of(module)
        return True

    def tests_of(self, module: Path, function: int) -> list[Path]:
        """Returns the files of tests that call a function, the fastest first.

        These are files that are named after the module or import it, if one of them calls the function, and otherwise
        files of the package.
        """
        package, leaf = ".".join(module.parent.parts), module.stem
        imports = re.compile(rf"\b{re.escape(package)}\.{leaf}\b|from {re.escape(package)} import .*\b{leaf}\b")
        of_package = [path for path in self.items if path.parts[1] == module.parts[1]]
        named = [each for each in of_package if leaf in each.stem or imports.search(each.read_text(encoding="utf-8"))]
        for paths in (named, of_package):
            for path in paths:
                if path not in self.calls:
                    self.measure(path)
            if calling := [
                path for path in paths if path in self.seconds and f"{module}:{function}" in self.calls[path]
            ]:
                return sorted(calling, key=self.seconds.__getitem__)
        return []

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
        """Returns "killed", "timed out", "survived", or "not called" if no test calls the mutant's function."""
        paths = self.tests_of(module, mutant.function)
        if not paths:
            return "not called"
        original = module.read_bytes()
        self._write(module, mutant.source.encode())
        try:
            timeout_s = 20 + 3 * sum(self.seconds[path] for path in paths)
            return self.run(paths, lambda: install(ROOT / module, mutant), timeout_s=timeout_s)
        finally:
            self._write(module, original)

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
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
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
