"""Describes the problems of a data set in one error sentence, and drops the rows of unusable images."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jersey.core.errors import UserError, escape_control, plural, summarize
from jersey.core.labels import in_order
from jersey.data.decode import BadImage
from jersey.data.split import Split

OnBadImage = Literal["error", "skip"]

MAX_SHOWN = 5  # problems in one sentence, which stays readable on a terminal; the audit lists all


class ConflictingLabels(UserError):
    """Several rows give one image different labels; all of them stay in the index if `on_problem` returns."""


class Skipped(NamedTuple):
    """A row that a split skips.

    Attributes:
        label: label, or ILLEGIBLE.
        problem: error of the image file.
    """

    label: str
    problem: BadImage


def combined(problems: Sequence[UserError], root: Path) -> UserError:
    """Returns a single problem itself, or an error that names the first of several and the command that lists all."""
    if len(problems) == 1:
        return problems[0]
    first = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems[:MAX_SHOWN], start=1))
    rest = f" and {len(problems) - MAX_SHOWN} more" if len(problems) > MAX_SHOWN else ""
    return UserError(f"{root} has {len(problems)} problems: {first}{rest}; `{_audit_command(root)}` lists all")


def bad_images_error(bad: Sequence[BadImage], *, images: int, root: Path) -> UserError:
    """Returns the error of a run that does not skip bad images.

    Args:
        bad: bad images of all splits.
        images: number of images of all splits, good and bad.
        root: folder of the data set.
    """
    return UserError(
        f"{len(bad)} of {plural(images, 'image')} cannot be used: {summarize_bad(bad)}; repair or remove them "
        f"(`{_audit_command(root)}` lists all), or set data.on_bad_image=skip to train without them"
    )


def summarize_bad(bad: Sequence[BadImage]) -> str:
    """Lists the first bad images with their reasons, and counts the rest."""
    sentences = [f"{escape_control(str(problem.path))} {escape_control(problem.reason)}" for problem in bad]
    return summarize(sentences, limit=MAX_SHOWN, separator="; ")


def drop_rows(split: Split, rows: Collection[int]) -> Split:
    """Returns the split without some rows; raises UserError if it loses all labeled images, or train a whole label."""
    if not rows:
        return split
    kept = split.only([row for row in range(len(split)) if row not in rows])
    if not kept.counts():
        raise UserError(f"skipping bad images leaves nothing of the {split.name} split; repair some of its images")
    if split.name == "train" and (lost := set(split.counts()) - set(kept.counts())):
        what = f"skipping bad images leaves no train crop of {', '.join(in_order(lost))}"
        raise UserError(f"{what}; repair some of them, or remove these labels from all splits")
    return kept


def skipped_summary(skipped: Mapping[str, Sequence[Skipped]]) -> dict[str, str]:
    """Returns the row of the report with the numbers of skipped images by split; empty if there are none."""
    counts = [f"{len(rows)} of {name}" for name, rows in skipped.items() if rows]
    return {"skipped images": f"{', '.join(counts)}, listed in audit.json"} if counts else {}


def _audit_command(root: Path) -> str:
    return f"python -m jersey.data.audit {shlex.quote(str(root))}"
