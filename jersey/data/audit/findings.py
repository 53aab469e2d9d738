"""What an audit finds, and how: from rows and what was read of their files to findings.

Their sentences name images relative to the root.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jersey.core.errors import escape_control, summarize
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, in_order
from jersey.data.audit.copies import Looks
from jersey.data.decode import Picture

_EXAMPLES = 4
_LABELS = 12

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


def bad_images(rows: Iterable[Row], reasons: Mapping[str, str]) -> list[Finding]:
    """One finding for each file with a reason why it cannot be used."""
    rows_of: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        rows_of[row.image].append(row)
    return [
        Finding("bad image", f"{escape_control(image)} {escape_control(reason)}", tuple(rows_of[image]))
        for image, reason in reasons.items()
    ]


def copies(rows: Iterable[Row], pictures: Mapping[str, Picture], looks: Looks | None) -> list[Finding]:
    """One finding for each picture that several rows show.

    Args:
        rows: of all splits.
        pictures: what is known of each image.
        looks: to find copies with other bytes.
    """
    group_of, mirrored = looks.groups() if looks else ({}, set())
    groups: dict[bytes | int, list[Row]] = defaultdict(list)
    for row in rows:
        if picture := pictures.get(row.image):
            groups[group_of.get(picture.digest, picture.digest)].append(row)
    findings = []
    for key, group in groups.items():
        if len(group) > 1:
            contents = {pictures[row.image].digest for row in group}
            likeness = "byte for byte" if len(contents) == 1 else "mirrored" if key in mirrored else "nearly the same"
            findings.append(_copies_of_one(group, likeness))
    return findings


def _copies_of_one(group: Sequence[Row], likeness: str) -> Finding:
    labels = in_order({row.shown_label for row in group})
    splits = list(dict.fromkeys(row.split for row in group))
    files = len({row.image for row in group})
    kind: Kind = "two labels" if len(labels) > 1 else "leak" if len(splits) > 1 else "duplicates"
    what = "one file" if files == 1 else f"{files} files, {likeness}"
    sentence = f"{' and '.join(labels)} in {' and '.join(splits)} ({what}): {_examples(group, labels)}"
    return Finding(kind, sentence, tuple(group))


def _examples(group: Sequence[Row], labels: Sequence[str]) -> str:
    """Some images of a group, first one of each split and label, with their labels where there are several."""
    firsts = {(row.split, row.label): row for row in reversed(group)}.values()
    ordered = list(dict.fromkeys([*reversed(firsts), *group]))
    names = [escape_control(row.image) + (f" ({row.shown_label})" if len(labels) > 1 else "") for row in ordered]
    return summarize(names, most=_EXAMPLES)


def labels_astray(rows: Iterable[Row], pinned: Sequence[str] | None) -> list[Finding]:
    """Labels that the map lacks, and labels of which a split has no image.

    Args:
        rows: of all splits.
        pinned: the label map; None takes the labels of the train split.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.label != ILLEGIBLE:
            counts[row.split][row.label] += 1
    known = in_order(counts["train"]) if pinned is None else list(pinned)
    findings = []
    for split, present in counts.items():
        unknown = [f"{escape_control(label)} ({present[label]})" for label in in_order(set(present) - set(known))]
        if unknown and known:
            findings.append(Finding("unknown label", f"{split} has images of {summarize(unknown, most=_LABELS)}"))
        missing = [escape_control(label) for label in known if label not in present]
        if missing and present:
            some = f"{len(missing)} of {len(known)} labels: {summarize(missing, most=_LABELS)}"
            findings.append(Finding("missing label", f"{split} has no image of {some}"))
    return findings
