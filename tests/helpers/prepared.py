"""Runs `python -m jersey.data.prepare` and the audit in the process of a test, and writes sources without splits."""

import sys
from pathlib import Path

import pytest
from helpers.data_trees import NUMBERS, save

from jersey.data.audit import __main__ as audit_command
from jersey.data.prepare import __main__ as command


def prepare(*words: object) -> None:
    """Runs the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["prepare", *map(str, words)])
        command.main()


def audit_code(root: Path) -> int:
    """Returns the exit code of the audit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["audit", str(root)])
        return audit_command.main()


def unsplit(root: Path, *, each: int = 5, first: int = 0) -> Path:
    """Writes a folder per number without splits, with different crops from index `first` on."""
    for position, number in enumerate(NUMBERS):
        for index in range(each):
            save(root / number / f"{number}_{index}.png", first + each * position + index)
    return root


def contents(folder: Path) -> dict[str, tuple[bytes, float]]:
    """Returns the content and the time of the last change of each file in a folder."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime) for path in folder.rglob("*") if path.is_file()}
