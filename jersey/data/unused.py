"""The files of a folder that are not used, with their reasons: the table "Files not used", and the warnings about them.

Training, audit and predictor print the same table, so that nothing is left out without being counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from jersey.core.errors import escape_control
from jersey.core.tables import format_table

TITLE = "Files not used"


class Reason(StrEnum):
    """Why a file is not used."""

    HIDDEN = "hidden, as its name or that of its folder starts with a dot"
    LEFTOVER = "left by the system or a network drive"
    NOT_IMAGE = "not an image"
    NOT_FILE = "a link to nowhere, or not a file"
    LINK = "a link into the folder itself, whose files are listed already"
    HEIC = "HEIC image; `pip install pillow-heif` lets it be read"
    OTHER_FORMAT = "image in a format that cannot be read; convert it to PNG"
    NO_ROW = "image without a row in a label file"
    NO_SPLIT = "image in none of the splits"
    OTHER_SET = "image of another data set inside this one"
    MISPLACED = "label file in a sub-folder; move it into the data folder, or into the folder of a split"
    NOT_LABELS = "rows without an image or a label"
    BROKEN = "no rows that can be read"
    OTHER_LABELS = "label file that is not used, as the labels come from elsewhere"
    NO_BOX = "image without a box that can be used"
    BAD_IMAGE = "image that does not exist or cannot be decoded"
    REFUSED = "refused, see the error"


CONCERNS_IMAGES = frozenset(Reason) - {
    Reason.HIDDEN,
    Reason.LEFTOVER,
    Reason.NOT_IMAGE,
    Reason.OTHER_SET,
    Reason.REFUSED,
}
"""Reasons for which a crop or a row that somebody wanted may be missing; the others are ordinary."""


class Unused(NamedTuple):
    """A file that is not used.

    Attributes:
        path: path of the file, or of a link to a folder.
        reason: why it is not used.
    """

    path: str
    reason: Reason


def unused_table(unused: Iterable[tuple[str, StrEnum]], root: str, *, title: str = TITLE, unit: str = "files") -> str:
    """Formats a line for each reason: the number of files, and the first of them; empty if there are none.

    Args:
        unused: path of each file that is not used, and the reason.
        root: folder to which the example is relative; "" leaves paths as they are.
        title: title of the table.
        unit: what is counted, in the plural.
    """
    lines = [(reason, f"{len(paths):,}", _relative(paths[0], root)) for reason, paths in _by_reason(unused)]
    if not lines:
        return ""
    return "".join(f"{line}\n" for line in format_table([(title, unit, "for example"), *lines]))


def unused_warnings(unused: Iterable[Unused], root: str) -> list[str]:
    """Returns a sentence for each reason in CONCERNS_IMAGES that occurs."""
    return [
        (f"{len(paths):,} files are not used, such as " if len(paths) > 1 else "1 file is not used, ")
        + f"{_relative(paths[0], root)}: {reason}"
        for reason, paths in _by_reason(unused)
        if reason in CONCERNS_IMAGES
    ]


def _by_reason(unused: Iterable[tuple[str, StrEnum]]) -> Sequence[tuple[StrEnum, list[str]]]:
    """Returns the sorted paths of each reason that occurs, in the order in which the reasons are defined."""
    paths: dict[StrEnum, list[str]] = defaultdict(list)
    for path, reason in unused:
        paths[reason].append(path)
    return [
        (reason, sorted(paths[reason]))
        for reason in sorted(paths, key=lambda each: list(type(each).__members__).index(each.name))
    ]


def _relative(path: str, root: str) -> str:
    return escape_control(path.removeprefix(f"{root}/") if root else path)
