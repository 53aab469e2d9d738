"""Reads crops with an exported file: `python -m jersey.inference model.onnx PATH...`.

A PATH is an image, a folder, a quoted pattern, an annotation file (.jsonl), or - for standard input: one path per line,
or rows {"image": "crop.jpg", "tracklet": "7"}. With --tracklets the crops of a folder or tracklet get one prediction.
"""

import argparse
import io
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import tee
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from jersey.core.errors import UserError, exit_on_user_error
from jersey.inference.predictor import Predictor
from jersey.inference.rows import PredictionRow, error_row, prediction_row, row_format
from jersey.inference.sources import Item, items_of

T = TypeVar("T")


def parse_flags() -> argparse.Namespace:
    """Parses the flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.inference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if all images were read, 1 if a row is an error, 2 if the command could not start.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model.onnx that jersey has exported")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="images to read")
    parser.add_argument("--format", choices=("jsonl", "csv", "table"), default="jsonl", help="output format (jsonl)")
    parser.add_argument("--top_k", type=int, default=5, metavar="N", help="print the N likeliest numbers (5)")
    parser.add_argument("--roster", metavar="4,8,23,00", help="numbers that may occur")
    parser.add_argument("--tracklets", action="store_true", help="print one row per folder or tracklet")
    parser.add_argument(
        "--min_precision", type=float, metavar="0.99", help="abstain below a precision of 0.95, 0.98 or 0.99"
    )
    parser.add_argument("--open_vocabulary", action="store_true", help="also predict numbers that were not in training")
    parser.add_argument("--batch_size", type=int, default=64, metavar="N", help="crops per batch (64)")
    parser.add_argument("--provider", metavar="NAME", help="cpu, cuda or tensorrt; by default the GPU if there is one")
    return parser.parse_args()


def main() -> int:
    """Predicts, prints rows as they are ready, and returns the exit code."""
    flags = parse_flags()
    _use_utf8()
    items, total = items_of(flags.paths, sys.stdin)
    if total == 0:
        raise UserError(f"there is no image in {' '.join(flags.paths)}; check the path and the names of its files")
    predictor = Predictor(
        flags.model,
        providers=None if flags.provider is None else [flags.provider],
        batch_size=flags.batch_size,
        min_precision=flags.min_precision,
        roster=None if flags.roster is None else [part.strip() for part in flags.roster.split(",") if part.strip()],
        top_k=flags.top_k,
        open_vocabulary=flags.open_vocabulary,
    )
    # If rows go to the same terminal, they show the progress, and a bar would disturb them.
    bar = partial(tqdm, total=total, unit="image", disable=sys.stdout.isatty() or None)
    if flags.tracklets:
        known = list(items)
        crops = Counter(item.tracklet for item in known)
        rows = _tracklet_rows(predictor, bar(known), crops, is_open_vocabulary=flags.open_vocabulary)
    else:
        rows = _crop_rows(predictor, bar(items), is_open_vocabulary=flags.open_vocabulary)
    header, line_of = row_format(
        flags.format, is_open_vocabulary=flags.open_vocabulary, tracklets=flags.tracklets, top_k=flags.top_k
    )
    count = errors = 0
    for row in rows:
        if header and not count:
            print(header)
        print(line_of(row), flush=True)
        count += 1
        errors += "error" in row
    if not count:
        raise UserError("standard input names no image; write one path per line")
    return 1 if errors else 0


def _crop_rows(predictor: Predictor, items: Iterable[Item], *, is_open_vocabulary: bool) -> Iterator[PredictionRow]:
    for item, prediction in _paired(items, predictor.predict_all):
        if isinstance(prediction, UserError):
            yield error_row(prediction, image=item.name)
        else:
            yield prediction_row(prediction, is_open_vocabulary=is_open_vocabulary, image=item.name)


def _tracklet_rows(
    predictor: Predictor, items: Iterable[Item], remaining: Counter[str | None], *, is_open_vocabulary: bool
) -> Iterator[PredictionRow]:
    """Yields a row for each tracklet after the last of its crops, and one for each crop that cannot be read."""
    frames: dict[str, list[np.ndarray]] = defaultdict(list)
    for item, probabilities_K in _paired(items, predictor.probabilities):
        tracklet = item.tracklet
        if isinstance(probabilities_K, UserError):
            yield error_row(probabilities_K, **({} if tracklet is None else {"tracklet": tracklet}), image=item.name)
        elif tracklet is not None:
            frames[tracklet].append(probabilities_K)
        remaining[tracklet] -= 1
        if tracklet is None or remaining[tracklet]:
            continue
        if found := frames.pop(tracklet, []):
            yield prediction_row(
                predictor.predict_pooled(np.stack(found)),
                is_open_vocabulary=is_open_vocabulary,
                tracklet=tracklet,
                frames=len(found),
            )
        else:
            error = UserError(f"no image of the tracklet {tracklet} could be read; see the rows of its images")
            yield error_row(error, tracklet=tracklet, frames=0)


def _paired(
    items: Iterable[Item], read: Callable[[Iterable[str | UserError]], Iterator[T | UserError]]
) -> Iterator[tuple[Item, T | UserError]]:
    """Yields each item with its result, although items are consumed ahead of results."""
    ahead, waiting = tee(items)
    results = read(item.crop for item in ahead)
    return ((next(waiting), result) for result in results)


def _use_utf8() -> None:
    """Makes standard output UTF-8 in every locale; file names on standard input may be any bytes."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    try:
        with exit_on_user_error():
            sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader has closed the pipe; what is flushed at exit is discarded
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
