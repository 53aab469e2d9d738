"""Whether the tests notice small faults in the library: each mutation is put in alone, and the tests are run.

    cd tests/robustness/mutations
    python mutate.py check TREE                 does every mutation fit exactly one place of this tree?
    python mutate.py run TREE --name after      tries all that have no result yet, and appends to results-after.jsonl
    python mutate.py run TREE --name after --full   gives the survivors the whole default suite
    python mutate.py summary before after       counts, survivors, and what one run caught and the other did not
    python mutate.py draw TREE --seed 1 --count 50  random mutations, to be looked through and kept

TREE is a checkout with its own `.venv`, or `--python` names another. Mutations are lines of `mutations.jsonl`:

    {"id": "...", "from": "read" or "drawn", "function": "Class.method", "before": "a line", "after": "another",
     "why": "what goes wrong"}

A place is found by the name of the function that holds the line, and the line, anywhere below `jersey/`; `<module>` is
outside of all functions. So files may be moved and renamed. What has been renamed or rewritten otherwise is told by
`overrides-NAME.json`, {id: {"function": ..., "before": ..., "after": ...}}, where NAME is that of the run; an id with
`null` is left out.

The tests run in a copy of the tree, in processes forked from one that has torch and all else imported but not `jersey`,
whose import alone would take longer than most tests. First come the test files that import the mutated module, then
those that reach it by one module in between or by a helper of the tests, then, with `--full`, all others. Before the
first mutation the whole suite is run on the copy as it is: what fails there, or fails later in a file that is run
alone, counts for nothing.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MUTATIONS = HERE / "mutations.jsonl"
PACKAGE = "jersey"
MODULE_LEVEL = "<module>"
PRELOADED = (
    *("numpy", "PIL.Image", "torch", "torch.export", "torch.onnx", "torch._dynamo", "torch._export", "torchvision"),
    *("torchvision.transforms.v2", "torchmetrics", "lightning", "lightning.pytorch", "fiddle", "fiddle.selectors"),
    *("fiddle.experimental.serialization", "absl.flags", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("onnx", "onnxscript", "onnxruntime", "onnxruntime.quantization", "sklearn.metrics", "tqdm", "filelock"),
    *("hypothesis", "pytest", "xdist", "pytest_timeout"),
)
NOT_COPIED = ("__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
NOT_COPIED_AT_TOP = (".git", ".venv", "data", "runs", "build", "dist")
TEST_TIMEOUT_S = 120
INDIRECT_S = 120.0  # of tests that reach the mutated module by another one, the quick files first
DROPPED = "pass"


@dataclass(frozen=True)
class Mutation:
    """A fault.

    Args:
        id: unique.
        function: qualified name of what holds the line, or `<module>`.
        before: the line, or several, without its indentation.
        after: what stands there instead; none for a line that goes.
        source: "read" for a fault that somebody thought of, "drawn" for a random one.
        why: what goes wrong.
    """

    id: str
    function: str
    before: str
    after: str
    source: str = "read"
    why: str = ""


@dataclass(frozen=True)
class Place:
    """Where a mutation fits: a file and the index of the first line there."""

    path: Path
    line: int


class Misfit(Exception):
    """A mutation has no place in this tree, or several."""


def read_mutations(overrides: Path) -> list[Mutation]:
    """All of them, as they are to be for one tree."""
    rows = [json.loads(line) for line in MUTATIONS.read_text(encoding="utf-8").splitlines() if line.strip()]
    changes = json.loads(overrides.read_text(encoding="utf-8")) if overrides.exists() else {}
    unknown = set(changes) - {row["id"] for row in rows}
    if unknown:
        raise SystemExit(f"{overrides} changes mutations that do not exist: {', '.join(sorted(unknown))}")
    rows = [row | (changes.get(row["id"], {}) or {}) for row in rows if changes.get(row["id"], {}) is not None]
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids), "two mutations have one id"
    known = ("id", "function", "before", "after", "why")
    return [Mutation(**{key: row[key] for key in known if key in row}, source=row.get("from", "read")) for row in rows]


# Finding a place


def library_files(tree: Path) -> list[Path]:
    """The modules of the package."""
    return sorted(path for path in (tree / PACKAGE).rglob("*.py") if "__pycache__" not in path.parts)


def spans(module: ast.Module) -> Iterator[tuple[str, int, int]]:
    """Qualified name, first and last line (from 0) of each function, nested ones too, without decorators."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int, int]]:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{prefix}{child.name}."
                if not isinstance(child, ast.ClassDef):
                    yield inner[:-1], child.lineno - 1, (child.end_lineno or child.lineno) - 1
            yield from walk(child, inner)

    yield from walk(module, "")


def places(tree: Path, mutation: Mutation, files: Iterable[Path] | None = None) -> list[Place]:
    """Everywhere the mutation fits."""
    wanted = [line.strip() for line in mutation.before.splitlines()]
    found: set[Place] = set()
    for path in files if files is not None else library_files(tree):
        text = path.read_text(encoding="utf-8")
        if wanted[0] not in text:
            continue
        lines = [line.strip() for line in text.splitlines()]
        functions = list(spans(ast.parse(text)))
        if mutation.function == MODULE_LEVEL:
            inside = {number for _, first, last in functions for number in range(first, last + 1)}
            numbers: Iterable[int] = [number for number in range(len(lines)) if number not in inside]
        else:
            numbers = [
                number
                for name, first, last in functions
                if name == mutation.function
                for number in range(first, last + 2 - len(wanted))
            ]
        found |= {Place(path, number) for number in numbers if lines[number : number + len(wanted)] == wanted}
    return sorted(found, key=lambda place: (place.path, place.line))


def the_place(tree: Path, mutation: Mutation) -> Place:
    """The only one.

    Raises:
        Misfit: there is none, or there are several.
    """
    found = places(tree, mutation)
    if len(found) != 1:
        at = ", ".join(f"{place.path.relative_to(tree)}:{place.line + 1}" for place in found)
        raise Misfit(f"{mutation.id} fits {len(found)} places{f' ({at})' if at else ''}: {mutation.function}")
    return found[0]


def mutated(text: str, mutation: Mutation, place: Place) -> str:
    """The file with the fault in it.

    Raises:
        Misfit: that is no Python, or means the same as before.
    """
    lines = text.splitlines()
    count = len(mutation.before.splitlines())
    indent = lines[place.line][: len(lines[place.line]) - len(lines[place.line].lstrip())]
    lines[place.line : place.line + count] = [f"{indent}{line}" for line in mutation.after.splitlines()]
    changed = "\n".join(lines) + "\n"
    try:
        is_same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(text))
    except SyntaxError as error:
        raise Misfit(f"{mutation.id} makes no Python: {error}") from None
    if is_same:
        raise Misfit(f"{mutation.id} changes nothing")
    return changed


def check(tree: Path, mutations: Sequence[Mutation]) -> list[str]:
    """What is wrong with the mutations in this tree."""
    problems = []
    for mutation in mutations:
        try:
            place = the_place(tree, mutation)
            mutated(place.path.read_text(encoding="utf-8"), mutation, place)
        except Misfit as problem:
            problems.append(str(problem))
    return problems


# Which tests reach a module


@dataclass
class Imports:
    """Who imports what: modules of the package by name, files of the tests by path."""

    tree: Path
    library: dict[str, set[str]] = field(default_factory=dict)
    module_of: dict[Path, str] = field(default_factory=dict)
    direct: dict[str, set[str]] = field(default_factory=dict)  # of a test file, without its helpers
    reached: dict[str, set[str]] = field(default_factory=dict)  # with them

    def __post_init__(self) -> None:
        self._parsed = {self._name(path): ast.parse(path.read_text("utf-8")) for path in library_files(self.tree)}
        self.module_of = {path: self._name(path) for path in library_files(self.tree)}
        self._packages = {self._name(path) for path in library_files(self.tree) if path.name == "__init__.py"}
        self._exports = {name: self._from_imports(name) for name in self._packages}
        self.library = {name: self._imported(module, name) for name, module in self._parsed.items()}
        self._read_tests()

    def files_for(self, module: str) -> tuple[set[str], set[str]]:
        """The test files that import the module, and those that reach it by one step more."""
        nearer = {name for name, imported in self.library.items() if module in imported} | {module}
        direct = {name for name, imported in self.direct.items() if module in imported}
        return direct, {name for name, imported in self.reached.items() if nearer & imported} - direct

    def _name(self, path: Path) -> str:
        parts = path.relative_to(self.tree).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _from_imports(self, package: str) -> dict[str, tuple[str, str]]:
        """What a package takes from elsewhere: the names that it has, each with module and name there."""
        found: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self._parsed[package]):
            if isinstance(node, ast.ImportFrom):
                base = self._base(node, package)
                found |= {alias.asname or alias.name: (base, alias.name) for alias in node.names}
        return found

    def _base(self, node: ast.ImportFrom, module: str) -> str:
        if not node.level:
            return node.module or ""
        parts = module.split(".") if module in self._packages else module.split(".")[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def _home(self, base: str, name: str) -> str:
        """The module that `from base import name` means, through packages that pass the name on."""
        seen = set()
        while (base, name) not in seen:
            seen.add((base, name))
            if f"{base}.{name}" in self._parsed:
                return f"{base}.{name}"
            if base not in self._exports or name not in self._exports[base]:
                break
            base, name = self._exports[base][name]
        return base

    def _imported(self, module: ast.Module, name: str = "") -> set[str]:
        """The modules of the package that a file imports anywhere but for type checkers."""
        found: set[str] = set()
        pending: list[ast.AST] = [module]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                pending += node.orelse
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node, name)
                found |= {self._home(base, alias.name) for alias in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value, f"{node.value}.__main__"}  # python -m jersey.something
            pending += ast.iter_child_nodes(node)
        return found & self._parsed.keys()

    def _read_tests(self) -> None:
        paths = [path for path in (self.tree / "tests").rglob("*.py") if "__pycache__" not in path.parts]
        paths += (self.tree / "docs").glob("*.py")
        parsed = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
        own = {path: self._imported(module) for path, module in parsed.items()}
        by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in paths:
            if not path.name.startswith("test_"):
                by_stem[path.stem].append(path)
        helpers = {path: self._helpers(path, module, by_stem) for path, module in parsed.items()}
        for path in paths:
            if path.name.startswith("test_"):
                key = path.relative_to(self.tree).as_posix()
                reached, pending = set(own[path]), list(helpers[path])
                seen = set(pending)
                while pending:
                    helper = pending.pop()
                    reached |= own[helper]
                    pending += helpers[helper] - seen
                    seen |= helpers[helper]
                self.direct[key], self.reached[key] = own[path], reached

    def _helpers(self, path: Path, module: ast.Module, by_stem: dict[str, list[Path]]) -> set[Path]:
        """Files of the tests that a file imports; with those `conftest.py` that are not for all tests."""
        names = {alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names}
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom):
                names |= {node.module or "", *(alias.name for alias in node.names)}
        found = {helper for name in names for helper in by_stem.get(name.rpartition(".")[2], [])}
        folders = [folder for folder in path.parents if folder.is_relative_to(self.tree / "tests")][:-1]
        return found | {folder / "conftest.py" for folder in folders if (folder / "conftest.py") in by_stem["conftest"]}


# Running tests


@dataclass
class Outcome:
    """Of one run of pytest."""

    failed: list[str] = field(default_factory=list)
    timed_out: bool = False
    code: int = 0
    tests: int = 0
    seconds: float = 0.0
    durations: dict[str, float] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether anything has gone wrong."""
        return bool(self.failed) or self.timed_out or self.code not in (0, 5)  # 5: there was no test


class Recorder:
    """A plugin of pytest that writes what happens to a file, line by line, so that a crash loses nothing."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def _write(self, **row: Any) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be imported."""
        if report.failed:
            self._write(failed=report.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test, its fixtures before and after."""
        self._write(test=report.nodeid if report.when == "call" else "", file=report.nodeid, took=report.duration)
        if report.failed:
            self._write(failed=report.nodeid, timed_out="Timeout (>" in str(report.longreprtext))


class Runner:
    """A copy of a tree, and pytest in it, each time in a process that is forked from this one.

    Args:
        tree: to be copied.
        work: folder for the copy, the logs and all temporary files.
    """

    def __init__(self, tree: Path, work: Path) -> None:
        self.copy, self._tmp, self._logs = work / "scratch", work / "t", work / "logs"
        for folder in (self.copy, self._tmp):
            shutil.rmtree(folder, ignore_errors=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        anywhere, at_top = (shutil.ignore_patterns(*names) for names in (NOT_COPIED, NOT_COPIED_AT_TOP))
        shutil.copytree(
            tree,
            self.copy,
            ignore=lambda folder, names: (
                anywhere(folder, names) | (at_top(folder, names) if folder == str(tree) else set())
            ),
            symlinks=True,
        )
        # Byte code that is compared with its source by content: what is mutated is compiled anew, the rest is not.
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run(
            [*command, str(self.copy / PACKAGE), str(self.copy / "experiments")], env=environment, check=True
        )
        os.environ["PYTHONPATH"] = str(self.copy)
        os.environ["TMPDIR"] = str(self._tmp)
        os.chdir(self.copy)
        for name in PRELOADED:
            __import__(name)
        assert PACKAGE not in sys.modules
        gc.collect()
        gc.freeze()

    def run(
        self, files: Sequence[str], *, label: str, timeout_s: float, deselected: Iterable[str] = (), x: bool
    ) -> Outcome:
        """The tests of some files, in their order.

        Args:
            files: paths below the copy.
            label: of the log.
            timeout_s: for all of them.
            deselected: tests to leave out.
            x: stop at the first failure.
        """
        self._tmp.mkdir(exist_ok=True)
        shutil.rmtree(self.copy / ".hypothesis", ignore_errors=True)
        record = self._tmp / "record.jsonl"
        flags = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-n", "0", "-m", "not slow and not gpu"]
        flags += [f"--basetemp={self._tmp / 'b'}", "--hypothesis-seed=0", f"--timeout={TEST_TIMEOUT_S}"]
        flags += ["-x"] if x else []
        flags += [f"--deselect={name}" for name in deselected]
        started = time.monotonic()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            self._in_child([*flags, *files], record, self._logs / f"{label}.log")
        outcome = Outcome()
        outcome.code, outcome.timed_out = _wait(child, timeout_s)
        outcome.seconds = time.monotonic() - started
        _read(record, outcome)
        shutil.rmtree(self._tmp, ignore_errors=True)
        return outcome

    def _in_child(self, arguments: list[str], record: Path, log: Path) -> None:
        """Never returns."""
        code = 99
        try:
            os.setsid()
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            # Processes that tests start by `multiprocessing` would import this file as their main module.
            sys.modules["__main__"] = types.ModuleType("__main__")
            sys.argv = ["pytest", *arguments]
            sys.path[:] = [str(self.copy), *(entry for entry in sys.path if entry != str(HERE))]
            import pytest

            for name in (PACKAGE, "experiments"):
                found = str(__import__("importlib.util").util.find_spec(name).origin)
                assert found.startswith(f"{self.copy}/"), f"{name} is imported from {found}"
            code = int(pytest.main(arguments, plugins=[Recorder(record)]))
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 98
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def _wait(child: int, timeout_s: float) -> tuple[int, bool]:
    """Exit code, and whether the time was up; nothing that the child has started outlives it."""
    deadline = time.monotonic() + timeout_s
    timed_out = False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            timed_out = True
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.05)
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if entry.name.isdigit() and int(_stat(entry)[3]) == child:  # its session
                os.kill(int(entry.name), signal.SIGKILL)
    return os.waitstatus_to_exitcode(status), timed_out


def _stat(process: Path) -> list[str]:
    return (process / "stat").read_text().rpartition(")")[2].split()


def _read(record: Path, outcome: Outcome) -> None:
    if not record.exists():
        return
    for line in record.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "failed" in row:
            outcome.failed.append(row["failed"])
            outcome.timed_out |= row.get("timed_out", False)
        else:
            outcome.tests += bool(row["test"])
            name = row["file"].partition("::")[0]
            outcome.durations[name] = outcome.durations.get(name, 0.0) + row["took"]


class Control:
    """What the tests do without any fault: how long each file takes, and which tests fail anyway."""

    def __init__(self, path: Path, runner: Runner) -> None:
        self._path, self._runner = path, runner
        self.durations: dict[str, float] = {}
        self.fail_anyway: list[str] = []
        self.looked_at: list[str] = []
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            self.durations, self.fail_anyway = content["durations"], content["fail_anyway"]
            self.looked_at = content["looked_at"]
            return
        outcome = runner.run(["tests"], label="control", timeout_s=3600, x=False)
        if outcome.code not in (0, 1) or not outcome.tests:
            raise SystemExit("the suite does not run without any fault; see the log of `control`")
        self.durations, self.fail_anyway = outcome.durations, outcome.failed
        self._keep()
        print(f"control: {outcome.tests} tests, {outcome.seconds:.0f} s, fail anyway: {outcome.failed}", flush=True)

    def _keep(self) -> None:
        content = {"durations": self.durations, "fail_anyway": self.fail_anyway, "looked_at": self.looked_at}
        self._path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def fails_alone(self, test: str) -> bool:
        """Whether a test fails without a fault where its file is run alone; such a one is left out from then on."""
        file = test.partition("::")[0]
        if file not in self.looked_at:
            outcome = self._runner.run([file], label="alone", timeout_s=900, deselected=self.fail_anyway, x=False)
            self.looked_at.append(file)
            self.fail_anyway += outcome.failed
            self._keep()
        return test in self.fail_anyway

    def quick_first(self, files: Iterable[str]) -> list[str]:
        """The files that have tests of the default suite, the quickest first."""
        return sorted((file for file in files if file in self.durations), key=lambda file: self.durations[file])


@contextlib.contextmanager
def put_in(tree: Path, mutations: Sequence[Mutation]) -> Iterator[list[Mutation]]:
    """Faults in a tree, taken out again at the end; gives those that found a place beside the others."""
    texts: dict[Path, str] = {}
    there = []
    try:
        for mutation in mutations:
            try:
                place = the_place(tree, mutation)
                text = place.path.read_text(encoding="utf-8")
                changed = mutated(text, mutation, place)
            except Misfit:  # another fault has changed its line
                continue
            texts.setdefault(place.path, text)
            place.path.write_text(changed, encoding="utf-8")
            there.append(mutation)
        yield there
    finally:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")


class Trials:
    """Runs tests with faults, and adds what comes of it to the results."""

    def __init__(self, runner: Runner, control: Control, results: Path) -> None:
        self._runner, self._control, self._results = runner, control, results
        self._imports = Imports(runner.copy)

    def alone(self, mutation: Mutation) -> None:
        """With one fault: the tests that import its module, then those that reach it."""
        path = the_place(self._runner.copy, mutation).path
        direct, indirect = map(self._control.quick_first, self._imports.files_for(self._imports.module_of[path]))
        kept: list[str] = []
        for file in indirect:
            if sum(self._control.durations[each] for each in (*kept, file)) <= INDIRECT_S:
                kept.append(file)
        row: dict[str, Any] = {"id": mutation.id, "file": self._seen(path), "status": "survived", "after": "no test"}
        row |= {"direct": len(direct), "indirect": len(kept), "left_out": len(indirect) - len(kept)}
        row |= {"tests": 0, "seconds": 0.0}
        for stage, files in (("direct", direct), ("indirect", kept)):
            if files and row["status"] == "survived":
                outcome = self._with([mutation], files, label=f"{mutation.id}-{stage}", x=True)
                row |= {"after": stage, "tests": row["tests"] + outcome.tests, **_verdict(outcome)}
                row["seconds"] = round(row["seconds"] + outcome.seconds, 1)
        self._keep(row)

    def together(self, mutations: Sequence[Mutation]) -> None:
        """The whole suite, at first with all faults at once; the files that fail then, with each alone.

        So the suite is run a few times and not once for every fault. Of the faults in one function only the first takes
        part, the others have a turn of their own: it could keep them from being reached.
        """
        apart = list({mutation.function: mutation for mutation in reversed(mutations)}.values())[::-1]
        with put_in(self._runner.copy, apart) as there:
            pass
        left = [each for each in mutations if each not in there]
        files = self._control.quick_first(self._control.durations)
        outcome = self._with(there, files, label="together", x=False)
        print(f"{len(there)} together: {len(outcome.failed)} failures, {outcome.seconds:.0f} s", flush=True)
        suspects = there
        if outcome.is_bad:
            failing = self._control.quick_first({name.partition("::")[0] for name in outcome.failed})
            for mutation in there if len(there) > 1 else ():
                alone = self._with([mutation], failing, label=f"{mutation.id}-all", x=True) if failing else Outcome()
                if alone.is_bad:
                    self._finish(mutation, alone)
                    suspects = [each for each in suspects if each is not mutation]
        if not outcome.is_bad or len(there) == 1:
            for mutation in there:
                self._finish(mutation, outcome)
        elif len(suspects) < len(there):
            left = [*suspects, *left]
        else:  # only some of them together fail, or the process has crashed
            middle = len(there) // 2
            self.together(there[:middle])
            left = [*there[middle:], *left]
        if left:
            self.together(left)

    def _with(self, mutations: Sequence[Mutation], files: Sequence[str], *, label: str, x: bool) -> Outcome:
        """The outcome with faults, once no test has failed that fails anyway."""
        expected_s = sum(self._control.durations[file] for file in files)
        while True:
            with put_in(self._runner.copy, mutations):
                outcome = self._runner.run(
                    files, label=label, timeout_s=90 + 3 * expected_s, deselected=self._control.fail_anyway, x=x
                )
            anyway = [name for name in outcome.failed if self._control.fails_alone(name)]
            if not anyway:
                return outcome

    def _finish(self, mutation: Mutation, outcome: Outcome) -> None:
        row = read_results(self._results)[mutation.id]
        row |= {"after": "all", **_verdict(outcome)}
        self._keep(row)

    def _seen(self, path: Path) -> str:
        return path.relative_to(self._runner.copy).as_posix()

    def _keep(self, row: dict[str, Any]) -> None:
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        how = f"by {row['by']}" if "by" in row else f"({row['after']})"
        print(f"{row['status']:8} {row['id']:40} {row['seconds']:6.1f} s {how}", flush=True)


def _verdict(outcome: Outcome) -> dict[str, str]:
    if not outcome.is_bad:
        return {"status": "survived"}
    by = outcome.failed[0] if outcome.failed else f"exit code {outcome.code}"
    return {"status": "timeout" if outcome.timed_out else "caught", "by": by}


# Results


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """The last row of each mutation."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {row["id"]: row for row in map(json.loads, lines)}


def run(tree: Path, name: str, *, full: bool, only: Sequence[str]) -> None:
    """Tries what has no result yet; with `full`, what has survived everything but the whole suite."""
    mutations = read_mutations(HERE / f"overrides-{name}.json")
    if problems := check(tree, mutations):
        raise SystemExit("\n".join(problems))
    results = HERE / f"results-{name}.jsonl"
    work = Path(tempfile.gettempdir()) / "jersey-mutations" / name  # outside of the tree, which is copied there
    work.mkdir(parents=True, exist_ok=True)
    runner = Runner(tree, work)
    trials = Trials(runner, Control(work / "control.json", runner), results)
    known = read_results(results)
    wanted = [mutation for mutation in mutations if not only or mutation.id in only]
    if full:
        rows = [(mutation, known.get(mutation.id, {"status": "not tried"})) for mutation in wanted]
        survivors = [each for each, row in rows if row["status"] == "survived" and row.get("after") != "all"]
        if survivors:
            trials.together(survivors)
    else:
        for mutation in wanted:
            if mutation.id not in known:
                trials.alone(mutation)
    print(summary(name), end="")


def summary(name: str) -> str:
    """Counts and survivors of a run."""
    mutations, results = read_mutations(HERE / f"overrides-{name}.json"), read_results(HERE / f"results-{name}.jsonl")
    rows = [(mutation, results[mutation.id]) for mutation in mutations if mutation.id in results]
    lines = [f"## {name}: {len(rows)} of {len(mutations)} mutations tried", ""]
    lines += ["| | tried | caught | timeout | survived |", "| --- | --- | --- | --- | --- |"]
    for source in ("read", "drawn", "all"):
        some = [row["status"] for mutation, row in rows if source in (mutation.source, "all")]
        counts = [some.count(status) for status in ("caught", "timeout", "survived")]
        lines.append(f"| {source} | {len(some)} | " + " | ".join(map(str, counts)) + " |")
    lines += [
        "",
        f"{sum(row['seconds'] for _, row in rows) / 60:.0f} minutes of tests, without the runs of the whole suite.",
        "",
    ]
    for mutation, row in rows:
        if row["status"] != "caught":
            state = "all" if row.get("after") == "all" else "direct+indirect"
            what = f"{mutation.function} in {row['file']}: {mutation.why}"
            lines.append(f"- {row['status']}({state}) `{mutation.id}`: {what}")
    return "\n".join(lines) + "\n"


def compared(first: str, second: str) -> str:
    """What one run has caught and the other has not."""
    survived: dict[str, dict[str, bool]] = {}
    for name in (first, second):
        rows = read_results(HERE / f"results-{name}.jsonl")
        survived[name] = {each: row["status"] == "survived" for each, row in rows.items()}
    lines = [f"## {first} against {second}", ""]
    for one, other in ((first, second), (second, first)):
        only = [each for each, lives in survived[one].items() if not lives and survived[other].get(each)]
        lines.append(f"- caught in {one}, not in {other}: {', '.join(only) or 'none'}")
    missing = sorted(survived[first].keys() ^ survived[second].keys())
    return "\n".join([*lines, f"- tried in one of them only: {', '.join(missing) or 'none'}"]) + "\n"


# Drawing at random

_SWAPPED: dict[type[ast.AST], str] = dict(
    zip(
        (
            *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot),
            *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.And, ast.Or),
        ),
        (*("<=", "<", ">=", ">", "!=", "==", "not in", "in", "is not", "is"), *("-", "+", "/", "*", "or", "and")),
        strict=True,
    )
)


def drawn(tree: Path, *, seed: int, count: int, skipped: Sequence[str]) -> list[dict[str, str]]:
    """Random mutations, as many as asked for, from all packages about alike; they still have to be looked through.

    Args:
        tree: the library.
        seed: of the draws.
        count: how many.
        skipped: parts of paths that are left out.
    """
    rng = random.Random(seed)
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in library_files(tree):
        name = path.relative_to(tree).as_posix()
        if not any(part in name for part in skipped):
            group = "/".join(name.split("/")[:-1]) if name.count("/") > 1 else name
            groups[group] += _candidates(path)
    names = sorted(name for name in groups if groups[name])
    found: list[dict[str, str]] = []
    while len(found) < count and any(groups.values()):
        for name in rng.sample(names, len(names)):
            if len(found) == count or not groups[name]:
                continue
            each = groups[name].pop(rng.randrange(len(groups[name])))
            taken = {(other["function"], other["before"]) for other in found}
            mutation = Mutation("?", each["function"], each["before"], each["after"])
            fits = places(tree, mutation)
            if len(fits) == 1 and (each["function"], each["before"]) not in taken:
                found.append({"id": f"drawn-{len(found) + 1}", "from": "drawn", "file": name, **each})
    return found


def _candidates(path: Path) -> list[dict[str, str]]:
    """Every change of one token or statement in the functions of a file that stays on one line."""
    text = path.read_text(encoding="utf-8")
    lines, module = text.splitlines(), ast.parse(text)
    found: list[dict[str, str]] = []
    for name, first, last in spans(module):
        for node in ast.walk(module):
            if not isinstance(node, ast.stmt | ast.expr) or node.lineno != node.end_lineno:
                continue
            if not first < node.lineno - 1 <= last:
                continue
            line = lines[node.lineno - 1]
            if any(word in line for word in ('f"', "Error(", "log.", '"""')):
                continue
            inner = [other for other, start, end in spans(module) if start <= node.lineno - 1 <= end]
            if inner[-1] != name:
                continue
            for after, why in _changes(node, line):
                if after.strip() != line.strip():
                    found.append({"function": name, "before": line.strip(), "after": after.strip(), "why": why})
    return found


def _changes(node: ast.AST, line: str) -> Iterator[tuple[str, str]]:
    """The line with one change, and what it is."""

    def put(part: ast.expr | ast.stmt, new: str) -> str:
        # Columns are bytes.
        raw = line.encode()
        return (raw[: part.col_offset] + new.encode() + raw[part.end_col_offset :]).decode()

    def between(left: ast.expr, right: ast.expr, new: str) -> str:
        raw = line.encode()
        return (raw[: left.end_col_offset] + f" {new} ".encode() + raw[right.col_offset :]).decode()

    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        yield between(node.left, node.comparators[0], _SWAPPED[type(node.ops[0])]), "another comparison"
    elif isinstance(node, ast.BinOp) and type(node.op) in _SWAPPED:
        yield between(node.left, node.right, _SWAPPED[type(node.op)]), "another operation"
    elif isinstance(node, ast.BoolOp):
        yield between(node.values[0], node.values[1], _SWAPPED[type(node.op)]), "and for or"
    elif isinstance(node, ast.IfExp | ast.If) and node.test.lineno == node.test.end_lineno:
        yield put(node.test, f"not ({ast.unparse(node.test)})"), "the condition negated"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield put(node, str(not node.value)), "another constant"
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield put(node, str(node.value + 1)), "another constant"
    elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield put(node, DROPPED), "a statement dropped"
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield put(node, "return None"), "nothing returned"
    elif isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords:
        first, second = map(ast.unparse, node.args)
        yield put(node, f"{ast.unparse(node.func)}({second}, {first})"), "arguments swapped"


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "run", "draw"):
        command = commands.add_parser(name)
        command.add_argument("tree", type=lambda text: Path(text).resolve())
        command.add_argument("--name", default="before", help="of the run")
        command.add_argument("--python", type=Path, help="what has the dependencies (TREE/.venv/bin/python)")
        command.add_argument("--full", action="store_true")
        command.add_argument("--only", nargs="*", default=[], metavar="ID")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--count", type=int, default=50)
        command.add_argument("--skip", nargs="*", default=["/bench/", "/plots/", "__main__"])
    commands.add_parser("summary").add_argument("names", nargs="+")
    flags = parser.parse_args()
    if flags.command == "summary":
        print("\n".join(map(summary, flags.names)))
        if len(flags.names) == 2:
            print(compared(*flags.names), end="")
        return
    if flags.command == "check":
        mutations = read_mutations(HERE / f"overrides-{flags.name}.json")
        problems = check(flags.tree, mutations)
        print("\n".join([*problems, f"{len(mutations) - len(problems)} of {len(mutations)} mutations fit"]))
        sys.exit(1 if problems else 0)
    if flags.command == "draw":
        for each in drawn(flags.tree, seed=flags.seed, count=flags.count, skipped=flags.skip):
            print(json.dumps(each, ensure_ascii=False))
        return
    python = flags.python or flags.tree / ".venv" / "bin" / "python"
    if Path(sys.executable).absolute() != python.absolute():
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # before torch is imported
    sys.dont_write_bytecode = True
    os.nice(10)
    run(flags.tree, flags.name, full=flags.full, only=flags.only)


if __name__ == "__main__":
    main()
