"""Predicts the numbers on crops, with the pretrained reader of the package or with the MODEL.onnx of a run.

    jersey-read crops/ 'more/*.jpg' --format=table --top_k=3
    jersey-read runs/quickstart/RUN/model.onnx crops/

`python -m jersey.inference` is the same command. A PATH is an image, a folder, a quoted pattern, an annotation file
(.jsonl), or - for standard input, whose lines are paths or rows such as {"image": "crop.jpg", "tracklet": "7"}.
"""

import argparse
import io
import os
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np
from tqdm import tqdm

from jersey.core.command_line import path_argument
from jersey.core.errors import UserError, exit_on_user_error, plural
from jersey.inference.decision import Prediction
from jersey.inference.draft_labels import check_target, write_draft
from jersey.inference.predictor import Predictor
from jersey.inference.rows import ORIGIN, PredictionRow, error_row, jersey_version, prediction_row, row_format
from jersey.inference.sources import Item, items_of

T = TypeVar("T")

DRAFT_PRECISION = 0.95
"""The default of `--min_precision` for draft labels: without it, an illegible crop would get a number at random."""
MAX_DELAY_S = 0.1
"""Seconds for which a line of standard input waits for others, so that the rows of a slow pipe come at once."""


def parse_flags() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="jersey-read" if Path(sys.argv[0]).stem == "jersey-read" else "python -m jersey.inference",
        usage="%(prog)s [MODEL.onnx] PATH... [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The exit code is 0 if all images were read, 1 if a row is an error, 2 if the command cannot start.",
    )
    about_model = "if the first ends in .onnx, it is the model (default: the pretrained reader)"
    about_paths = f"images to read, such as crops/ or 'more/*.jpg'; {about_model}"
    parser.add_argument("paths", nargs="+", metavar="PATH", help=about_paths)
    _add_options(parser.add_argument)
    flags = parser.parse_args()
    flags.model = flags.paths.pop(0) if flags.paths[0].endswith(".onnx") else None
    if flags.model and not flags.paths:
        parser.error(f"there is no PATH after {flags.model}; add images to read, such as crops/")
    if flags.annotations and (flags.tracklets or flags.format != "jsonl"):
        parser.error("--annotations writes one JSON row per crop; leave --tracklets and --format out")
    if flags.annotations and flags.min_precision is None and flags.min_confidence is None:
        flags.min_precision = DRAFT_PRECISION
    return flags


def _add_options(add: Callable[..., argparse.Action]) -> None:
    add(
        "--format",
        choices=("jsonl", "csv", "table"),
        default="jsonl",
        help="format of the rows, such as table for a terminal (default: jsonl)",
    )
    add("--top_k", type=int, default=5, metavar="N", help="likeliest numbers in each row, such as 3 (default: 5)")
    add("--roster", metavar="NUMBERS", help="numbers that may occur, such as 4,8,23,00 (default: any)")
    add("--tracklets", action="store_true", help="print one row for all crops of a folder or `tracklet`")
    add(
        "--min_precision",
        type=float,
        metavar="P",
        help="abstain below the confidence for this precision on validation crops, such as 0.95, 0.98 or 0.99 "
        "(default: 0.95 with --annotations, otherwise 0, which never abstains)",
    )
    add("--min_confidence", type=float, metavar="C", help="abstain below this confidence, such as 0.8, instead")
    add("--open_vocabulary", action="store_true", help="also predict numbers that were not in training")
    add(
        "--annotations",
        type=path_argument,
        metavar="OUT.jsonl",
        help="write draft labels as annotation rows to this new file, instead of printing rows; crops below the "
        "confidence of --min_precision or --min_confidence get an empty suffix",
    )
    add("--batch_size", type=int, default=64, metavar="N", help="max crops per batch, such as 1 (default: 64)")
    add("--provider", metavar="NAME", help="such as cpu, cuda or tensorrt (default: the GPU if there is one)")
    add("--version", action="version", version=f"jersey {jersey_version()}")


def main() -> int:
    """Prints the row of each prediction as soon as it is ready, and returns the exit code."""
    flags = parse_flags()
    stdin = _use_utf8()
    if flags.annotations:
        check_target(flags.annotations)
    items, total = items_of(flags.paths, stdin)
    if total == 0:
        raise UserError(f"there is no image in {' '.join(flags.paths)}; check the path and the names of its files")
    predictor = _predictor(flags)
    # If the rows go to a terminal, they show the progress, and a bar would break their lines.
    shows_rows = sys.stdout.isatty() and not flags.annotations
    bar = partial(tqdm, total=total, unit="image", disable=shows_rows or None)
    if flags.annotations:
        return _write_annotations(flags, _paired(bar(items), predictor.predict_all))
    if flags.tracklets:
        listed = list(items)
        remaining = Counter(item.tracklet for item in listed)
        rows = _tracklet_rows(predictor, bar(listed), remaining, is_open_vocabulary=flags.open_vocabulary)
    else:
        predict = partial(predictor.predict_all, max_delay_s=MAX_DELAY_S if total is None else None)
        rows = _crop_rows(_paired(bar(items), predict), is_open_vocabulary=flags.open_vocabulary)
    header, line_of = row_format(
        flags.format, is_open_vocabulary=flags.open_vocabulary, tracklets=flags.tracklets, top_k=flags.top_k
    )
    origin = dict(zip(ORIGIN, (predictor.model.sha256, jersey_version()), strict=True))
    count = errors = 0
    for row in rows:
        if header and not count:
            print(header)
        print(line_of(row | origin), flush=True)
        count += 1
        errors += "error" in row
    if not count:
        raise UserError("standard input names no image; write one path per line")
    return 1 if errors else 0


def _predictor(flags: argparse.Namespace) -> Predictor:
    return Predictor(
        flags.model,
        providers=None if flags.provider is None else [flags.provider],
        batch_size=flags.batch_size,
        min_precision=flags.min_precision,
        min_confidence=flags.min_confidence,
        roster=None if flags.roster is None else [part.strip() for part in flags.roster.split(",") if part.strip()],
        top_k=flags.top_k,
        open_vocabulary=flags.open_vocabulary,
    )


def _write_annotations(flags: argparse.Namespace, predictions: Iterator[tuple[Item, Prediction | UserError]]) -> int:
    """Writes draft labels, prints their number and the errors, and returns the exit code."""
    counts = write_draft(flags.annotations, predictions)
    for sentence in counts.errors:
        print(f"error: {sentence}", file=sys.stderr)
    name = "min_precision" if flags.min_confidence is None else "min_confidence"
    rows = f"{plural(counts.rows, 'row')} with --{name}={getattr(flags, name):g}"
    abstentions = f"{counts.abstentions:,} of them with an empty suffix"
    print(f"{flags.annotations}: {rows}, {abstentions}; {plural(len(counts.errors), 'image')} could not be read")
    return 1 if counts.errors else 0


def _crop_rows(
    predictions: Iterable[tuple[Item, Prediction | UserError]], *, is_open_vocabulary: bool
) -> Iterator[PredictionRow]:
    for item, prediction in predictions:
        if isinstance(prediction, UserError):
            yield error_row(prediction, image=item.name)
        else:
            yield prediction_row(prediction, is_open_vocabulary=is_open_vocabulary, image=item.name)


def _tracklet_rows(
    predictor: Predictor, items: Iterable[Item], remaining: Counter[str | None], *, is_open_vocabulary: bool
) -> Iterator[PredictionRow]:
    """Yields a row for each tracklet after the last of its crops, and one for each crop that cannot be read.

    Args:
        predictor: predictor of the crops.
        items: crops of all tracklets, in any order.
        remaining: number of crops of each tracklet; it is counted down.
        is_open_vocabulary: whether rows have the column `unseen`.
    """
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
        if probabilities := frames.pop(tracklet, []):
            yield prediction_row(
                predictor.predict_pooled(np.stack(probabilities)),
                is_open_vocabulary=is_open_vocabulary,
                tracklet=tracklet,
                frames=len(probabilities),
            )
        else:
            error = UserError(f"no image of the tracklet {tracklet} could be read; see the rows of its images")
            yield error_row(error, tracklet=tracklet, frames=0)


def _paired(
    items: Iterable[Item], predict: Callable[[Iterable[str | UserError]], Iterator[T | UserError]]
) -> Iterator[tuple[Item, T | UserError]]:
    """Yields each item with its result; `predict` consumes items before it yields their results."""
    waiting: deque[Item] = deque()

    def crops() -> Iterator[str | UserError]:  # possibly in another thread
        for item in items:
            waiting.append(item)
            yield item.crop

    return ((waiting.popleft(), result) for result in predict(crops()))


def _use_utf8() -> TextIO:
    """Makes standard output UTF-8 in every locale, and returns standard input, with file names of any bytes.

    It is opened again, because a thread may be reading it when Python exits, and would then hold the lock of sys.stdin.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    if not isinstance(sys.stdin, io.TextIOWrapper):
        return sys.stdin
    encoding = sys.getfilesystemencoding()
    return open(sys.stdin.fileno(), encoding=encoding, errors="surrogateescape", closefd=False)


def command() -> None:
    """Runs `jersey-read`; exits with its code."""
    try:
        with exit_on_user_error():
            sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader has closed the pipe; what is flushed at exit is discarded
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    command()
