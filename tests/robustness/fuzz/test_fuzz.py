"""Whatever comes in, it is read or refused in a sentence; `python -m robustness.fuzz` does the same for longer."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from robustness.fuzz import fuzz_images
from robustness.fuzz.fuzz_targets import TARGETS, outcome

FEW, MANY = 60, 300
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def fuzz(name: str, folder: Path, examples: int) -> Counter[str]:
    """Counts of what became of so many examples."""
    counts: Counter[str] = Counter()

    @settings(max_examples=examples, suppress_health_check=CHECKS, derandomize=True)  # the command tries others
    @given(TARGETS[name].examples)
    def attempt(example: object) -> None:
        counts[outcome(TARGETS[name], example, folder)] += 1

    attempt()
    return counts


@pytest.mark.parametrize("name", TARGETS)
def test_it_is_read_or_refused(name: str, tmp_path: Path) -> None:
    assert fuzz(name, tmp_path / "example", FEW)["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_much_of_it_is_read_or_refused(name: str, tmp_path: Path) -> None:
    counts = fuzz(name, tmp_path / "example", MANY)
    assert counts["refused"] > 0
    assert counts["accepted"] > 0


@pytest.mark.parametrize("kind", fuzz_images.files())
def test_what_is_damaged_was_whole(kind: str, tmp_path: Path) -> None:
    """But for one kind, whose pixels have no fixed meaning."""
    result = outcome(TARGETS["images"], fuzz_images.files()[kind], tmp_path / "example")
    assert result == ("refused" if kind.startswith("TIFF F") else "accepted")


@settings(max_examples=20, derandomize=True)
@given(st.binary(min_size=1, max_size=30))
def test_no_mutation_is_none(content: bytes) -> None:
    assert fuzz_images.mutated(content, []) == content
