"""A small data set with illegible crops, and a training on it.

The number is the position of a bright square on a dark background; illegible crops have a second square.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.shared_fits import plain_network
from helpers.small_run import fitted, tiny_data, tiny_module
from PIL import Image
from torch import nn

from jersey.callbacks.ema import EMA
from jersey.core.distributed import process_group, rank
from jersey.core.labels import ILLEGIBLE_INDEX, Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.data.supplement import SyntheticSupplement
from jersey.models.network import Network
from jersey.training.optimizers import sgd

NUMBERS = ("0", "00", "01")
SIZE_PX = 16
EACH = {"train": (16, 14), "val": (7, 6), "test": (5, 4)}  # numbers of crops of each number, and of illegible ones
EPOCHS = 2


def write_crops(root: Path, layout: str, *, seed: int = 0) -> Path:
    """Writes the same crops in either layout, in tracklets of three."""
    rng = np.random.default_rng(seed)
    for split, (legible, illegible) in EACH.items():
        rows = []
        for label, count in [*((number, legible) for number in NUMBERS), ("", illegible)]:
            for index in range(count):
                name, tracklet = f"{label}_{index:02d}.png", f"p{index // 3}"
                is_annotated = layout == "annotations"
                folder = "images" if is_annotated else f"{label or 'illegible'}/{tracklet}"
                path = root / split / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(_pixels(label, rng)).save(path)
                rows.append({"image": f"{folder}/{name}", "suffix": label, "tracklet": tracklet})
        if is_annotated:
            (root / split / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return root


def _pixels(label: str, rng: np.random.Generator) -> np.ndarray:
    image_HW3 = rng.normal(90, 40, (SIZE_PX, SIZE_PX, 3))
    number = NUMBERS.index(label) if label else rng.integers(len(NUMBERS))
    for quarter in (number,) if label else (number, len(NUMBERS)):
        top, left = 8 * np.array(divmod(quarter, 2)) + rng.integers(0, 4, 2)
        image_HW3[top : top + 5, left : left + 5] += 120
    return image_HW3.clip(0, 255).astype(np.uint8)


def opened(root: Path, **settings: Any) -> JerseyDataModule:
    return tiny_data(root, **{"eval_batch_size": 5, "sampler_power": 0.5} | settings)


def network(*, labels: Labels) -> Network:
    """Has one more layer than the other tiny networks, because one layer cannot learn a low confidence."""
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 32), nn.ReLU())
    return Network(nn.Sequential(*layers), nn.Linear(32, len(labels)))


def record_fit(root: Path, folder: Path) -> None:
    """Trains in any number of processes, which must not affect the result; writes `seen.<rank>.pt` to `folder`."""
    with process_group():
        supplement = SyntheticSupplement(folder=str(folder / "rare"), min_per_class=EACH["train"][0] + 3, size_px=40)
        data = opened(root, on_bad_image="skip", supplement=supplement, cache=str(folder / "decoded"))
        module = tiny_module(
            data, network=plain_network, optimizer=partial(sgd, lr=0.05, momentum=0.9, weight_decay=0.01)
        )
        last = fitted(folder, data, module, EMA(decay=0.7), epochs=EPOCHS)
        val = module.evaluations["val"]
        seen = {
            "weights": last["state_dict"],
            "val": last["jersey"]["val"],
            "rows": val.indices_N,
            "labels": val.labels_N,
            "illegible_rows": val.illegible_indices_U,
            "illegible_logits": val.illegible_logits_UK,
            "skipped": {name: [bad.problem.path.name for bad in rows] for name, rows in data.skipped.items()},
            "train_rows": [path.name for path in data.splits["train"].paths],
            "is_illegible": data.decoded["val"].labels_N == ILLEGIBLE_INDEX,
        }
        torch.save(seen, folder / f"seen.{rank()}.pt")
