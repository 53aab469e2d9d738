"""The provenance of a run: command, commits, uncommitted changes, machine and package versions of every start.

The run folder has three kinds of files. `provenance.json` has one entry per start. `packages.txt` is the environment of
the first start in pip's format, which `uv pip install -r packages.txt` restores. `uncommitted.diff` has the changes of
jersey's checkout, for `git apply`, and `uncommitted_user.diff` those of the repository in which the command ran.

A repository counts as jersey's own only if it tracks this file: an environment often lies inside another repository.
"""

import json
import logging
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from jersey.core.atomic import atomic_write, write_text
from jersey.core.distributed import world_size
from jersey.core.errors import UserError, summarize
from jersey.core.packages import imported_files

log = logging.getLogger(__name__)

STARTS = "provenance.json"
PACKAGES = "packages.txt"
MAX_CHANGED = 10  # lines of packages.txt in one warning
MAX_DIFF_BYTES = 2**20  # of an untracked file in a diff; larger ones are data, and are only named


@dataclass(frozen=True)
class Origin:
    """The code of a start.

    Attributes:
        version: version of jersey.
        commit: commit of jersey, with "-dirty" if there are uncommitted changes, or "unknown".
        user_commit: the same for the repository in which the command ran; "" if that is jersey's or there is none.
    """

    version: str = "unknown"
    commit: str = "unknown"
    user_commit: str = ""


def record_start(run_dir: Path) -> Origin:
    """Appends this start to the records in the run folder.

    Raises:
        UserError: the existing records cannot be read.
    """
    earlier = read_starts(run_dir)
    here = Path(__file__).parent
    own = here if _git(here, "ls-files", Path(__file__).name) else None
    user = _different_repository(Path.cwd(), own)
    origin = Origin(_version(), _commit(own) if own else _installed_commit(), _commit(user) if user else "")
    number = f"_{len(earlier) + 1}" if earlier else ""  # a later start may have other changes
    diffs = {f"uncommitted{number}.diff": own, f"uncommitted_user{number}.diff": user}
    written = [name for name, folder in diffs.items() if folder and _write_diff(folder, run_dir / name)]
    start = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "folder": str(Path.cwd()),
        "checkout": _git(own, "rev-parse", "--show-toplevel").strip() if own else "",
        "jersey_version": origin.version,
        "commit": origin.commit,
        "user_commit": origin.user_commit,
        "imports": {name: _commit(file.parent) for name, file in imported_files().items()},  # with experiments
        "uncommitted": _git(own, "status", "--porcelain").splitlines() if own else [],
        "diffs": written,
        **_machine(),
    }
    write_text(run_dir / STARTS, json.dumps([*earlier, start], indent=2, ensure_ascii=False) + "\n")
    _record_packages(run_dir / PACKAGES)
    return origin


def record_weights(run_dir: Path, weights: str | None) -> None:
    """Adds to the record of this start from what the run's initial weights come, back to the first run.

    Args:
        run_dir: folder of the run.
        weights: run folder or file, "imagenet" or "reader"; None for random weights.

    Raises:
        UserError: the records of this run, or of that of the weights, cannot be read.
    """
    starts = read_starts(run_dir)
    known = [start["weights"] for start in starts if "weights" in start]  # a resumed run may outlive their source
    starts[-1]["weights"] = known[0] if known else _sources(weights)
    write_text(run_dir / STARTS, json.dumps(starts, indent=2, ensure_ascii=False) + "\n")


def _sources(weights: str | None) -> list[dict[str, str]]:
    """Returns the source of weights, then the source of the weights from which that started, and so on."""
    if weights is None:
        return []
    path = Path(weights)
    folder = next((each for each in (path, *path.parents) if (each / STARTS).is_file()), None)
    if folder is None or weights in ("imagenet", "reader"):
        return [{"source": weights}]
    last = (read_starts(folder) or [{}])[-1]
    return [{"source": str(path.absolute()), "commit": last.get("commit", "unknown")}, *last.get("weights", [])]


def read_starts(run_dir: Path) -> list[Any]:
    """Returns the records of all starts, oldest first; raises UserError if they cannot be read."""
    path = run_dir / STARTS
    try:
        starts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path} ({error}); restore it, or move it away") from None
    if not isinstance(starts, list):
        raise UserError(f"{path} is not a list of starts; restore it, or move it away")
    return starts


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": f"{platform.node()}, {platform.platform()}",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "processes": world_size(),
        "cpu_threads": torch.get_num_threads(),  # the thread count affects rounding
    }


def _version() -> str:
    try:
        return metadata.version("jersey")
    except metadata.PackageNotFoundError:
        return "unknown"


def _installed_commit() -> str:
    """Returns the commit that pip recorded for an installation from a git address, or "unknown"."""
    try:
        record = json.loads(metadata.distribution("jersey").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return "unknown"
    return record.get("vcs_info", {}).get("commit_id", "unknown")


def _different_repository(folder: Path, own: Path | None) -> Path | None:
    """Returns the repository that contains the folder, unless there is none or it is jersey's."""
    root = _git(folder, "rev-parse", "--show-toplevel").strip()
    return Path(root) if root and root != (_git(own, "rev-parse", "--show-toplevel").strip() if own else "") else None


def _commit(folder: Path) -> str:
    commit = _git(folder, "rev-parse", "HEAD").strip()
    return commit + ("-dirty" if _git(folder, "status", "--porcelain") else "") if commit else "unknown"


def _write_diff(folder: Path, path: Path) -> bool:
    """Writes the uncommitted changes, for `git apply`; returns whether there are any."""
    root = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    parts = [_git(root, "diff", "HEAD", "--binary"), *_untracked(root)]
    text = "".join(parts)
    if text:
        with atomic_write(path) as temporary:
            temporary.write_bytes(text.encode(errors="surrogateescape"))
    return bool(text)


def _untracked(root: Path) -> Iterator[str]:
    for name in _git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0"):
        file = root / name
        if not name or not file.is_file():
            continue
        if file.stat().st_size > MAX_DIFF_BYTES:
            yield f"not included, {file.stat().st_size:,} bytes: {name}\n"
        else:
            yield _git(root, "diff", "--no-index", "--binary", "/dev/null", name, differing=1)


def _record_packages(path: Path) -> None:
    """Writes the versions at the first start; a later start logs a warning if some have changed."""
    versions = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    versions.pop("jersey", None)  # the commit is more precise
    lines = [f"{name}=={version}" for name, version in sorted(versions.items(), key=lambda item: item[0].lower())]
    if not path.exists():
        write_text(path, "\n".join(lines) + "\n")
        return
    changed = sorted(set(lines) ^ set(path.read_text(encoding="utf-8", errors="replace").splitlines()))
    if changed:
        shown = summarize(changed, limit=MAX_CHANGED)
        log.warning("packages differ from those at the first start of %s: %s", path.parent, shown)


def _git(folder: Path, *arguments: str, differing: int = 0) -> str:
    """Returns the output of git in the folder, or "" outside a repository; `differing` is another good exit code."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode in (0, differing) else ""
