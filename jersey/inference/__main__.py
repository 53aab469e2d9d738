"""Reads crops with an exported file: `python -m jersey.inference model.onnx PATH...`.

A PATH is an image, a folder, a pattern in quotes, an annotation file (.jsonl), or - for standard input: a path a line,
or rows {"image": "crop.jpg", "tracklet": "7"}. With --tracklets the crops of one folder, or of one tracklet, are read as one.
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
from jersey.inference.rows import AnswerRow, answer, failure, format_of
from jersey.inference.sources import Item, items_of

T = TypeVar("T")


def parse_flags() -> argparse.Namespace:
    """The flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.inference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 where all was read, 1 where a row is an error, 2 where nothing could be begun.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model.onnx of jersey")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="what to read")
    parser.add_argument("--format", choices=("jsonl", "csv", "table"), default="jsonl")
    parser.add_argument("--top_k", type=int, default=5, metavar="N", help="name the N likeliest numbers (5)")
    parser.add_argument("--roster", metavar="4,8,23,00", help="the numbers that may occur")
    parser.add_argument("--tracklets", action="store_true", help="one row for the crops of a folder or tracklet")
    parser.add_argument(
        "--min_precision", type=float, metavar="0.99", help="answer only where 0.95, 0.98 or 0.99 of answers are right"
    )
    parser.add_argument(
        "--open_vocabulary", action="store_true", help="also read numbers that the model was not trained on"
    )
    parser.add_argument("--batch_size", type=int, default=64, metavar="N", help="crops at a time (64)")
    parser.add_argument("--provider", metavar="NAME", help="cpu, cuda or tensorrt; else the GPU where there is one")
    return parser.parse_args()


def main() -> int:
    """Reads, prints rows as they come, and returns the exit code."""
    flags = parse_flags()
    _speak_utf8()
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
    # With rows on the same terminal there is progress to be seen, and a bar would tear them.
    bar = partial(tqdm, total=total, unit="image", disable=sys.stdout.isatty() or None)
    if flags.tracklets:
        known = list(items)
        crops = Counter(item.tracklet for item in known)
        rows = _tracklet_rows(predictor, bar(known), crops, is_open_vocabulary=flags.open_vocabulary)
    else:
        rows = _crop_rows(predictor, bar(items), is_open_vocabulary=flags.open_vocabulary)
    header, line_of = format_of(
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
        raise UserError("standard input names no image; give a path a line")
    return 1 if errors else 0


def _crop_rows(predictor: Predictor, items: Iterable[Item], *, is_open_vocabulary: bool) -> Iterator[AnswerRow]:
    for item, reading in _paired(items, predictor.predict_all):
        if isinstance(reading, UserError):
            yield failure(reading, image=item.name)
        else:
            yield answer(reading, is_open_vocabulary=is_open_vocabulary, image=item.name)


def _tracklet_rows(
    predictor: Predictor, items: Iterable[Item], left: Counter[str | None], *, is_open_vocabulary: bool
) -> Iterator[AnswerRow]:
    """A row a tracklet, as soon as none of its crops is left, and one for each crop that cannot be read."""
    frames: dict[str, list[np.ndarray]] = defaultdict(list)
    for item, probabilities_K in _paired(items, predictor.probabilities):
        tracklet = item.tracklet
        if isinstance(probabilities_K, UserError):
            yield failure(probabilities_K, **({} if tracklet is None else {"tracklet": tracklet}), image=item.name)
        elif tracklet is not None:
            frames[tracklet].append(probabilities_K)
        left[tracklet] -= 1
        if tracklet is None or left[tracklet]:
            continue
        if found := frames.pop(tracklet, []):
            yield answer(
                predictor.tracklet_of(np.stack(found)),
                is_open_vocabulary=is_open_vocabulary,
                tracklet=tracklet,
                frames=len(found),
            )
        else:
            error = UserError(f"no image of the tracklet {tracklet} could be read; see their rows")
            yield failure(error, tracklet=tracklet, frames=0)


def _paired(
    items: Iterable[Item], read: Callable[[Iterable[str | UserError]], Iterator[T | UserError]]
) -> Iterator[tuple[Item, T | UserError]]:
    """Each item with its result, though items are taken ahead of results."""
    ahead, waiting = tee(items)
    results = read(item.crop for item in ahead)
    return ((next(waiting), result) for result in results)


def _speak_utf8() -> None:
    """Rows are UTF-8 wherever they go; the names of files that come in may be any bytes."""
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
    except BrokenPipeError:  # the reader has seen enough; what is left to flush at the end goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
