"""The provenance of a run: command, commits, uncommitted files, machine and package versions, recorded at every start.

The run folder has two files: `provenance.json`, one entry per start, and `packages.txt`, the environment of the first
start in pip's format, which `uv pip install -r packages.txt` restores.
"""

import json
import logging
import platform
import shlex
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from jersey.core.atomic import write_text
from jersey.core.distributed import world_size
from jersey.core.errors import UserError
from jersey.core.packages import imported_files

log = logging.getLogger(__name__)

STARTS = "provenance.json"
PACKAGES = "packages.txt"


def record_start(run_dir: Path) -> str:
    """Appends this start to the records in the run folder.

    Returns:
        The commit, with "-dirty" appended if there are uncommitted files, or "unknown".

    Raises:
        UserError: the existing records cannot be read.
    """
    starts = [*_earlier_starts(run_dir / STARTS), _start()]
    write_text(run_dir / STARTS, json.dumps(starts, indent=2, ensure_ascii=False) + "\n")
    _record_packages(run_dir / PACKAGES)
    return starts[-1]["commit"]


def _earlier_starts(path: Path) -> list[Any]:
    try:
        starts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path} ({error}); restore it, or move it away") from None
    if not isinstance(starts, list):
        raise UserError(f"{path} is not a list of starts; restore it, or move it away")
    return starts


def _start() -> dict[str, Any]:
    this = Path(__file__)
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "folder": str(Path.cwd()),
        "commit": _commit(this),
        "uncommitted": _git(this, "status", "--porcelain").splitlines(),
        "imports": {name: _commit(file) for name, file in imported_files().items()},  # modules with experiments
        "python": platform.python_version(),
        "machine": f"{platform.node()}, {platform.platform()}",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "processes": world_size(),
        "cpu_threads": torch.get_num_threads(),  # the thread count affects rounding
    }


def _record_packages(path: Path) -> None:
    """Writes the versions at the first start; a later start logs a warning if some have changed."""
    versions = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    if _git(Path(__file__), "rev-parse", "HEAD"):
        versions.pop("jersey", None)  # the commit is more precise
    lines = [f"{name}=={version}" for name, version in sorted(versions.items(), key=lambda item: item[0].lower())]
    if not path.exists():
        write_text(path, "\n".join(lines) + "\n")
        return
    changed = sorted(set(lines) ^ set(path.read_text(encoding="utf-8", errors="replace").splitlines()))
    if changed:
        log.warning("packages differ from those at the first start of %s: %s", path.parent, ", ".join(changed))


def _commit(file: Path) -> str:
    """Returns the commit of the checkout to which the folder of a file belongs; "unknown" if there is none."""
    commit = _git(file, "rev-parse", "HEAD").strip() or "unknown"
    return f"{commit}-dirty" if _git(file, "status", "--porcelain") else commit


def _git(file: Path, *arguments: str) -> str:
    """Returns the output of git in the checkout to which the folder of a file belongs, or "" outside a checkout.

    An environment within a checkout does not belong to it: the checkout tracks none of its files.
    """
    git = ["git", "-C", str(file.parent)]
    try:
        if not subprocess.run([*git, "ls-files"], capture_output=True, check=True).stdout:
            return ""
        return subprocess.run([*git, *arguments], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
