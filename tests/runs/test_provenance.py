"""The provenance that a run records, in a real git checkout."""

import json
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from helpers.repository import REPOSITORY

from jersey.runs.provenance import MAX_DIFF_BYTES, record_start


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean repository that contains the module under test."""
    package = tmp_path / "checkout" / "jersey"
    names = (
        "__init__.py",
        "core/atomic.py",
        "core/distributed.py",
        "core/errors.py",
        "core/packages.py",
        "runs/provenance.py",
    )
    for name in (*names, "core/__init__.py", "runs/__init__.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text((REPOSITORY / "jersey" / name).read_text(encoding="utf-8"), encoding="utf-8")
    git(package.parent, "init", "--quiet")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "--quiet", "-m", "all")
    return package.parent


def start(checkout: Path, run_dir: Path, *words: str, path: Path | None = None, before: str = "") -> list[dict]:
    """Records a start from the checkout in a separate process and returns all starts recorded so far."""
    run_dir.mkdir(exist_ok=True)
    program = "import sys; sys.dont_write_bytecode = True; from pathlib import Path; "
    program += f"{before}\n"
    program += f"from jersey.runs.provenance import record_start; print(record_start(Path({str(run_dir)!r})).commit)"
    command = [sys.executable, "-P", "-c", program, *words]
    environment = {"PYTHONPATH": f"{checkout}:{path or ''}", "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"}
    stdout = subprocess.run(command, cwd=run_dir, env=environment, capture_output=True, text=True, check=True).stdout
    starts = json.loads((run_dir / "provenance.json").read_text(encoding="utf-8"))
    assert stdout.strip() == starts[-1]["commit"]
    assert shlex.split(starts[-1]["command"]) == command
    return starts


def test_an_environment_within_a_checkout_and_an_imported_module_have_their_own_commits(
    checkout: Path, tmp_path: Path
) -> None:
    """A team's repository often contains the environment in which jersey is installed."""
    team = tmp_path / "team"
    (team / "myexps").mkdir(parents=True)
    (team / "myexps" / "__init__.py").touch()
    (team / ".gitignore").write_text(".venv\n")
    git(team, "init", "--quiet")
    git(team, "add", ".")
    git(team, "commit", "--quiet", "-m", "all")
    site = team / ".venv"
    site.mkdir()
    (checkout / "jersey").rename(site / "jersey")
    code = "from jersey.core.packages import import_modules; import_modules(['myexps'])"
    (only,) = start(site, tmp_path / "run", path=team, before=code)
    assert only["commit"] == "unknown"
    assert only["uncommitted"] == []
    assert only["imports"] == {"myexps": git(team, "rev-parse", "HEAD").strip()}


def test_every_start_records_commit_command_and_uncommitted_files(checkout: Path, tmp_path: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD").strip()
    (first,) = start(checkout, tmp_path / "run", "--fdl_set=root=/my crops/00")
    assert first["commit"] == commit
    assert first["uncommitted"] == []
    changed = checkout / "jersey" / "core" / "atomic.py"
    changed.write_text(changed.read_text() + "# changed\n")
    again, second = start(checkout, tmp_path / "run")
    assert again == first
    assert second["commit"] == f"{commit}-dirty"
    assert second["uncommitted"] == [" M jersey/core/atomic.py"]


def test_outside_a_checkout_the_commit_is_unknown(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".git").rename(tmp_path / "no_git")
    (only,) = start(checkout, tmp_path / "run")
    assert only["commit"] == "unknown"
    assert only["jersey_version"] == metadata.version("jersey")


def test_changes_are_kept_and_can_be_applied_to_the_commit(checkout: Path, tmp_path: Path) -> None:
    changed, new = checkout / "jersey" / "core" / "atomic.py", checkout / "jersey" / "core" / "ñew file.py"
    changed.write_text(changed.read_text() + "# changed\n")
    new.write_bytes(b"x = 1\n\xff\0")
    (checkout / "large.bin").write_bytes(bytes(MAX_DIFF_BYTES + 1))
    (only,) = start(checkout, tmp_path / "run")
    assert only["diffs"] == ["uncommitted.diff"]
    diff = tmp_path / "run" / "uncommitted.diff"
    assert "1,048,577 bytes: large.bin" in diff.read_text()
    expected = changed.read_bytes(), new.read_bytes()
    git(checkout, "stash", "--include-untracked")
    git(checkout, "apply", str(diff))
    assert (changed.read_bytes(), new.read_bytes()) == expected
    changed.write_text(changed.read_text() + "# changed again\n")
    assert start(checkout, tmp_path / "run")[-1]["diffs"] == ["uncommitted_2.diff"]


def test_an_installation_inside_another_repository_is_told_apart(checkout: Path, tmp_path: Path) -> None:
    """The package lies untracked below the user's repository, where the command also runs."""
    user = tmp_path / "user"
    user.mkdir()
    (user / "mine.py").write_text("")
    (user / ".gitignore").write_text("packages\nrun\n")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "mine")):
        git(user, *words)
    (checkout / ".git").rename(tmp_path / "no_git")
    installed = checkout.rename(user / "packages")
    (only,) = start(installed, user / "run")
    assert only["commit"] == "unknown"
    assert only["user_commit"] == git(user, "rev-parse", "HEAD").strip()
    assert only["diffs"] == []
    (user / "mine.py").write_text("changed = 1\n")
    assert start(installed, user / "run")[-1]["diffs"] == ["uncommitted_user_2.diff"]


def test_installed_packages_are_recorded_and_a_change_causes_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_start(tmp_path)
    lines = (tmp_path / "packages.txt").read_text(encoding="utf-8").splitlines()
    assert f"torch=={metadata.version('torch')}" in lines
    assert not any(line.startswith("jersey==") for line in lines)
    record_start(tmp_path)
    assert caplog.text == ""
    older = [line.replace("fiddle==", "fiddle==0.0.") for line in lines]
    (tmp_path / "packages.txt").write_text("\n".join(older) + "\n", encoding="utf-8")
    record_start(tmp_path)
    assert f"fiddle=={metadata.version('fiddle')}" in caplog.text
    assert "torch==" not in caplog.text
