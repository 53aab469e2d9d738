from pathlib import Path

import pytest

from jersey.core.errors import UserError
from jersey.synth.generate import draw_unless_there

SMALL = {"numbers": ("7", "00"), "train": 4, "val": 2, "test": 2, "size_px": 32, "imbalance": 1.0, "seed": 0}


def test_draws_once_and_refuses_other_settings(tmp_path: Path) -> None:
    root = tmp_path / "drawn"
    draw_unless_there(root, **SMALL)
    drawn = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    draw_unless_there(root, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == drawn
    with pytest.raises(UserError, match="seed=0"):
        draw_unless_there(root, **(SMALL | {"seed": 1}))


def test_leaves_the_crops_of_others_alone(tmp_path: Path) -> None:
    mine = tmp_path / "train" / "7" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"precious")
    draw_unless_there(tmp_path, **SMALL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
