"""Each experiment's flat print lies in the repository, so a review of a change shows what it does to every experiment.

To accept a change: `UPDATE_GOLDEN=1 uv run pytest tests/experiments`.
"""

import difflib
import os

import pytest
from helpers.registered import EXPERIMENTS as NAMES
from helpers.repository import REPOSITORY

from jersey import config as configs

GOLDEN = REPOSITORY / "tests" / "golden"


def changes(old: str, new: str) -> list[str]:
    """The lines that differ, old ones behind "-" and new ones behind "+"."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def golden(name: str) -> str:
    path = GOLDEN / f"{name}.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize("name", NAMES)
def test_a_change_to_it_shows_in_its_golden_print(name: str) -> None:
    text = configs.as_text(configs.get_experiment(name)())
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / f"{name}.txt").write_text(text, encoding="utf-8")
    changed = "\n".join(changes(golden(name), text))
    assert not changed, f"{changed}\nif this is meant: UPDATE_GOLDEN=1 uv run pytest tests/experiments"


def test_no_golden_print_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(NAMES)
