"""Checks everything that depends on a GPU, in one command of at most eight minutes.

    python -m jersey.bench.gpu OUT
    python -m jersey.bench.gpu OUT --parts reader --limit_s=590

Each part is a process of its own, so its failure does not affect the others. A part gets a fraction of the remaining
time, and leaves what it does not need to the later ones. At its limit it is asked to stop by SIGTERM, on which a run
saves its state, and is killed some seconds later.

- tests: the tests that need a GPU;
- run: the quick start with 20,000 train crops, from the first crop to the report;
- speed: `jersey.bench.epoch` at several sizes, with two networks and two batch sizes;
- compile: `jersey.bench.train_step` with two modes of torch.compile, of which one records CUDA graphs;
- inference: `jersey.bench.onnx_latency` with large batches, in which the GPU is compared with the CPU;
- reader: pretraining of the reader, on as many crops as can be generated in a third of the part's time.

`OUT/results.json` and `OUT/results.md` are rewritten after each part. `OUT` also receives the log of each part, the
report and the metrics of the runs, and the weights of the reader in parts of at most 16 MiB, which `cat` joins. Crops
and run folders are in a temporary folder. Without a GPU, every part runs on the CPU at a toy size, and the tests are
only collected. Compiling then takes minutes, so set TORCHDYNAMO_DISABLE=1 or a larger --limit_s. On a busy machine, set
OMP_NUM_THREADS=1 too, because threads that wait for each other make each step many times slower.
"""

import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import jersey
from jersey.bench import harness
from jersey.core.atomic import write_text
from jersey.core.errors import UserError
from jersey.core.tables import markdown_table
from jersey.runs.folder import BEST_CHECKPOINT, LAST_CHECKPOINT
from jersey.runs.metrics_csv import read_metrics
from jersey.runs.provenance import record_start
from jersey.runs.signals import handle_signals

CHECKOUT = Path(jersey.__file__).parents[1]
LIMIT_S = 470.0  # of all parts; the start of this process and the last files take some seconds
LOG_LINES = 20  # of a part that failed, in the results
GRACE_S = 15.0  # from SIGTERM to SIGKILL
CROPS_PER_CORE_S = 25  # generated and decoded by each core of the machine in BUILD_NOTES.md
WEIGHTS_BYTES = 16 * 2**20  # of each part of the weights
PACKAGES = ("torchvision", "numpy", "lightning", "onnxruntime", "timm")
OUTCOMES = re.compile(r"^(\S+::.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")
# The stages of a run, each with the file that is written at its end.
STAGES = {
    "start": "config.txt",
    "data": "audit.json",
    "training": LAST_CHECKPOINT,
    "test": "predictions_test.csv",
    "export": "model.onnx",
    "report": "report.html",
}
# Writes a config of the recipe from scratch on the crops of the quick start, and times its epochs.
TIME_EPOCHS = """
import pathlib, runpy, sys
from jersey import config as configs
from jersey.recipes.quickstart import quickstart
from jersey.recipes.resnet18_small import resnet18_small
config = resnet18_small()
config.data.generate = quickstart().data.generate
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
(folder / "config.json").write_text(configs.to_json(config, "resnet18_small"), encoding="utf-8")
runpy.run_module("jersey.bench.epoch", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Setting:
    """What all parts share.

    Attributes:
        out: folder of the results.
        work: temporary folder of crops and runs.
        is_toy: whether the parts run at a toy size.
    """

    out: Path
    work: Path
    is_toy: bool


@dataclass(frozen=True)
class Ended:
    """The end of a part.

    Attributes:
        status: "ok", "timed out", or "failed" with the exit code.
        started_s: its start, in seconds since the epoch.
        seconds: its duration.
        lines: its output.
    """

    status: str
    started_s: float
    seconds: float
    lines: list[str]


@dataclass(frozen=True)
class Part:
    """A part of the check.

    Attributes:
        weight: the part gets this fraction of the remaining time, divided by the weights of all remaining parts.
        command: function of the setting and of the part's time limit in seconds; returns the arguments of Python.
        results: function that returns the results to record, and may write files to `Setting.out`.
    """

    weight: float
    command: Callable[[Setting, float], list[str]]
    results: Callable[[Setting, Ended], dict[str, Any]]


def _test_command(setting: Setting, _: float) -> list[str]:
    tests = [file for file in sorted((CHECKOUT / "tests").rglob("test_*.py")) if "mark.gpu" in file.read_text("utf-8")]
    files = [str(file.relative_to(CHECKOUT)) for file in tests]  # others may import packages that are missing
    options = ["-o", "addopts=", "-p", "no:cacheprovider", "-m", "gpu", "-v", "--durations=10"]
    return ["-m", "pytest", *options, *["--collect-only"] * setting.is_toy, *files]


def _test_results(_: Setting, ended: Ended) -> dict[str, Any]:
    outcomes = [found.groups() for found in map(OUTCOMES.match, ended.lines) if found]
    failed = [name for name, outcome in outcomes if outcome in ("FAILED", "ERROR")]
    return {"last line": ended.lines[-1].strip("= "), **Counter(outcome for _, outcome in outcomes), "failed": failed}


def _crops(setting: Setting) -> list[str]:
    """Returns the overrides for the crops of the quick start, which two parts use."""
    train, others = (24, ["data.generate.val=12", "data.generate.test=12"]) if setting.is_toy else (20_000, [])
    return [*_generated(setting.work / "crops"), f"data.generate.train={train}", *others]


def _generated(root: Path) -> list[str]:
    """Returns the changes that let the synthetic crops be generated in this folder."""
    return [f"data.root={root}", f"data.generated_root={root}"]


def _launch(setting: Setting, experiment: str, changes: list[str]) -> list[str]:
    toy = ["data.size_px=(32, 32)", "data.batch_size=8", "trainer.epochs=1"] if setting.is_toy else []
    flags = [f"--exp={experiment}", "--run=run", f"--workdir={setting.work / 'runs'}"]
    return ["launch.py", *flags, *(f"--fdl_set={change}" for change in (*changes, *toy))]


def _run_command(setting: Setting, _: float) -> list[str]:
    return _launch(setting, "quickstart", _crops(setting))


def _run_results(setting: Setting, ended: Ended, experiment: str = "quickstart") -> dict[str, Any]:
    """Returns accuracies and the seconds of each finished stage, and copies the curves and the report."""
    folder, previous_s, stages_s = setting.work / "runs" / experiment / "run", ended.started_s, {}
    for stage, file in STAGES.items():
        if (folder / file).exists():
            written_s = (folder / file).stat().st_mtime
            stages_s[stage], previous_s = round(written_s - previous_s, 1), written_s
    for name in ("metrics.csv", "report.md"):
        if (folder / name).exists():
            shutil.copy(folder / name, setting.out / f"{experiment}_{name}")
    curves, test = read_metrics(folder / "metrics.csv")
    return {
        "val/acc_top1 by epoch": [round(value, 4) for _, value in curves.get("val/acc_top1", [])],
        "test/acc_top1": test.get("test/acc_top1"),
        "export": "verified" if (folder / STAGES["export"]).exists() else "missing",
        "seconds by stage": stages_s,
    }


def _epoch_command(setting: Setting, _: float) -> list[str]:
    sizes = "--architectures resnet18 resnet50 --px 64 128 224 --batch_sizes 256 1024 --rounds=3 --batches=5"
    if setting.is_toy:
        sizes = "--px 24 --batch_sizes 8 --rounds=2 --batches=1"
    changes = [f"--set={change}" for change in _crops(setting)]
    return ["-c", TIME_EPOCHS, str(setting.work / "epochs"), *sizes.split(), *changes]


def _epoch_results(_: Setting, ended: Ended) -> dict[str, Any]:
    rows = [json.loads(line) for line in ended.lines if line.startswith('{"changes')]
    return {"rows": [row | {"changes": ", ".join(row["changes"])} for row in rows]}


def _step_command(setting: Setting, _: float) -> list[str]:
    sizes = "--px 24 --batch_size 8 --rounds 2" if setting.is_toy else "--px 128 --batch_size 256"
    return ["-m", "jersey.bench.train_step", *sizes.split(), "--compile_modes", "default", "reduce-overhead"]


def _step_results(_: Setting, ended: Ended) -> dict[str, Any]:
    return {"rows": [{"step": name, **numbers} for name, numbers in json.loads(ended.lines[-1])["steps"].items()]}


def _latency_command(setting: Setting, _: float) -> list[str]:
    sizes = "--px 32 --batch_sizes 1 2" if setting.is_toy else "--px 64 --batch_sizes 1 64 1024"
    return ["-m", "jersey.bench.onnx_latency", *sizes.split()]


def _latency_results(_: Setting, ended: Ended) -> dict[str, Any]:
    rows = []
    for name, batches in json.loads(ended.lines[-1])["networks"].items():
        for batch, numbers in batches.items():
            crops = int(batch.removeprefix("batch "))
            speeds = {candidate: round(1000 * crops / each["median_ms"]) for candidate, each in numbers.items()}
            rows.append({"crops/s": f"{name}, {batch}", **speeds})
    return {"rows": rows}


def _reader_command(setting: Setting, limit_s: float) -> list[str]:
    crops, others = int(limit_s / 3 * CROPS_PER_CORE_S * (os.cpu_count() or 1)), 1010
    changes = _generated(setting.work / "reader")
    if setting.is_toy:
        crops, others = 24, 12
        changes.append("data.generate.numbers=('7', '23')")
    counts = {"train": crops, "val": others, "test": others}
    return _launch(setting, "reader", [*changes, *(f"data.generate.{name}={n}" for name, n in counts.items())])


def _reader_results(setting: Setting, ended: Ended) -> dict[str, Any]:
    """Returns the results of the run, and writes its best weights in parts."""
    checkpoint, parts = setting.work / "runs" / "reader" / "run" / BEST_CHECKPOINT, list[Path]()
    if checkpoint.exists():
        content = io.BytesIO()
        torch.save(torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"], content)
        for start in range(0, content.tell(), WEIGHTS_BYTES):
            parts.append(setting.out / f"reader_weights.pt.{len(parts)}")
            parts[-1].write_bytes(content.getvalue()[start : start + WEIGHTS_BYTES])
    return {**_run_results(setting, ended, "reader"), "weights": [part.name for part in parts]}


PARTS = {
    "tests": Part(130, _test_command, _test_results),
    "run": Part(150, _run_command, _run_results),
    "speed": Part(110, _epoch_command, _epoch_results),
    "compile": Part(80, _step_command, _step_results),
    "inference": Part(25, _latency_command, _latency_results),
    "reader": Part(55, _reader_command, _reader_results),
}


def measure(folder: Path, parts: tuple[str, ...] = tuple(PARTS), limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Runs the parts one after the other, and rewrites the results after each.

    Args:
        folder: folder of the results, such as /tmp/gpu.
        parts: parts to run, in this order, such as run speed.
        limit_s: time limit of all parts in seconds, such as 590.

    Raises:
        UserError: if a part is unknown.
    """
    if unknown := sorted(set(parts) - set(PARTS)):
        raise UserError(f"unknown parts: {', '.join(unknown)}; use some of {', '.join(PARTS)}")
    deadline_s = time.monotonic() + limit_s
    setting = Setting(folder.resolve(), harness.workdir(), is_toy=not torch.cuda.is_available())
    setting.out.mkdir(parents=True, exist_ok=True)
    versions = {each.name: each.version for each in importlib.metadata.distributions() if each.name in PACKAGES}
    found: dict[str, Any] = {"machine": f"{harness.machine()}, {os.cpu_count()} CPU cores", "versions": versions}
    found |= {"python": platform.python_version(), "commit": record_start(setting.out).commit, "parts": {}}
    with handle_signals():  # so that the process of a part is ended with this one
        for index, name in enumerate(parts):
            part, weights = PARTS[name], [PARTS[each].weight for each in parts[index:]]
            part_s = max(1.0, deadline_s - time.monotonic()) * part.weight / sum(weights)
            ended = run_limited(part.command(setting, part_s), setting.out / f"{name}.log", part_s)
            times = {"seconds": round(ended.seconds, 1), "limit_s": round(part_s, 1)}
            log = {} if ended.status == "ok" else {"log": ended.lines[-LOG_LINES:]}
            found["parts"][name] = {"status": ended.status, **times, **_results(part, setting, ended), **log}
            print(f"{name}: {ended.status} after {ended.seconds:.0f} of {part_s:.0f} s", flush=True)
            write_text(setting.out / "results.json", json.dumps(found, indent=2) + "\n")
            write_text(setting.out / "results.md", as_markdown(found))
    return {**found, "passed": all(part["status"] == "ok" for part in found["parts"].values())}


def _results(part: Part, setting: Setting, ended: Ended) -> dict[str, Any]:
    try:
        return part.results(setting, ended)
    except Exception as error:  # a part that failed early lacks files or lines, and must not end the check
        return {"error": repr(error)}


def run_limited(arguments: list[str], log: Path, limit_s: float) -> Ended:
    """Runs Python in the checkout for a limited time, and ends the processes that it leaves.

    Args:
        arguments: arguments of Python.
        log: file for its output.
        limit_s: time limit in seconds; SIGTERM is sent up to `GRACE_S` before it.
    """
    started_s, began_s, grace_s = time.time(), time.monotonic(), min(GRACE_S, limit_s / 2)
    with log.open("w", encoding="utf-8") as output:
        settings: dict[str, Any] = {"cwd": CHECKOUT, "env": os.environ | {"PYTHONUNBUFFERED": "1"}}
        settings |= {"stdout": output, "stderr": subprocess.STDOUT, "start_new_session": True}
        process = subprocess.Popen([sys.executable, *arguments], **settings)
    try:
        code = process.wait(limit_s - grace_s)
        status = f"failed with exit code {code}" if code else "ok"
    except subprocess.TimeoutExpired:
        status = "timed out"
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return Ended(status, started_s, time.monotonic() - began_s, lines)


def as_markdown(found: dict[str, Any]) -> str:
    """Returns the results as a page: one table of all parts, and a section for each."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()))
    lines = [f"{found['machine']}, Python {found['python']}, {versions}, commit {found['commit']}.", ""]
    columns = ("status", "seconds", "limit_s")
    parts = [[name, *(str(part[column]) for column in columns)] for name, part in found["parts"].items()]
    lines += markdown_table([["part", *columns], *parts])
    for name, part in found["parts"].items():
        values = [(key, str(value)) for key, value in part.items() if key not in (*columns, "rows", "log")]
        lines += ["", f"## {name}", "", *(markdown_table([("result", "value"), *values]) if values else [])]
        if rows := part.get("rows"):
            keys = [*dict.fromkeys(key for row in rows for key in row if not isinstance(row[key], dict))]
            lines += markdown_table([keys, *([str(row.get(key) or "-") for key in keys] for row in rows)])
        if log := part.get("log"):
            lines += ["", "```text", *log, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    harness.command("gpu", __doc__, measure)
