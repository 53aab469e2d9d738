"""The commands and programs of README.md and docs/*.md, for tests that run them as written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from helpers.launched import LAUNCH, launched
from helpers.repository import REPOSITORY

PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
}
OUTSIDE = "docs/own-repository.md"
"""The page whose commands need an environment of their own; `tests/cli/test_own_repository.py` runs them."""
BLOCK = re.compile(r"```(\w*)\n(.*?)```", flags=re.DOTALL)
BLOCKS = [block for page in PAGES.values() for block in BLOCK.findall(page)]


def page_commands(page: str) -> list[str]:
    """Returns the commands of one page, such as "README.md", in their order."""
    blocks = [text for kind, text in BLOCK.findall(PAGES[page]) if kind == "sh"]
    lines = [line.partition(" #")[0].strip() for text in blocks for line in text.splitlines()]
    return [line for line in lines if line]


COMMANDS = list(dict.fromkeys(command for page in PAGES if page != OUTSIDE for command in page_commands(page)))
"""The commands of all other pages; one may occur on several pages."""


def run(command: str, cwd: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Runs the part after `uv run`, in a process that is forked from one that has imported torch."""
    words = [*shlex.split(command.partition("uv run ")[2]), *more]
    if words[:2] == ["python", "-m"]:
        return launched(words[3:], cwd, timeout_s=800, program=words[2])
    if words[0] == "torchrun":
        words = [str(LAUNCH) if word == "launch.py" else word for word in words]
        return launched(words[1:], cwd, timeout_s=800, program="torch.distributed.run")
    assert words[0] == "launch.py"
    return launched(words[1:], cwd, timeout_s=800)


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line of other programs in a shell."""
    return subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def run_afresh(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command of `launch.py` in a fresh process."""
    words = shlex.split(command.partition("uv run launch.py")[2])
    command_here = [sys.executable, str(LAUNCH), *words]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command_here, cwd=cwd, env=environment, capture_output=True, text=True, timeout=800, check=False
    )


def program(part: str) -> str:
    """Returns the first Python program of the pages that contains `part`."""
    return next(text for kind, text in BLOCKS if kind == "python" and part in text)


def run_program(text: str, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a Python program as a file."""
    file = cwd / "program.py"
    file.write_text(text, encoding="utf-8")
    return launched(arguments, cwd, timeout_s=200, program=file)


def commands(part: str) -> list[str]:
    """Returns the commands of the pages that contain `part`."""
    found = [command for command in COMMANDS if part in command]
    assert found, f"no page has a command with {part}"
    return found


QUICK_START = [command for command in COMMANDS if command.endswith("uv run launch.py --exp=quickstart")]
