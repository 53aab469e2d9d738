"""What `Predictor` adds to the time of onnxruntime.

    python -m jersey.bench.predictor MODEL.onnx CROPS

Crops of one size, the most common one below CROPS, repeated if they are too few, with batches of 1, 8 and 64:

- plain: onnxruntime on a tensor that lies ready, until it has given probabilities;
- arrays: the predictor on the same crops as decoded, until it has given readings;
- files: the predictor on the files, decoding included.

In one process, in turn; a ratio is the median over rounds, with its quartiles. The predictor's own share is what is not
plain in `arrays`: at most 15 % at batch 64, or the exit code is 1.

Shapes: N crops, h w their size.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jersey.bench import results
from jersey.bench.results import Times
from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.timing import in_turn, speedup
from jersey.data.decode import decode
from jersey.data.files import images_below
from jersey.inference import Predictor

ROUNDS = {1: 25, 8: 15, 64: 9}  # by batch size
MOST = 0.15  # of the time at the largest batch


def files_of_one_size(folder: Path) -> list[Path]:
    """The images below a folder that have the most common size among them.

    Raises:
        UserError: there is none.
    """
    sizes: dict[Path, tuple[int, int]] = {}
    for path in images_below(folder):
        with Image.open(path) as image:
            sizes[path] = image.size
    if not sizes:
        raise UserError(f"{folder} holds no images; name a folder of crops")
    ((common, _),) = Counter(sizes.values()).most_common(1)
    return [path for path, size in sizes.items() if size == common]


def measure(model: Path, files: Sequence[Path], rounds: Mapping[int, int] = ROUNDS) -> dict[int, Times]:
    """Seconds a batch, by its size."""
    return {batch: _measure(model, list(islice(cycle(files), batch)), rounds[batch]) for batch in rounds}


def _measure(model: Path, files: list[Path], rounds: int) -> Times:
    predictor = Predictor(model, batch_size=len(files))
    crops_Nhw3 = np.stack([decode(file) for file in files])
    images_NChw = np.ascontiguousarray(crops_Nhw3.transpose(0, 3, 1, 2))
    ways = {
        "plain": lambda: predictor.model.session.run(["probabilities"], {"input": images_NChw}),
        "arrays": lambda: list(predictor.predict_all(crops_Nhw3)),
        "files": lambda: list(predictor.predict_all(files)),
    }
    if len(files) == 1:
        ways |= {"arrays": lambda: [predictor.predict(crops_Nhw3[0])], "files": lambda: [predictor.predict(files[0])]}
    return in_turn(ways, rounds=rounds)


def own_share(times_s: Times) -> float:
    """Of the predictor's time on arrays, the part that is its own."""
    return 1 - speedup(times_s["plain"], times_s["arrays"]).median


def as_json(times_s: Mapping[int, Times]) -> dict[str, Any]:
    """For machines."""
    by_batch = {
        f"batch {batch}": {**results.as_json(times, against="plain"), "own_share": round(own_share(times), 4)}
        for batch, times in times_s.items()
    }
    return {"bench": "predictor", "machine": results.machine(), "most": MOST, **by_batch}


def main() -> int:
    """Prints a table a batch size and a line of JSON; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model.onnx")
    parser.add_argument("folder", type=Path, help="of crops; those in folders below it count too")
    with exit_on_user_error():
        set_up_console()
        arguments = parser.parse_args()
        times_s = measure(arguments.model, files_of_one_size(arguments.folder))
    for batch, times in times_s.items():
        print(f"batch {batch}: {own_share(times):.1%} of the time on arrays is the predictor's own")
        print(results.table(times, against="plain", unit="crops", amount=batch), end="\n\n")
    print(json.dumps(as_json(times_s)))
    return 0 if own_share(times_s[max(times_s)]) <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
