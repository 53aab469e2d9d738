"""Real images: scikit-learn's handwritten digits, as PNG files, in both layouts, trained from scratch on the CPU."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.run_folders import full_run
from PIL import Image
from sklearn.datasets import load_digits

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.data.datamodule import JerseyDataModule
from jersey.runs.folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPLIT_ENDS = {"train": (0, 1297), "val": (1297, 1547), "test": (1547, 1797)}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same files under the same names, in a folder per class and in a flat folder with annotations."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    order_N = np.random.default_rng(0).permutation(len(digits.target))
    for split, (start, end) in SPLIT_ENDS.items():
        rows = []
        for index in order_N[start:end]:
            label, name = str(digits.target[index]), f"{index:04d}.png"
            in_class = folder / "folders" / split / label / name
            in_images = folder / "annotations" / split / "images" / name
            in_class.parent.mkdir(parents=True, exist_ok=True)
            in_images.parent.mkdir(parents=True, exist_ok=True)
            pixels_HW = (digits.images[index] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels_HW).resize((32, 32), Image.Resampling.BICUBIC).save(in_class)
            shutil.copy(in_class, in_images)
            rows.append(json.dumps({"image": f"images/{name}", "suffix": label}))
        (folder / "annotations" / split / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return {layout: folder / layout for layout in ("folders", "annotations")}


def train(root: Path, workdir: Path) -> RunFolder:
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root = str(root)
    config.data.size_px = (32, 32)
    config.module.network.weights = None
    config.module.optimizer.lr = 2e-3
    config.trainer.epochs = 4
    config.trainer.accelerator = "cpu"
    return full_run(config, "digits", workdir)


def test_both_layouts_reach_97_percent_with_identical_metrics(roots: dict[str, Path], tmp_path: Path) -> None:
    tables = {
        layout: (train(root, tmp_path / layout).path / "metrics.csv").read_text() for layout, root in roots.items()
    }
    assert tables["folders"] == tables["annotations"]
    *_, test_row = csv.DictReader(tables["folders"].splitlines())
    assert float(test_row["test/acc_top1"]) >= 0.97


@pytest.mark.parametrize("layout", ["folders", "annotations"])
def test_a_class_missing_from_val_and_test_leaves_the_indices(
    roots: dict[str, Path], layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "crops"
    shutil.copytree(roots[layout], root)
    for split in ("val", "test"):
        if layout == "folders":
            shutil.rmtree(root / split / "3")
        else:
            rows = root / split / "rows.jsonl"
            kept = [line for line in rows.read_text().splitlines() if '"suffix": "3"' not in line]
            rows.write_text("\n".join(kept))
    whole, reduced = (JerseyDataModule(str(path), seed=0, size_px=(8, 8)) for path in (roots[layout], root))
    whole.setup()
    caplog.clear()
    reduced.setup()
    assert reduced.labels == whole.labels
    assert sum("no crops of 3;" in record.getMessage() for record in caplog.records) == 2
    labels_N = {module: module.decoded["val"].labels_N for module in (whole, reduced)}
    assert labels_N[reduced].tolist() == [index for index in labels_N[whole].tolist() if index != 3]
