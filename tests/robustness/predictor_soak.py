"""Predicts many crops of random sizes in one process, and measures its leaks as `robustness.soak` does.

PYTHONPATH=tests python -m robustness.predictor_soak model.onnx --crops=100000
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from robustness.soak import Held, growth, held

from jersey.bench.harness import machine
from jersey.core.errors import exit_on_user_error
from jersey.inference import Predictor

PARTS = 25  # measurements
MAX_SIDE_PX = 96


def crops_of(folder: Path, count: int, *, seed: int) -> Iterator[np.ndarray | Path]:
    """Yields crops of random sizes, every fourth of them as a file in `folder`."""
    rng, file = np.random.default_rng(seed), folder / "crop.png"
    for index in range(count):
        crop_hw3 = rng.integers(0, 256, (*rng.integers(8, MAX_SIDE_PX, 2), 3), dtype=np.uint8)
        if index % 4:
            yield crop_hw3
        elif not file.exists():
            Image.fromarray(crop_hw3).save(file)
        yield file


def soak(model: Path, folder: Path, *, crops: int) -> Iterator[Held]:
    """Predicts the crops with one predictor, and yields the resources after each of `PARTS` equal parts."""
    predictor = Predictor(model, threads=1)
    for part in range(PARTS):
        for _ in predictor.predict_all(crops_of(folder, crops // PARTS, seed=part)):
            pass
        yield held()


def main() -> None:
    """Prints one row per part, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="exported file, such as runs/quickstart/RUN/model.onnx")
    parser.add_argument(
        "--crops", type=int, default=100_000, help="number of crops, such as 1000 (default: %(default)s)"
    )
    options = parser.parse_args()
    found = []
    print(" ".join(f"{name:>12}" for name in Held._fields))
    with exit_on_user_error(), tempfile.TemporaryDirectory() as folder:
        for each in soak(options.model, Path(folder), crops=options.crops):
            print(" ".join(f"{value:12.5g}" for value in each), flush=True)
            found.append(each)
    print(
        json.dumps({"bench": "predictor_soak", "machine": machine(), "crops": options.crops, "growth": growth(found)})
    )


if __name__ == "__main__":
    main()
