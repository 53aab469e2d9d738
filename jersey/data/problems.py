"""What is wrong with a data set, as it is told: one problem at a time, or all in one sentence."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jersey.core.errors import UserError, escape_control, summarize
from jersey.core.labels import in_order
from jersey.data.decode import BadImage
from jersey.data.split import Split

OnBadImage = Literal["error", "skip"]

SHOWN = 5


class ConflictingLabels(UserError):
    """Rows that give one image several labels; they are in the index when `on_problem` returns."""


class Skipped(NamedTuple):
    """A row that a split goes without: its label, and what is wrong with its file."""

    label: str
    problem: BadImage


def combined(problems: Sequence[UserError], root: Path) -> UserError:
    """The problem, or the first of many and how to see the others."""
    if len(problems) == 1:
        return problems[0]
    first = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems[:SHOWN], start=1))
    rest = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return UserError(f"{root} has {len(problems)} problems: {first}{rest}; `{_audit_command(root)}` lists all")


def bad_images_error(bad: Sequence[BadImage], *, images: int, root: Path) -> UserError:
    """What a run says that refuses the bad ones among so many images of all splits."""
    return UserError(
        f"{len(bad)} of {images} images cannot be used: {summarize_bad(bad)}; mend or remove them "
        f"(`{_audit_command(root)}` lists all), or set data.on_bad_image=skip to train without them"
    )


def summarize_bad(bad: Sequence[BadImage]) -> str:
    """The first of them, and how many more there are."""
    sentences = [f"{escape_control(str(problem.path))} {escape_control(problem.reason)}" for problem in bad]
    return summarize(sentences, limit=SHOWN, separator="; ")


def drop_rows(split: Split, rows: Collection[int]) -> Split:
    """A split without some of its rows; UserError if no labelled image is left of it or, for training, of one label."""
    if not rows:
        return split
    kept = split.only([row for row in range(len(split)) if row not in rows])
    if not kept.counts():
        raise UserError(f"skipping bad images leaves nothing of the {split.name} split; mend some of its images")
    if split.name == "train" and (lost := set(split.counts()) - set(kept.counts())):
        left = f"skipping bad images leaves no train crop of {', '.join(in_order(lost))}"
        raise UserError(f"{left}; mend some of them, or remove these labels from all splits")
    return kept


def skipped_summary(skipped: Mapping[str, Sequence[Skipped]]) -> dict[str, str]:
    """How many were skipped, as a fact for the report; none where none were."""
    counts = [f"{len(rows)} of {name}" for name, rows in skipped.items() if rows]
    return {"skipped images": f"{', '.join(counts)}, listed in audit.json"} if counts else {}


def _audit_command(root: Path) -> str:
    return f"python -m jersey.data.audit {shlex.quote(str(root))}"
