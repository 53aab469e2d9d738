"""Checks that the tests detect small faults in the library: each mutation is applied alone, and the tests are run.

    cd tests/robustness/mutations
    python mutate.py check TREE                 checks that every mutation fits exactly one place
    python mutate.py run TREE --name after      runs those without a result, appends to results-after.jsonl
    python mutate.py run TREE --name after --full   runs the default suite on the survivors
    python mutate.py summary before after       counts, survivors, and differences of two runs

TREE is a checkout with its own `.venv`, or `--python` names another. Mutations are lines of `mutations.jsonl`: id, from
("read" for one found by review, "drawn" for a random one), function ("Class.method", or `<module>` outside of
functions), before (one or several lines), after (their replacement), why (the consequence). A place is found by
function and lines, anywhere below `jersey/`. `overrides-NAME.json` of the run NAME adapts mutations to later changes of
the code, {id: {"function": ..., "before": ..., "after": ...}}; an id with `null` is excluded.

The tests run in a copy of the tree, in processes forked from one that has imported torch and all else but `jersey`.
First come the test files that import the mutated module, then those that reach it through one other module or a helper,
and then, with `--full`, all others. Before the first mutation the suite is run on the unchanged copy. Tests that fail
there, or later in a file that is run alone, are ignored.
"""

import argparse
import ast
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PRELOADED = [
    *("torch.export", "torch.onnx", "torch._dynamo", "torchvision.transforms.v2", "torchmetrics", "lightning.pytorch"),
    *("fiddle.selectors", "fiddle.experimental.serialization", "absl.flags", "matplotlib.backends.backend_agg"),
    *("onnx", "onnxscript", "onnxruntime.quantization", "sklearn.metrics", "hypothesis", "pytest", "pytest_timeout"),
]
NOT_COPIED = ("__pycache__", ".*_cache", ".hypothesis", "*.egg-info", ".git", ".venv", "runs", "dist")
FLAGS = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-n", "0", "--hypothesis-seed=0", "--timeout=120"]
FLAGS += [
    "-m",
    "not slow and not gpu",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
]  # raised for preloaded modules
INDIRECT_S = 120.0  # of tests that reach the mutated module indirectly, the fastest files first

Row = dict[str, Any]  # a mutation, or its result: a line of a file


class Misfit(Exception):
    """Raised if a mutation fits no place or several places, or changes nothing."""


def read_rows(path: Path) -> dict[str, Row]:
    """Returns the last row of each mutation."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {row["id"]: row for row in map(json.loads, lines)}


def read_mutations(name: str) -> list[Row]:
    """Returns all mutations with the overrides of a run."""
    rows, overrides = read_rows(HERE / "mutations.jsonl"), HERE / f"overrides-{name}.json"
    changes = json.loads(overrides.read_text(encoding="utf-8")) if overrides.exists() else {}
    if unknown := changes.keys() - rows.keys():
        raise SystemExit(f"{overrides} changes mutations that do not exist: {', '.join(sorted(unknown))}")
    return [row | changes.get(each, {}) for each, row in rows.items() if changes.get(each, {}) is not None]


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, set[int]]]:
    """Yields the qualified name and lines (from 0) of each function, including nested ones, without decorators."""
    for child in ast.iter_child_nodes(node):
        inner = f"{prefix}{child.name}." if hasattr(child, "name") and hasattr(child, "body") else prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner[:-1], set(range(child.lineno - 1, child.end_lineno or child.lineno))
        yield from functions(child, inner)


def mutated(tree: Path, mutation: Row) -> tuple[Path, str]:
    """Returns the file to change and its mutated text, or raises Misfit."""
    wanted, found = [line.strip() for line in mutation["before"].splitlines()], []
    for path in (tree / "jersey").rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        starts = [at for at in range(len(lines)) if [line.strip() for line in lines[at : at + len(wanted)]] == wanted]
        if starts:
            areas = list(functions(ast.parse("\n".join(lines))))
            outside = set(range(len(lines))).difference(*(area for _, area in areas))
            names = [*areas, ("<module>", outside)]
            inside = set().union(*(area for name, area in names if name == mutation["function"]))
            found += [(path, at, lines) for at in starts if at in inside]
    if len(found) != 1:
        at = ", ".join(f"{path.relative_to(tree)}:{line + 1}" for path, line, _ in found)
        raise Misfit(f"{mutation['id']} fits {len(found)} places ({at}): {mutation['function']}")
    ((path, first, lines),) = found
    before = ast.dump(ast.parse("\n".join(lines)))
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    lines[first : first + len(wanted)] = [f"{indent}{line}" for line in mutation["after"].splitlines()]
    changed = "\n".join(lines) + "\n"
    try:
        if ast.dump(ast.parse(changed)) == before:
            raise Misfit(f"{mutation['id']} changes nothing")
    except SyntaxError as error:
        raise Misfit(f"{mutation['id']} is not valid Python: {error}") from None
    return path, changed


@contextmanager
def put_in(tree: Path, mutations: Iterable[Row]) -> Iterator[list[Row]]:
    """Applies mutations to a tree and removes them at the end; yields those that fit beside the others."""
    texts: dict[Path, str] = {}
    there = []
    try:
        for mutation in mutations:
            with suppress(Misfit):  # another mutation has changed its line
                path, changed = mutated(tree, mutation)
                texts.setdefault(path, path.read_text(encoding="utf-8"))
                path.write_text(changed, encoding="utf-8")
                there.append(mutation)
        yield there
    finally:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")


def check(tree: Path, mutations: Sequence[Row]) -> int:
    """Prints the misfits and the number of mutations that fit; returns the exit code."""
    problems = []
    for mutation in mutations:
        try:
            mutated(tree, mutation)
        except Misfit as problem:
            problems.append(str(problem))
    print("\n".join([*problems, f"{len(mutations) - len(problems)} of {len(mutations)} mutations fit"]))
    return 1 if problems else 0


def imported(path: Path) -> set[str]:
    """Returns the dotted names that a file imports, or contains as strings for `python -m`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value, f"{node.value}.__main__"}
    return found


def nearest(tree: Path, path: Path) -> tuple[set[str], set[str]]:
    """Returns the test files that import a module directly, and those that reach it indirectly."""
    names = {each: imported(each) for folder in ("jersey", "tests") for each in (tree / folder).rglob("*.py")}
    files = {each.relative_to(tree).as_posix(): each for each in names}
    dotted = {each: key[:-3].replace("/", ".").removesuffix(".__init__") for key, each in files.items()}
    nearer = {dotted[each] for each in names if dotted[path] in names[each]} | {dotted[path]}
    helpers = {each.stem: each for key, each in files.items() if key.startswith("tests/") and "/test_" not in key}

    def reached(each: Path, seen: set[Path]) -> set[str]:
        seen.add(each)
        used = {helpers[word] for name in names[each] for word in name.split(".")[-2:] if word in helpers} - seen
        return names[each].union(*(reached(helper, seen) for helper in used))

    tests = {key: each for key, each in files.items() if each.name.startswith("test_")}
    direct = {key for key, each in tests.items() if dotted[path] in names[each]}
    return direct, {key for key, each in tests.items() if nearer & reached(each, set())} - direct


class Recorder:
    """A pytest plugin that appends every result to a file at once, so that a crash loses nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Records a test, its fixtures, or the import of a file."""
        row = {"id": report.nodeid, "failed": report.failed, "took": getattr(report, "duration", 0.0)}
        row["is_call"] = getattr(report, "when", "") == "call"
        row["timed_out"] = report.failed and "Timeout (>" in str(report.longrepr)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    pytest_collectreport = pytest_runtest_logreport


class Outcome:
    """The outcome of one pytest run: the rows of `Recorder`, and the exit code of the process."""

    def __init__(self, record: Path, code: int, seconds: float, *, is_late: bool) -> None:
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        rows = [json.loads(line) for line in lines]
        self.code, self.seconds, self.tests = code, seconds, sum(row["is_call"] for row in rows)
        self.failed = [row["id"] for row in rows if row["failed"]]
        self.durations: Counter[str] = Counter()
        for row in (row for row in rows if row["took"]):
            self.durations[row["id"].partition("::")[0]] += row["took"]
        self.is_bad = bool(self.failed) or is_late or code not in (0, 5)  # 5: no test was collected
        self.verdict = {"status": "survived"}
        if self.is_bad:
            is_late |= any(row["timed_out"] for row in rows)
            by = self.failed[0] if self.failed else f"exit code {code}"
            self.verdict = {"status": "timeout" if is_late else "caught", "by": by}


class Runner:
    """Runs pytest in a copy of a tree below `work`, each time in a process forked from a prepared one."""

    def __init__(self, tree: Path, work: Path) -> None:
        self.copy, self._tmp, self._logs = work / "scratch", work / "t", work / "logs"
        shutil.rmtree(self.copy, ignore_errors=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        shutil.copytree(tree, self.copy, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        # Byte code is validated by the source's hash, so only mutated files are compiled again.
        flags = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "jersey", "experiments"]
        subprocess.run([sys.executable, *flags], cwd=self.copy, check=True)
        os.environ |= {"PYTHONPATH": str(self.copy), "TMPDIR": str(self._tmp), "PYTHONDONTWRITEBYTECODE": "1"}
        os.environ["OMP_NUM_THREADS"] = "1"
        os.chdir(self.copy)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(PRELOADED)

    def run(
        self, files: Iterable[str], *, label: str, timeout_s: float, deselected: Iterable[str] = (), x: bool = False
    ) -> Outcome:
        """Runs the tests of some files in order, with a log named by the label; `x` stops at the first failure."""
        for folder in (self._tmp, self.copy / ".hypothesis"):
            shutil.rmtree(folder, ignore_errors=True)
        self._tmp.mkdir()
        flags = [*FLAGS, f"--basetemp={self._tmp / 'b'}", *["-x"][: int(x)]]
        flags += [f"--deselect={name}" for name in deselected]
        started, record = time.monotonic(), self._tmp / "record.jsonl"
        arguments = (self.copy, [*flags, *files], record, self._logs / f"{label}.log")
        process = self._processes.Process(target=_pytest, args=arguments)
        process.start()
        process.join(timeout_s)
        is_late = process.is_alive()
        process.kill()
        process.join()
        with suppress(ProcessLookupError):  # ends processes that the tests started
            os.killpg(process.pid or 0, signal.SIGKILL)
        return Outcome(record, process.exitcode or 0, time.monotonic() - started, is_late=is_late)


def _pytest(copy: Path, arguments: list[str], record: Path, log: Path) -> None:
    """Runs pytest in the current process, which then ends with pytest's exit code."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    # Otherwise processes that tests start by `multiprocessing` would import this file as their main module.
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path[:] = [str(copy), *(entry for entry in sys.path if entry != str(HERE))]
    import pytest

    import jersey

    assert str(jersey.__file__).startswith(str(copy)), f"jersey is imported from {jersey.__file__}"
    code = int(pytest.main(arguments, plugins=[Recorder(record)]))
    sys.stdout.flush()
    os._exit(code)


class Trials:
    """Runs tests with mutations, and appends the results.

    A file `control` keeps the results without mutations: the duration of each file, and the tests that fail anyway.
    """

    def __init__(self, runner: Runner, control: Path, results: Path) -> None:
        self._runner, self._file, self._results = runner, control, results
        if not control.exists():
            outcome = runner.run(["tests"], label="control", timeout_s=3600)
            if outcome.code not in (0, 1) or not outcome.tests:
                raise SystemExit("the suite does not run without mutations; see the log of `control`")
            self._note({"durations": outcome.durations, "fail_anyway": outcome.failed, "looked_at": []})
            print(f"control: {outcome.tests} tests, {outcome.seconds:.0f} s, fail: {outcome.failed}", flush=True)
        self._control = json.loads(control.read_text(encoding="utf-8"))

    def _note(self, control: Row) -> None:
        self._file.write_text(json.dumps(control, indent=1) + "\n", encoding="utf-8")

    def _quick_first(self, files: Collection[str]) -> list[str]:
        """Returns the files that have tests of the default suite, the fastest first."""
        durations = self._control["durations"]
        return sorted(durations.keys() & files, key=durations.__getitem__)

    def _seconds(self, files: Iterable[str]) -> float:
        return sum(self._control["durations"][file] for file in files)

    def alone(self, mutation: Row) -> None:
        """Runs one mutation: first the tests that import its module, then those that reach it."""
        path, _ = mutated(self._runner.copy, mutation)
        direct, indirect = map(self._quick_first, nearest(self._runner.copy, path))
        kept = [each for at, each in enumerate(indirect) if self._seconds(indirect[: at + 1]) <= INDIRECT_S]
        row = {"id": mutation["id"], "file": path.relative_to(self._runner.copy).as_posix(), "status": "survived"}
        row |= {"after": "no test", "direct": len(direct), "indirect": len(kept), "tests": 0, "seconds": 0.0}
        row["left_out"] = len(indirect) - len(kept)
        for stage, files in (("direct", direct), ("indirect", kept)):
            if files and row["status"] == "survived":
                outcome = self._with([mutation], files, label=f"{mutation['id']}-{stage}", x=True)
                row |= {"after": stage, "tests": row["tests"] + outcome.tests, **outcome.verdict}
                row["seconds"] = round(row["seconds"] + outcome.seconds, 1)
        self._keep(row)

    def together(self, mutations: Iterable[Row]) -> None:
        """Runs the suite with all mutations at once, then the failing files with each alone, until none is caught.

        So the suite runs a few times instead of once per mutation. Of several mutations in one function only the first
        takes part in a turn, because it could keep the others from being reached.
        """
        left, everything = list(mutations), self._quick_first(self._control["durations"].keys())
        while left:
            with put_in(self._runner.copy, {each["function"]: each for each in left[::-1]}.values()) as there:
                pass
            outcome = self._with(there, everything, label="together")
            print(f"{len(there)} together: {len(outcome.failed)} failures, {outcome.seconds:.0f} s", flush=True)
            failing = self._quick_first({name.partition("::")[0] for name in outcome.failed}) or everything
            ends = {each["id"]: outcome for each in there}
            if outcome.is_bad and len(there) > 1:
                ends = {
                    name: self._with([each], failing, label=f"{name}-all", x=True)
                    for each in there
                    for name in [each["id"]]
                }
            bad = [each for each in there if ends[each["id"]].is_bad]
            for each in bad or there:
                self._keep(read_rows(self._results)[each["id"]] | {"after": "all", **ends[each["id"]].verdict})
                left.remove(each)

    def _with(self, mutations: Iterable[Row], files: Sequence[str], *, label: str, x: bool = False) -> Outcome:
        """Returns the outcome with mutations, without tests that also fail unmutated if their file runs alone."""
        while True:
            anyway, timeout_s = self._control["fail_anyway"], 90 + 3 * self._seconds(files)
            with put_in(self._runner.copy, mutations):
                outcome = self._runner.run(files, label=label, timeout_s=timeout_s, deselected=anyway, x=x)
            for file in {name.partition("::")[0] for name in outcome.failed} - set(self._control["looked_at"]):
                alone = self._runner.run([file], label="alone", timeout_s=900, deselected=anyway)
                self._control["looked_at"].append(file)
                self._control["fail_anyway"] += alone.failed
                self._note(self._control)
            if not set(outcome.failed) & set(self._control["fail_anyway"]):
                return outcome

    def _keep(self, row: Row) -> None:
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{row['status']:8} {row['id']:40} {row['seconds']:6.1f} s {row.get('by', row['after'])}", flush=True)


def run(tree: Path, name: str, *, full: bool, only: Collection[str]) -> None:
    """Runs mutations without a result; with `full`, those that survived everything but the whole suite."""
    mutations, results = read_mutations(name), HERE / f"results-{name}.jsonl"
    if check(tree, mutations):
        sys.exit(1)
    work = (
        Path(tempfile.gettempdir()) / "jersey-mutations" / name
    )  # outside of the tree, because the tree is copied there
    trials, known = Trials(Runner(tree, work), work / "control.json", results), read_rows(results)
    wanted = [mutation for mutation in mutations if not only or mutation["id"] in only]
    if full:
        survivors = {each for each, row in known.items() if row["status"] == "survived" and row["after"] != "all"}
        trials.together(mutation for mutation in wanted if mutation["id"] in survivors)
    else:
        for mutation in wanted:
            if mutation["id"] not in known:
                trials.alone(mutation)
    print(summary(name))


def summary(name: str) -> str:
    """Formats the counts and survivors of a run."""
    mutations, results = read_mutations(name), read_rows(HERE / f"results-{name}.jsonl")
    rows = [mutation | results[mutation["id"]] for mutation in mutations if mutation["id"] in results]
    lines = [f"## {name}: {len(rows)} of {len(mutations)} mutations tried", ""]
    lines += ["| | tried | caught | timeout | survived |", "| --- | --- | --- | --- | --- |"]
    for source in ("read", "drawn", "all"):
        some = Counter(row["status"] for row in rows if source in (row["from"], "all"))
        lines.append(f"| {source} | {some.total()} | {some['caught']} | {some['timeout']} | {some['survived']} |")
    lines += ["", f"{sum(row['seconds'] for row in rows) / 60:.0f} minutes of tests, without the whole suite.", ""]
    for row in rows:
        if row["status"] != "caught":
            state = "all" if row["after"] == "all" else "direct+indirect"
            lines.append(f"- {row['status']}({state}) `{row['id']}`: {row['function']} in {row['file']}: {row['why']}")
    return "\n".join(lines) + "\n"


def compared(first: str, second: str) -> str:
    """Formats the mutations that one run caught and the other did not."""
    status = {name: read_rows(HERE / f"results-{name}.jsonl") for name in (first, second)}
    lines = [f"## {first} against {second}", ""]
    for one, other in ((first, second), (second, first)):
        both = [each for each in status[one] if each in status[other]]
        only = [each for each in both if status[one][each]["status"] != "survived" == status[other][each]["status"]]
        lines.append(f"- caught in {one}, not in {other}: {', '.join(only) or 'none'}")
    missing = sorted(status[first].keys() ^ status[second].keys())
    return "\n".join([*lines, f"- tried in one of them only: {', '.join(missing) or 'none'}"])


def main() -> None:
    """Runs the command; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("check", "run", "summary"))
    parser.add_argument("names", nargs="+", help="TREE; for `summary`, the names of one or two runs")
    parser.add_argument("--name", default="before", help="name of the run")
    parser.add_argument("--python", type=Path, help="interpreter with the dependencies (TREE/.venv/bin/python)")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", nargs="*", default=[], metavar="ID")
    flags = parser.parse_args()
    tree = Path(flags.names[0]).resolve()
    if flags.command == "summary":
        print("\n".join([*map(summary, flags.names), *([compared(*flags.names)] if len(flags.names) == 2 else [])]))
    elif flags.command == "check":
        sys.exit(check(tree, read_mutations(flags.name)))
    elif Path(sys.executable).absolute() != (python := flags.python or tree / ".venv" / "bin" / "python").absolute():
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])
    else:
        os.nice(10)
        run(tree, flags.name, full=flags.full, only=flags.only)


if __name__ == "__main__":
    main()
