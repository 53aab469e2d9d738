"""The flat print of each experiment is in the repository, so a review shows how a change affects every experiment.

To accept a change: `UPDATE_GOLDEN=1 uv run pytest tests/experiments`.
"""

import pytest
from helpers.registered import EXPERIMENTS as NAMES
from helpers.repository import REPOSITORY

from jersey import testing

GOLDEN = REPOSITORY / "tests" / "golden"


@pytest.mark.parametrize("name", NAMES)
def test_experiment_matches_its_golden_print(name: str) -> None:
    testing.check_golden_print(name, GOLDEN)


def test_every_golden_print_has_an_experiment() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(NAMES)
