"""Feeding alone: how fast batches come without a network that takes them, and what a data set costs to open.

    python -m jersey.bench.loader --crops=10000

Writes so many crops (a few hundred drawn ones, each in many files) into a temporary folder, and opens them twice as a
run does: the first time every file is decoded, the second time the decoded crops are found. Memory is what this process
holds for itself; decoded crops lie in a mapped file, whose pages the system takes back when it needs them.

Then epochs of batches, in turns: jersey's, augmented already, and those of torchvision and timm as in
`jersey.bench.reference_loaders`.
"""

import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from jersey.bench import harness
from jersey.bench.reference_loaders import reference_loaders
from jersey.bench.train_step import baseline_augment
from jersey.core.seeding import derived_generator
from jersey.core.timing import interleaved_times
from jersey.data.datamodule import JerseyDataModule
from jersey.synth.generate import generate

NUMBERS = tuple(map(str, range(20)))
DRAWN = 400
EVAL = 40


def fill(root: Path, *, crops: int, px: int) -> None:
    """Draws a small data set and multiplies its train crops."""
    generate(root, numbers=NUMBERS, train=DRAWN, val=EVAL, test=EVAL, size_px=px, seed=0)
    drawn = [(file, file.read_bytes()) for file in sorted((root / "train").glob("*/*.jpg"))]
    for index in range(len(drawn), crops):
        file, content = drawn[index % len(drawn)]
        file.with_name(f"copy_{index:07d}.jpg").write_bytes(content)


def opened(root: Path, *, px: int) -> tuple[JerseyDataModule, float, float]:
    """The data set as a run has it, the seconds it took, and by how many MB memory grew."""
    before = _own_mb()
    started = time.perf_counter()
    data = JerseyDataModule(str(root), seed=0, size_px=(px, px), sampler_power=0.5, cache=".decoded")
    data.setup()
    return data, time.perf_counter() - started, _own_mb() - before


def epochs(data: JerseyDataModule, *, batches: int) -> dict[str, Callable[[], object]]:
    """What to time: an epoch of so many batches, by loader."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaders = reference_loaders(data, batches=batches, device=device)
    augment, own = baseline_augment(), data.train_dataloader()

    def jersey() -> None:
        for number, batch in zip(range(batches), own, strict=False):
            augment(batch["images"].to(device), derived_generator(device, 0, number))

    return {"jersey": jersey, **{name: partial(deque, loader, maxlen=0) for name, loader in loaders.items()}}


def _own_mb() -> float:
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measure(crops: int = 2000, px: int = 64, batches: int = 20, rounds: int = 5) -> dict[str, Any]:
    """Prints what each start cost, and a row a loader."""
    with tempfile.TemporaryDirectory(prefix="jersey-bench-") as folder:
        root = Path(folder) / "crops"
        fill(root, crops=crops, px=px)
        result: dict[str, Any] = {"crops": crops, "px": px}
        for start in ("first start", "second start"):
            data, seconds, grown_mb = opened(root, px=px)
            print(f"{start:<14} {seconds:7.2f} s  {grown_mb:+8.1f} MB")
            result[start] = {"s": round(seconds, 3), "mb": round(grown_mb, 1)}
        times_s, taken = interleaved_times(epochs(data, batches=batches), rounds=rounds), batches * data.batch_size
        told = harness.tell(f"\nan epoch of {taken} crops", times_s, against="torchvision", crops=taken)
        return {**result, "epochs": told}


if __name__ == "__main__":
    harness.command("loader", __doc__, measure)
