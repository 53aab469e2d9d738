"""The README's commands and programs, for tests that run them as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from helpers.repository import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line.partition("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def run(command: str, cwd: Path, *more: str) -> subprocess.CompletedProcess:
    """Runs what follows `uv run`, with this Python."""
    words = shlex.split(command.partition("uv run ")[2])
    words = [str(REPOSITORY / "launch.py") if word == "launch.py" else word for word in words]
    if words[0] == "python":
        words.pop(0)
    elif words[0] == "torchrun":
        words[:1] = ["-m", "torch.distributed.run"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, *words, *more],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def commands(part: str) -> list[str]:
    found = [command for command in COMMANDS if part in command]
    assert found, f"the README has no command with {part}"
    return found


QUICK_START = [command for command in COMMANDS if command.endswith("uv run launch.py --exp=quickstart")]
