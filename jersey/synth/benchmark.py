"""The drawn data set on which recipes are compared: `python -m jersey.synth.benchmark ROOT`.

Forty-three numbers as a team brings them: few are frequent, most are rare. Validation and test are balanced and in
typefaces that training never sees. Below it lies a second data set of eight numbers that the first lacks, for heads
that read digit by digit: nothing that trains on the first meets them, and each of their digits is in the first in its
place. Only the test split of the second is of use; the others are there because a data set has three. A third data set
holds tracklets of the first's numbers, a test split only: `ROOT/tracklets/test/<number>/<tracklet>/<frame>.jpg`.
"""

import argparse
from pathlib import Path
from typing import Any

from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.synth.generate import ensure_synthetic, generate
from jersey.synth.settings import MANIFEST

# All of 00, 0 to 9 and 10 to 49 but the unseen ones, shuffled: from frequent to rare.
# fmt: off
NUMBERS = (
    "20", "15", "32", "8", "24", "27", "23", "39", "2", "33", "21", "00", "14", "6", "5", "48", "22", "17", "46", "26",
    "35", "30", "0", "10", "38", "13", "3", "43", "36", "41", "45", "49", "28", "1", "11", "9", "42", "4", "7", "37",
    "19", "12", "44",
)
# fmt: on
# The law of Zipf and Mandelbrot between 1,200 crops and 6, with 6,000 in all.
TRAIN_COUNTS = tuple(round(1200 * ((1 + 9.538) / (rank + 9.538)) ** 3.298) for rank in range(1, 1 + len(NUMBERS)))
EVAL_CROPS = 1500  # of val, and of test
UNSEEN_NUMBERS = ("16", "18", "25", "29", "31", "34", "40", "47")
UNSEEN_CROPS = 400
UNSEEN = "unseen"  # the folder of the second data set, which a reader of the first passes over
TRACKLETS = "tracklets"  # likewise, of the third
TRACKLETS_OF_EACH = 3
FRAMES = 30


def ensure_benchmark(root: Path, *, size_px: int = 64, seed: int = 0, illegible: float = 0.0) -> None:
    """Draws the three data sets unless they are there; a folder that somebody else has filled is left alone.

    6,000 train, 1,500 val and 1,500 test crops in `root`; 400 test crops of the unseen numbers in `root/unseen`;
    129 tracklets of 30 frames in `root/tracklets`.

    Crops on which no number can be read (`illegible`, as a share of each split's crops) are for the first alone.

    Raises:
        UserError: `root` holds crops that were drawn with other settings.
    """
    more: dict[str, Any] = {"train": TRAIN_COUNTS, "val": EVAL_CROPS, "test": EVAL_CROPS, "imbalance": 1.0}
    ensure_synthetic(root, numbers=NUMBERS, size_px=size_px, seed=seed, illegible=illegible, **more)
    if not (root / MANIFEST).exists():
        return
    others, tracklets = len(UNSEEN_NUMBERS), TRACKLETS_OF_EACH * len(NUMBERS)
    unseen: dict[str, Any] = {"numbers": UNSEEN_NUMBERS, "train": others, "val": others, "test": UNSEEN_CROPS}
    tracked: dict[str, Any] = {"numbers": NUMBERS, "train": 0, "val": 0, "test": tracklets, "frames": FRAMES}
    # With the same seed, crop i of two sets would be one scene with another number.
    generate(root / UNSEEN, **unseen, size_px=size_px, seed=seed + 1)
    generate(root / TRACKLETS, **tracked, size_px=size_px, seed=seed + 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m jersey.synth.benchmark", description="Draws the benchmark set.")
    parser.add_argument("root", type=Path, help="folder to make")
    parser.add_argument("--size_px", type=int, default=64, help="side of a crop (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--illegible", type=float, default=0.0, help="share of illegible crops more in each split")
    with exit_on_user_error():
        set_up_console()
        ensure_benchmark(**vars(parser.parse_args()))
