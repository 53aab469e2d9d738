"""What an audit finds: its kinds, how bad each is, and the images concerned."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jersey.core.errors import escape_control
from jersey.core.labels import ILLEGIBLE_NAME

Kind = Literal["layout", "bad image", "two labels", "leak", "unknown label", "duplicates", "missing label"]
Severity = Literal["error", "warning"]

# In the order of the report. An error makes a run stop or its scores untrue, however the copy of an image was made; a
# warning may be meant.
KINDS: dict[Kind, tuple[Severity, str]] = {
    "layout": ("error", "folders and annotations that cannot be used"),
    "bad image": ("error", "images that cannot be used; mend or remove them"),
    "two labels": ("error", "one picture with several labels; keep the right one"),
    "leak": ("error", "one picture in several splits, so that scores are too good; keep it in one"),
    "unknown label": ("error", "labels that the train split lacks; add images there or remove these"),
    "duplicates": ("warning", "one picture several times in a split"),
    "missing label": ("warning", "labels without images, about which scores say nothing"),
}


class Row(NamedTuple):
    """An image with a label.

    Args:
        split: "train", "val" or "test".
        label: as in the data set, or ILLEGIBLE.
        image: path relative to the root, with "/".
    """

    split: str
    label: str
    image: str

    @property
    def shown_label(self) -> str:
        """In words, and without what a terminal cannot show."""
        return escape_control(self.label) or ILLEGIBLE_NAME


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Args:
        kind: one of KINDS.
        sentence: what and where, of a few of the rows.
        rows: all images concerned; none for labels and folders.
    """

    kind: Kind
    sentence: str
    rows: tuple[Row, ...] = ()

    @property
    def severity(self) -> Severity:
        """By kind."""
        return KINDS[self.kind][0]

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"
