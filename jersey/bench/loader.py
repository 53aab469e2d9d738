"""Feeding alone: how fast batches come without a network that takes them, and what a data set costs to open.

    python -m jersey.bench.loader --crops=10000

Writes so many crops (a few hundred drawn ones, each in many files) into a temporary folder, and opens them twice as a
run does: the first time every file is decoded, the second time the decoded crops are found. Memory is what this process
holds for itself; decoded crops lie in a mapped file, whose pages the system takes back when it needs them.

Then epochs of batches, in turns: jersey's, augmented already, and those of torchvision and timm as in
`jersey.bench.reference_loaders`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from jersey.augment.base import Augment
from jersey.augment.color import Colour, Noise
from jersey.augment.geometry import Geometry
from jersey.bench.reference_loaders import Loader, timm_loader, torchvision_loader
from jersey.bench.results import as_json, machine, table
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.core.seeding import counted_generator
from jersey.core.timing import in_turn
from jersey.data.datamodule import JerseyDataModule
from jersey.synth.generate import generate

NUMBERS = tuple(map(str, range(20)))
DRAWN = 400
EVAL = 40


def fill(root: Path, *, crops: int, px: int) -> None:
    """Draws a small data set and multiplies its train crops."""
    generate(root, numbers=NUMBERS, train=DRAWN, val=EVAL, test=EVAL, size_px=px, seed=0)
    drawn = sorted((root / "train").glob("*/*.jpg"))
    contents = [file.read_bytes() for file in drawn]
    for index in range(len(drawn), crops):
        source = drawn[index % len(drawn)]
        source.with_name(f"copy_{index:07d}.jpg").write_bytes(contents[index % len(drawn)])


def opened(root: Path, *, px: int) -> tuple[JerseyDataModule, float, float]:
    """The data set as a run has it, the seconds it took, and by how many MB memory grew."""
    before = _own_mb()
    started = time.perf_counter()
    data = JerseyDataModule(str(root), seed=0, size_px=(px, px), sampler_power=0.5, cache=".decoded")
    data.setup()
    return data, time.perf_counter() - started, _own_mb() - before


def epochs(data: JerseyDataModule, *, px: int, batches: int) -> dict[str, Callable[[], None]]:
    """What to time: an epoch of so many batches, by loader."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings: dict[str, Any] = {"size_px": (px, px), "batch_size": data.batch_size, "batches": batches}
    folder = data.root / "train"
    loaders: dict[str, Loader | None] = {
        "torchvision": torchvision_loader(folder, **settings, device=device),
        "timm": timm_loader(folder, **settings, device=device),
    }
    augment = Augment(
        geometry=Geometry(rotation_deg=12.0, shear_deg=6.0, scale=0.15, shift=0.08, perspective=0.1),
        colour=Colour(brightness=0.3, contrast=0.3, saturation=0.3, swap=0.3),
        noise=Noise(std=0.03),
    )
    own = data.train_dataloader()

    def jersey() -> None:
        for number, batch in zip(range(batches), own, strict=False):
            augment(batch["images"].to(device), counted_generator(device, 0, number))

    def usual(loader: Loader) -> Callable[[], None]:
        def epoch() -> None:
            for _ in loader():
                pass

        return epoch

    return {"jersey": jersey, **{name: usual(loader) for name, loader in loaders.items() if loader is not None}}


def _own_mb() -> float:
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def main() -> None:
    """Prints both tables and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=2000, help="in the train split")
    parser.add_argument("--px", type=int, default=64, help="height and width")
    parser.add_argument("--batches", type=int, default=20, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with exit_on_user_error(), tempfile.TemporaryDirectory(prefix="jersey-bench-") as folder:
        set_up_console()
        root = Path(folder) / "crops"
        fill(root, crops=options.crops, px=options.px)
        result: dict[str, Any] = {"bench": "loader", "machine": machine(), "crops": options.crops, "px": options.px}
        for start in ("first start", "second start"):
            data, seconds, grown_mb = opened(root, px=options.px)
            print(f"{start:<14} {seconds:7.2f} s  {grown_mb:+8.1f} MB")
            result[start] = {"s": round(seconds, 3), "mb": round(grown_mb, 1)}
        times_s = in_turn(epochs(data, px=options.px, batches=options.batches), rounds=options.rounds)
        crops = options.batches * data.batch_size
        print(f"\nan epoch of {crops} crops\n{table(times_s, against='torchvision', unit='crops', amount=crops)}")
        print(json.dumps({**result, "epochs": as_json(times_s, against="torchvision")}))


if __name__ == "__main__":
    main()
