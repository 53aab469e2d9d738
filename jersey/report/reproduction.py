"""Describes how to repeat a run: its command, its code with uncommitted changes, its data and its main settings."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jersey.data.datamodule import JerseyDataModule
from jersey.report.document import Block, CodeBlock, TableBlock, Text
from jersey.runs.provenance import read_starts
from jersey.training.module import JerseyModule

PACKAGES = ("torch", "torchvision", "lightning", "onnx", "onnxruntime")
"""The packages that affect a result most; `packages.txt` has all versions."""


def reproduction(
    folder: Path, data: JerseyDataModule, module: JerseyModule, *, more: Mapping[str, str], minutes: float
) -> list[Block]:
    """Returns the commands that repeat the last start of a run, and a table of what affects the result.

    Args:
        folder: folder of the run, with the records of its starts.
        data: data set of the run.
        module: module of the run.
        more: further rows of the table, by name.
        minutes: duration since the last start.
    """
    starts = read_starts(folder)
    start = starts[-1]
    duration = f"{minutes:.1f} minutes" + (f" since the last of {len(starts)} starts" if len(starts) > 1 else "")
    height_px, width_px = data.size_px
    rows = {
        "jersey": f"{start['jersey_version']}, commit {start['commit']}",
        "user's repository": f"commit {start['user_commit']}" if start["user_commit"] else "",
        "uncommitted changes": ", ".join(start["diffs"]),
        "data": f"{data.root}, SHA-256 {data.sha256}",
        "network": described(module.network_factory),
        "initial weights": ", which started from ".join(map(_source, start.get("weights", []))),
        "input": f"{width_px} x {height_px} px, {data.resize_mode}",
        "batch size": str(data.batch_size),
        "optimizer": described(module.optimizer),
        "schedule": described(module.schedule),
        **more,
        "versions": _versions(folder / "packages.txt", start["python"]),
        "machine": f"{start['machine']}, {start['device']}, {start['cpu_threads']} CPU threads",
        "started": start["time"],
        "duration": duration,
    }
    filled = [(name, value) for name, value in rows.items() if value]
    return [
        CodeBlock("\n".join(_commands(start, folder))),
        Text("uncommitted.diff and packages.txt are in the folder of the run.")
        if start["diffs"]
        else Text("packages.txt in the folder of the run has the versions of all packages."),
        TableBlock(("property", "value"), filled),
    ]


def _commands(start: Mapping[str, Any], folder: Path) -> list[str]:
    commit, *dirty = start["commit"].split("-")
    lines = [f"cd {shlex.quote(start['folder'])}"]
    git = f"git -C {shlex.quote(start['checkout'])}"
    if start["checkout"]:
        lines.append(f"{git} checkout {commit}")
    if dirty:
        lines.append(f"{git} apply {shlex.quote(str(folder / start['diffs'][0]))}")
    return [*lines, start["command"]]


def _source(weights: Mapping[str, str]) -> str:
    return weights["source"] + (f" (commit {weights['commit']})" if "commit" in weights else "")


def described(factory: Callable[..., object]) -> str:
    """Describes a function and the arguments that a config has bound to it, as `adamw(lr=0.0001)`."""
    if not isinstance(factory, partial):
        return getattr(factory, "__qualname__", repr(factory))
    arguments: Sequence[str] = [
        f"{name}={described(value) if callable(value) else repr(value)}" for name, value in factory.keywords.items()
    ]
    return f"{described(factory.func)}({', '.join(arguments)})"


def _versions(packages: Path, python: str) -> str:
    lines = packages.read_text(encoding="utf-8", errors="replace").splitlines()
    versions = dict(line.split("==", 1) for line in lines if "==" in line)
    return ", ".join([f"Python {python}", *(f"{name} {versions[name]}" for name in PACKAGES if name in versions)])
