"""Mutation testing finds what the tests of a module miss, and leaves the module as it was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from robustness import mutants as mutants_module
from robustness import mutation, recorded_calls
from robustness.mutants import mutants

TESTED = """
def clamped(value, *, high=9):
    if value < 0:
        raise ValueError(f"{value} is less than {0}")
    return min(value, high)


class Doubled:
    def __init__(self, value):
        self.value = 2 * value
"""
UNTESTED = """
import sys


def is_large(value):
    return value > 100


def main():
    sys.stdout.write(str(is_large(int(sys.argv[1]))))


def never_called():
    return 1


if __name__ == "__main__":
    main()
"""
TESTS = """
import subprocess, sys
import pytest
from toy.parts import tested
from toy.parts.untested import is_large


def test_clamped():
    assert [tested.clamped(value) for value in (0, 1, 8, 20)] == [0, 1, 8, 9]
    with pytest.raises(ValueError, match="-1 is less than 0"):
        tested.clamped(-1)


def test_doubled():
    assert tested.Doubled(3).value == 6


def test_is_large():
    assert is_large(1000)


def test_main():
    assert "False" in subprocess.check_output([sys.executable, "-m", "toy.parts.untested", "7"], text=True)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Writes a repository with two modules."""
    root = tmp_path / "toy"
    files = {"toy/parts/tested.py": TESTED, "toy/parts/untested.py": UNTESTED, "tests/parts/test_toy.py": TESTS}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    (root / "tests" / "robustness").mkdir()
    for module in (mutation, mutants_module, recorded_calls):
        shutil.copy(module.__file__, root / "tests" / "robustness")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def tried(root: Path, *flags: str) -> str:
    """Returns what mutation testing of the two modules prints."""
    command = [sys.executable, "-m", "robustness.mutation", "toy/parts/tested.py", "toy/parts/untested.py", *flags]
    temporary = root.parent / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(root / "tests"), "TMPDIR": str(temporary)}
    result = subprocess.run(command, cwd=root.parent, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert not list(temporary.iterdir())
    return result.stdout


def test_the_mutants_that_survive_are_those_that_no_test_notices(toy: Path) -> None:
    *lines, of_untested = tried(toy, "--mutants=100").splitlines()
    of_tested = next(line for line in lines if line.startswith("toy/parts/tested.py"))
    assert of_tested.endswith(f"mutants: {len(mutants(TESTED))} killed")
    assert set(lines[lines.index(of_tested) + 1 :]) == {
        "survived: toy/parts/untested.py:6: value > 100 -> value >= 100",
        "survived: toy/parts/untested.py:6: 100 -> 101",
        "survived: toy/parts/untested.py:10: 1 -> -1",
        "not called: toy/parts/untested.py:14: 1 -> 2",
        "not called: toy/parts/untested.py:14: 1 -> -1",
    }
    assert "killed" in of_untested
    assert (toy / "toy/parts/tested.py").read_text(encoding="utf-8") == TESTED


def test_texts_annotations_and_decorators_are_not_mutated() -> None:
    source = '''
@decorator(1)
def function(first: tuple[1, 2] = (3, 4)) -> "5":
    """Six, 6."""
    log.info("seven %d", 7)
    found: list[8] = []
    raise ValueError(f"nine {9}" if first else 10)
'''
    assert {mutant.change.partition("  ->")[0].partition(" ->")[0] for mutant in mutants(source)} == {
        "log.info('seven %d', 7)",
        "raise ValueError(f'nine {9}' if first else 10)",
    }


def test_each_mutant_is_a_program_with_one_change() -> None:
    source = "def f(values):\n    for each in values[1:]:\n        if not each and 'ü' in 'üü':\n            continue\n"
    found = [mutant.source for mutant in mutants(source)]
    assert len(set(found)) == len(found)
    for each in found:
        compile(each, "mutant", "exec")
        assert sum(old != new for old, new in zip(source.splitlines(), each.splitlines(), strict=True)) == 1
