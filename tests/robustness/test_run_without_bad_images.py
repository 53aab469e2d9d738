"""A whole run on a data set with bad images: what it skips is nowhere in its results, and in its folder by name."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import pytest
from helpers.run_folders import full_run
from lightning.pytorch.callbacks import Callback

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.data.index import read_splits

pytestmark = pytest.mark.slow


class Loses(Callback):
    """Removes a file once nothing but the export is left to do."""

    def __init__(self, file: str) -> None:
        self.file = file

    def on_test_end(self, trainer: object, pl_module: object) -> None:
        Path(self.file).unlink()


def test_a_run_skips_bad_images_and_survives_a_file_that_vanishes(
    shrink: Callable[[fdl.Buildable], None], crops_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "crops"
    shutil.copytree(crops_root, root)
    good = read_splits(root)
    bad = {split: root / split / "00" / "!bad.png" for split in good}
    for path in bad.values():
        path.touch()
    config = configs.get_experiment("resnet18_baseline")()
    shrink(config)
    config.data.root, config.data.cache, config.data.on_bad_image = str(root), None, "skip"
    config.trainer.callbacks.loses = fdl.Config(Loses, file=str(good["val"].paths[0]))
    folder = full_run(config, "resnet18_baseline", tmp_path / "runs")

    for split in ("val", "test"):
        with (folder.path / f"predictions_{split}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [root / row["file"] for row in rows] == list(good[split].paths)
        assert [row["true number"] for row in rows] == list(good[split].labels)
    found = json.loads((folder.path / "audit.json").read_text(encoding="utf-8"))["findings"]
    unreadable = [each["rows"][0] for each in found if each["kind"] == "bad image"]
    assert unreadable == [{"split": name, "label": "00", "image": f"{name}/00/!bad.png"} for name in bad]
    assert all(f"{name}/00/!bad.png is empty" in (folder.path / "audit.txt").read_text("utf-8") for name in bad)
    assert "1 of train, 1 of val, 1 of test" in folder.report.read_text(encoding="utf-8")
    assert folder.onnx.exists()
