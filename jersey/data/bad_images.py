"""What becomes of image files that cannot be used: a run that refuses them names those of all splits in one sentence,
one that skips them goes on as if they were not there, and says so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jersey.core.errors import UserError, escape_control
from jersey.core.labels import in_order
from jersey.data.image_file import BadImage
from jersey.data.index import Split
from jersey.data.problems import SHOWN, audit_command

OnBadImage = Literal["refuse", "skip"]


@dataclass(frozen=True)
class Skipped:
    """A row that a split goes without.

    Args:
        label: of the row.
        problem: the file and what is wrong with it.
    """

    label: str
    problem: BadImage


def refusal(bad: Sequence[BadImage], *, images: int, root: Path) -> UserError:
    """What a run says that refuses bad images.

    Args:
        bad: of all splits.
        images: how many there are, bad and good.
        root: of the data set.
    """
    return UserError(
        f"{len(bad)} of {images} images cannot be used: {listed(bad)}; mend or remove them (`{audit_command(root)}` "
        "lists all), or set data.on_bad_image=skip to train without them"
    )


def listed(bad: Sequence[BadImage]) -> str:
    """The first of them, and how many more there are."""
    first = [f"{escape_control(str(problem.path))} {escape_control(problem.reason)}" for problem in bad[:SHOWN]]
    rest = [f"and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
    return "; ".join([*first, *rest])


def without(split: Split, rows: Collection[int]) -> Split:
    """A split without some of its rows.

    Raises:
        UserError: no image with a label is left of it, or, for training, none of one of its labels.
    """
    if not rows:
        return split
    kept = split.only([row for row in range(len(split)) if row not in rows])
    if not kept.counts():
        raise UserError(f"skipping bad images leaves nothing of the {split.name} split; mend some of its images")
    if split.name == "train" and (lost := set(split.counts()) - set(kept.counts())):
        raise UserError(
            f"skipping bad images leaves no train crop of {', '.join(in_order(lost))}; mend some of them, or remove "
            "these labels from all splits"
        )
    return kept


def counted(skipped: Mapping[str, Sequence[Skipped]]) -> dict[str, str]:
    """How many were skipped, as a fact for the report; none where none were."""
    counts = [f"{len(rows)} of {name}" for name, rows in skipped.items() if rows]
    return {"skipped images": f"{', '.join(counts)}, listed in audit.json"} if counts else {}
