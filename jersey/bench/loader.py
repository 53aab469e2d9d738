"""Measures how fast the loader yields batches without a network, and what opening a data set costs.

    python -m jersey.bench.loader --crops=10000

It writes the crops (copies of a few hundred synthetic ones) to a temporary folder and opens them twice, as a run does:
the first start decodes every file, the second finds the decoded crops. Memory is the anonymous memory of this process:
decoded crops are in a mapped file, whose pages the system can reclaim.

Then it times epochs of the loaders in turn: jersey's with its augmentation, and those of torchvision and timm that
`jersey.bench.reference_loaders` describes.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
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
GENERATED = 400  # distinct train crops; all others are copies, because rendering is slow
EVAL = 40  # val crops, and test crops; they are only opened


def write_crops(root: Path, *, crops: int, px: int) -> None:
    """Generates a small data set, and copies its train crops until there are `crops`, of `px` pixels per side."""
    generate(root, numbers=NUMBERS, train=GENERATED, val=EVAL, test=EVAL, size_px=px, seed=0)
    originals = [(file, file.read_bytes()) for file in sorted((root / "train").glob("*/*.jpg"))]
    for index in range(len(originals), crops):
        file, content = originals[index % len(originals)]
        file.with_name(f"copy_{index:07d}.jpg").write_bytes(content)


def open_data(root: Path, *, px: int) -> tuple[JerseyDataModule, float, float]:
    """Opens the data set as a run does, with crops of `px` pixels per side.

    Returns:
        The data module, the seconds that it took, and the growth of the anonymous memory in MB.
    """
    before = _anonymous_mb()
    started = time.perf_counter()
    data = JerseyDataModule(str(root), seed=0, size_px=(px, px), sampler_power=0.5, cache=".decoded")
    data.setup()
    return data, time.perf_counter() - started, _anonymous_mb() - before


def epochs(data: JerseyDataModule, *, batches: int) -> dict[str, Callable[[], object]]:
    """Returns functions that iterate over one epoch of `batches` batches, by loader."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaders = reference_loaders(data, batches=batches, device=device)
    augment, loader = baseline_augment(), data.train_dataloader()

    def jersey() -> None:
        for index, batch in zip(range(batches), loader, strict=False):
            augment(batch["images"].to(device), derived_generator(device, 0, index))

    return {"jersey": jersey, **{name: partial(_iterate, each) for name, each in loaders.items()}}


def _iterate(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def _anonymous_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measure(crops: int = 2000, px: int = 64, batches: int = 20, rounds: int = 5) -> dict[str, Any]:
    """Prints the cost of both starts, and one row per loader.

    Args:
        crops: number of train crops, such as 10000.
        px: side of the crops in pixels, such as 128.
        batches: number of batches per epoch, such as 50.
        rounds: number of timed epochs of each loader, such as 8.
    """
    with tempfile.TemporaryDirectory(prefix="jersey-bench-") as folder:
        root = Path(folder) / "crops"
        write_crops(root, crops=crops, px=px)
        result: dict[str, Any] = {"crops": crops, "px": px}
        for start in ("first start", "second start"):
            data, seconds, grown_mb = open_data(root, px=px)
            print(f"{start:<14} {seconds:7.2f} s  {grown_mb:+8.1f} MB")
            result[start] = {"s": round(seconds, 3), "mb": round(grown_mb, 1)}
        times_s, per_epoch = interleaved_times(epochs(data, batches=batches), rounds=rounds), batches * data.batch_size
        title = f"\nan epoch of {per_epoch} crops"
        speeds = harness.print_speeds(title, times_s, baseline="torchvision", crops=per_epoch)
        return {**result, "epochs": speeds}


if __name__ == "__main__":
    harness.command("loader", __doc__, measure)
