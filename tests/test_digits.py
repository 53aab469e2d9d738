"""Real images, scikit-learn's handwritten digits in annotated PNG files, are learned from scratch on the CPU."""

import json
from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import numpy as np
import pytest
from helpers.countdown import rows_of
from helpers.run_folders import full_run
from PIL import Image
from sklearn.datasets import load_digits

from jersey import config as configs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPLIT_ENDS = {"train": (0, 1297), "val": (1297, 1547), "test": (1547, 1797)}


def write_digits(root: Path) -> None:
    """Writes all digits in the layout that the quick start does not use."""
    digits = load_digits()
    order_N = np.random.default_rng(0).permutation(len(digits.target))
    for split, (start, end) in SPLIT_ENDS.items():
        (root / split / "images").mkdir(parents=True)
        rows = []
        for index in order_N[start:end]:
            image = f"images/{index:04d}.png"
            pixels_HW = (digits.images[index] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels_HW).resize((32, 32), Image.Resampling.BICUBIC).save(root / split / image)
            rows.append(json.dumps({"image": image, "suffix": str(digits.target[index])}))
        (root / split / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")


def test_digits_are_learned_to_97_percent(tmp_path: Path) -> None:
    write_digits(tmp_path / "digits")
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root = str(tmp_path / "digits")
    config.data.size_px = (32, 32)
    config.module.network.weights = None
    config.module.optimizer.lr = 2e-3
    config.trainer.epochs = 4
    config.trainer.accelerator = "cpu"
    config.trainer.callbacks.grad_cam = None
    config.profile = False
    *_, test_row = rows_of(full_run(config, "digits", tmp_path).path)
    assert float(test_row["test/acc_top1"]) >= 0.97
