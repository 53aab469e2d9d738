"""The bench itself: a row of every kind, none of which ends in a traceback, and what is said of some."""

import json
import sys

import pytest
from robustness import dirty_images
from robustness.dirty_files import KINDS

READ = "read as 48 x 64 RGB, as drawn"


def test_every_kind_has_its_row_and_none_is_a_defect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dirty_images"])
    assert dirty_images.main() == 0
    *lines, last = capsys.readouterr().out.splitlines()
    names = [kind.name for kind in KINDS.values()]
    row_of = {name: line for name in names for line in lines if line.startswith(f"{name}  ")}
    assert list(row_of) == names
    assert "TRACEBACK" not in "".join(lines)
    for name, row in row_of.items():
        assert ("refused: " in row) == row.endswith("  skipped"), name
    for turn in range(1, 9):
        assert READ in row_of[f"EXIF orientation {turn}"]
    for name in ("CMYK JPEG", "palette with transparency", "16-bit colour PNG"):
        assert READ in row_of[name]
    for name, words in {
        "zero bytes": "is empty",
        "20,000 x 20,000, whole": "pixels",
        "no permission": "Permission denied",
        "gone once the index is read": "does not exist",
    }.items():
        assert f"refused: {words}" in row_of[name] or words in row_of[name].partition("refused: ")[2]
    facts = json.loads(last)
    assert facts["kinds"] == len(KINDS) == facts["read"] + facts["refused"] + facts["not_taken"]
    assert lines[-1] == f"With skip: {facts['read'] + 2} train images are kept, {facts['refused']} skipped."
