"""Writes predictions as annotation rows: draft labels for a person to review, and to train on.

    {"image": "p1/0.jpg", "suffix": "23", "confidence": 0.98}
    {"image": "p1/1.jpg", "suffix": "", "confidence": 0.41, "likeliest": "28"}

A crop on which the predictor abstains gets an empty suffix, so it is an illegible crop in training and no wrong number.
Training ignores the keys `confidence` and `likeliest`, which help to review. Image paths are relative to the file.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jersey.core.atomic import atomic_write
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE
from jersey.data.files import is_folder, suffix_of
from jersey.inference.decision import Prediction
from jersey.inference.rows import DIGITS
from jersey.inference.sources import Item


@dataclass
class DraftCounts:
    """Counts of the crops of a draft.

    Attributes:
        rows: number of written rows.
        abstentions: number of these with an empty suffix.
        errors: sentences on the images that could not be read, which have no row.
    """

    rows: int
    abstentions: int
    errors: list[str]


def check_target(path: Path) -> None:
    """Raises UserError if no draft can be written to `path`; an existing file, which may be reviewed, is kept."""
    if suffix_of(path.name) != ".jsonl":
        raise UserError(f"the annotation file {path} does not end in .jsonl, by which training finds it; rename it")
    if os.path.lexists(path):
        raise UserError(f"{path} exists already, and its labels may be reviewed; name another file, or remove it")
    if not is_folder(path.parent):
        raise UserError(f"there is no folder {path.parent} for the annotation file {path.name}; create it first")


def write_draft(path: Path, predictions: Iterable[tuple[Item, Prediction | UserError]]) -> DraftCounts:
    """Writes one row for each prediction, atomically.

    Args:
        path: annotation file, accepted by `check_target`.
        predictions: images with their predictions, or with the errors of those that could not be read.

    Raises:
        UserError: no image could be read.
    """
    counts = DraftCounts(rows=0, abstentions=0, errors=[])
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for item, prediction in predictions:
            if isinstance(prediction, UserError):
                counts.errors.append(str(prediction))
                continue
            file.write(json.dumps(_row(item, prediction, path.parent), ensure_ascii=False) + "\n")
            counts.rows += 1
            counts.abstentions += prediction.number is None
        if not counts.rows:
            reason = f"; the first error: {counts.errors[0]}" if counts.errors else ""
            raise UserError(f"no image could be read, so {path} was not written{reason}")
    return counts


def _row(item: Item, prediction: Prediction, folder: Path) -> dict[str, Any]:
    return {
        "image": Path(os.path.relpath(str(item.crop), folder)).as_posix(),
        "suffix": ILLEGIBLE if prediction.number is None else prediction.number,
        **({"tracklet": item.named_tracklet} if item.named_tracklet else {}),
        "confidence": round(prediction.confidence, DIGITS),
        **({"likeliest": prediction.top_k[0][0]} if prediction.number is None else {}),
    }
