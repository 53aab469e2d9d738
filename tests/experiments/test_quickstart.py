"""The first thing a user sees: the quick start, as the README has it, whole."""

import re
from pathlib import Path

import pytest
from helpers.readme import QUICK_START, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_quick_start_reads_nine_of_ten_in_unseen_typefaces(tmp_path: Path) -> None:
    (command,) = QUICK_START
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    score = re.search(r"test top-1 ([\d.]+) %", result.stderr)
    assert score is not None
    assert float(score[1]) >= 90
