"""What an audit finds in rows and in what was read of their files. Sentences name images relative to the root."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from jersey.core.errors import escape_control, summarize
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, in_order
from jersey.data.audit.copies import copy_groups

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


class AuditRow(NamedTuple):
    """An image, by its path relative to the root with "/", in a split, with its label or ILLEGIBLE."""

    split: str
    label: str
    image: str

    @property
    def shown_label(self) -> str:
        """In words, and without what a terminal cannot show."""
        return escape_control(self.label) or ILLEGIBLE_NAME


@dataclass(frozen=True)
class AuditFinding:
    """One thing found: what and where, in a sentence, and all images concerned; none for labels and folders."""

    kind: Kind
    sentence: str
    rows: tuple[AuditRow, ...] = ()

    @property
    def severity(self) -> Severity:
        """By kind."""
        return KINDS[self.kind][0]

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"


def bad_images(rows: Iterable[AuditRow], reasons: Mapping[str, str]) -> list[AuditFinding]:
    """One finding for each file with a reason why it cannot be used."""
    rows_of: dict[str, list[AuditRow]] = defaultdict(list)
    for row in rows:
        rows_of[row.image].append(row)
    return [
        AuditFinding("bad image", f"{escape_control(image)} {escape_control(reason)}", tuple(rows_of[image]))
        for image, reason in reasons.items()
    ]


def copies(
    rows: Iterable[AuditRow], place_of: Mapping[str, int], digests_N32: np.ndarray, looks_N: np.ndarray | None
) -> list[AuditFinding]:
    """One finding for each picture that several rows show.

    `place_of` tells where in the arrays each image is that could be read; for the arrays see `copy_groups`.
    """
    group_N, mirrored = copy_groups(digests_N32, looks_N)
    groups: dict[int, list[AuditRow]] = defaultdict(list)
    for row in rows:
        if row.image in place_of:
            groups[int(group_N[place_of[row.image]])].append(row)
    findings = []
    for key, group in groups.items():
        if len(group) > 1:
            contents = {digests_N32[place_of[row.image]].tobytes() for row in group}
            match_kind = "byte for byte" if len(contents) == 1 else "mirrored" if key in mirrored else "nearly the same"
            findings.append(_copies_of_one(group, match_kind))
    return findings


def _copies_of_one(group: Sequence[AuditRow], match_kind: str) -> AuditFinding:
    labels = in_order({row.shown_label for row in group})
    splits = list(dict.fromkeys(row.split for row in group))
    files = len({row.image for row in group})
    kind: Kind = "two labels" if len(labels) > 1 else "leak" if len(splits) > 1 else "duplicates"
    what = "one file" if files == 1 else f"{files} files, {match_kind}"
    # First one image of each split and label.
    firsts = {(row.split, row.label): row for row in reversed(group)}.values()
    ordered = list(dict.fromkeys([*reversed(firsts), *group]))
    names = [escape_control(row.image) + (f" ({row.shown_label})" if len(labels) > 1 else "") for row in ordered]
    examples = summarize(names, limit=_EXAMPLES)
    return AuditFinding(kind, f"{' and '.join(labels)} in {' and '.join(splits)} ({what}): {examples}", tuple(group))


def labels_astray(rows: Iterable[AuditRow], pinned: Sequence[str] | None) -> list[AuditFinding]:
    """Labels that the map lacks, and labels of which a split has no image; without a pinned map, that of train."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.label != ILLEGIBLE:
            counts[row.split][row.label] += 1
    known = in_order(counts["train"]) if pinned is None else list(pinned)
    findings = []
    for split, present in counts.items():
        unknown = [f"{escape_control(label)} ({present[label]})" for label in in_order(set(present) - set(known))]
        if unknown and known:
            findings.append(AuditFinding("unknown label", f"{split} has images of {summarize(unknown, limit=_LABELS)}"))
        missing = [escape_control(label) for label in known if label not in present]
        if missing and present:
            some = f"{len(missing)} of {len(known)} labels: {summarize(missing, limit=_LABELS)}"
            findings.append(AuditFinding("missing label", f"{split} has no image of {some}"))
    return findings
