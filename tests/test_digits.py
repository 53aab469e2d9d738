"""Real images: scikit-learn's handwritten digits, as PNG files, in both layouts, trained from scratch on the CPU."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.countdown import rows_of
from helpers.full_run import full_run
from PIL import Image
from sklearn.datasets import load_digits

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.data.datamodule import JerseyDataModule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LAYOUTS = ("folders", "annotations")
SPLIT_ENDS = {"train": (0, 1297), "val": (1297, 1547), "test": (1547, 1797)}
SIZE_PX = 32


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
    return {layout: folder / layout for layout in LAYOUTS}


def trained(root: Path, workdir: Path, *, epochs: int, batches: int | None = None) -> list[dict[str, str]]:
    """The metrics of a whole run, which leaves out pictures and measurements."""
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root = str(root)
    config.data.size_px = (SIZE_PX, SIZE_PX)
    config.module.network.weights = None
    config.module.optimizer.lr = 2e-3
    config.trainer.epochs, config.trainer.limit_batches = epochs, batches
    config.trainer.accelerator = "cpu"
    config.trainer.callbacks.grad_cam = None
    config.measure = False
    return rows_of(full_run(config, "digits", workdir).path)


def test_digits_are_learnt_to_97_percent(roots: dict[str, Path], tmp_path: Path) -> None:
    *_, test_row = trained(roots["folders"], tmp_path, epochs=4)
    assert float(test_row["test/acc_top1"]) >= 0.97


def test_both_layouts_are_the_same_crops_and_train_to_identical_metrics(roots: dict[str, Path], tmp_path: Path) -> None:
    folders, annotations = (JerseyDataModule(str(root), seed=0, size_px=(SIZE_PX, SIZE_PX)) for root in roots.values())
    for data in (folders, annotations):
        data.setup()
    for split, decoded in folders.decoded.items():
        assert torch.equal(decoded.images_NCHW, annotations.decoded[split].images_NCHW)
        assert torch.equal(decoded.labels_N, annotations.decoded[split].labels_N)
    one, other = (trained(root, tmp_path / layout, epochs=1, batches=2) for layout, root in roots.items())
    assert one == other
