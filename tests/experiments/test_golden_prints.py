"""The flat print of each experiment is in the repository, so a review shows how a change affects every experiment.

To accept a change: `UPDATE_GOLDEN=1 uv run pytest tests/experiments`.
"""

import os

import pytest
from helpers.registered import EXPERIMENTS as NAMES
from helpers.repository import REPOSITORY

from jersey import config as configs

GOLDEN = REPOSITORY / "tests" / "golden"


@pytest.mark.parametrize("name", NAMES)
def test_experiment_matches_its_golden_print(name: str) -> None:
    text, path = configs.as_text(configs.get_experiment(name)()), GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    golden = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text.splitlines() == golden.splitlines(), "if intended: UPDATE_GOLDEN=1 uv run pytest tests/experiments"


def test_every_golden_print_has_an_experiment() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(NAMES)
