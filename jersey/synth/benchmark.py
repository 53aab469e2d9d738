"""Generates the synthetic benchmark set, on which recipes are compared; it consists of three data sets.

    python -m jersey.synth.benchmark data/benchmark --size_px=64

The first has 43 numbers with a long-tailed train split: few are frequent, most are rare. Val and test are balanced and
use typefaces that train lacks. The second has eight unseen numbers for heads that predict digit by digit: the first
lacks the numbers, but contains each of their digits in the same place. Only its test split is used; the other two exist
because every data set has three. The third holds tracklets of the first's numbers, in a test split only:
`ROOT/tracklets/test/<number>/<tracklet>/<frame>.jpg`.
"""

from pathlib import Path
from typing import Any

from jersey.core.command_line import parser_for
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.synth.generate import ensure_synthetic, generate
from jersey.synth.settings import MANIFEST

# 00, 0 to 9 and 10 to 49 without the unseen numbers, shuffled, from frequent to rare.
# fmt: off
NUMBERS = (
    "20", "15", "32", "8", "24", "27", "23", "39", "2", "33", "21", "00", "14", "6", "5", "48", "22", "17", "46", "26",
    "35", "30", "0", "10", "38", "13", "3", "43", "36", "41", "45", "49", "28", "1", "11", "9", "42", "4", "7", "37",
    "19", "12", "44",
)
# fmt: on
# A Zipf-Mandelbrot law from 1,200 crops to 6, 6,000 in total.
TRAIN_COUNTS = tuple(round(1200 * ((1 + 9.538) / (rank + 9.538)) ** 3.298) for rank in range(1, 1 + len(NUMBERS)))
EVAL_CROPS = 1500  # of val and of test each
UNSEEN_NUMBERS = ("16", "18", "25", "29", "31", "34", "40", "47")
UNSEEN_CROPS = 400
UNSEEN = "unseen"  # folder of the second data set, which is ignored when the first is read
TRACKLETS = "tracklets"  # folder of the third, which is ignored too
TRACKLETS_PER_NUMBER = 3
FRAMES = 30


def ensure_benchmark(root: Path, *, size_px: int = 64, seed: int = 0, illegible: float = 0.0) -> None:
    """Generates the three data sets unless they exist; a folder with other contents is not changed.

    6,000 train, 1,500 val and 1,500 test crops in `root`; 400 test crops of the unseen numbers in `root/unseen`;
    129 tracklets of 30 frames in `root/tracklets`.

    Args:
        root: folder of the first data set, such as data/benchmark.
        size_px: side of the crops in pixels, such as 96.
        seed: seed of the first data set, such as 1; the others use the next two.
        illegible: additional illegible crops as a fraction of each split of the first data set, such as 0.05.

    Raises:
        UserError: if `root` contains crops that were generated with other settings.
    """
    more: dict[str, Any] = {"train": TRAIN_COUNTS, "val": EVAL_CROPS, "test": EVAL_CROPS, "imbalance": 1.0}
    ensure_synthetic(root, numbers=NUMBERS, size_px=size_px, seed=seed, illegible=illegible, **more)
    if not (root / MANIFEST).exists():
        return
    one_each, tracklets = len(UNSEEN_NUMBERS), TRACKLETS_PER_NUMBER * len(NUMBERS)
    unseen: dict[str, Any] = {"numbers": UNSEEN_NUMBERS, "train": one_each, "val": one_each, "test": UNSEEN_CROPS}
    tracked: dict[str, Any] = {"numbers": NUMBERS, "train": 0, "val": 0, "test": tracklets, "frames": FRAMES}
    # With the same seed, crop i of two data sets would be the same scene with different numbers.
    generate(root / UNSEEN, **unseen, size_px=size_px, seed=seed + 1)
    generate(root / TRACKLETS, **tracked, size_px=size_px, seed=seed + 2)


if __name__ == "__main__":
    with exit_on_user_error():
        set_up_console()
        ensure_benchmark(**vars(parser_for("jersey.synth.benchmark", __doc__, ensure_benchmark).parse_args()))
