"""Finds faults in the rows of a data set and in the metadata of their files. Images are named relative to the root."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from jersey.core.errors import escape_control, summarize
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, in_order
from jersey.data.audit.copies import copy_groups

_MAX_EXAMPLES = 4
_MAX_LABELS = 12

Kind = Literal[
    "layout", "bad_image", "conflicting_labels", "split_leakage", "unknown_label", "duplicates", "missing_label"
]
Severity = Literal["error", "warning"]

# In the order of the report. An error stops a run or invalidates its metrics, whichever way an image was copied; what a
# warning reports may be intended.
KINDS: dict[Kind, tuple[Severity, str]] = {
    "layout": ("error", "folders and annotations that cannot be used"),
    "bad_image": ("error", "images that cannot be used; repair or remove them"),
    "conflicting_labels": ("error", "the same image with several labels; keep the correct one"),
    "split_leakage": ("error", "the same image in several splits, which inflates metrics; keep it in one"),
    "unknown_label": ("error", "labels that the train split lacks; add images there or remove these"),
    "duplicates": ("warning", "the same image several times in a split"),
    "missing_label": ("warning", "labels without images, which metrics do not cover"),
}


class AuditRow(NamedTuple):
    """An image, by its path relative to the root with "/", in a split, with its label or ILLEGIBLE."""

    split: str
    label: str
    image: str

    @property
    def shown_label(self) -> str:
        """The label as text that a terminal can show."""
        return escape_control(self.label) or ILLEGIBLE_NAME


@dataclass(frozen=True)
class AuditFinding:
    """A fault of a data set: what and where, in a sentence, and all images concerned (none for labels and folders)."""

    kind: Kind
    sentence: str
    rows: tuple[AuditRow, ...] = ()

    @property
    def severity(self) -> Severity:
        """The severity of the kind."""
        return KINDS[self.kind][0]

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"


def bad_images(rows: Iterable[AuditRow], reasons: Mapping[str, str]) -> list[AuditFinding]:
    """Returns one finding for each file with a reason why it cannot be used."""
    rows_of: dict[str, list[AuditRow]] = defaultdict(list)
    for row in rows:
        rows_of[row.image].append(row)
    return [
        AuditFinding("bad_image", f"{escape_control(image)} {escape_control(reason)}", tuple(rows_of[image]))
        for image, reason in reasons.items()
    ]


def copies(
    rows: Iterable[AuditRow], index_of: Mapping[str, int], digests_N32: np.ndarray, fingerprints_N: np.ndarray | None
) -> list[AuditFinding]:
    """Returns one finding for each image that several rows show.

    `index_of` maps each good image to its index in the arrays, which `copy_groups` describes.
    """
    group_N, mirrored = copy_groups(digests_N32, fingerprints_N)
    groups: dict[int, list[AuditRow]] = defaultdict(list)
    for row in rows:
        if row.image in index_of:
            groups[int(group_N[index_of[row.image]])].append(row)
    findings = []
    for key, group in groups.items():
        if len(group) > 1:
            contents = {digests_N32[index_of[row.image]].tobytes() for row in group}
            match_kind = "byte for byte" if len(contents) == 1 else "mirrored" if key in mirrored else "nearly the same"
            findings.append(_copy_finding(group, match_kind))
    return findings


def _copy_finding(group: Sequence[AuditRow], match_kind: str) -> AuditFinding:
    labels = in_order({row.shown_label for row in group})
    splits = list(dict.fromkeys(row.split for row in group))
    files = len({row.image for row in group})
    kind: Kind = "conflicting_labels" if len(labels) > 1 else "split_leakage" if len(splits) > 1 else "duplicates"
    what = "one file" if files == 1 else f"{files} files, {match_kind}"
    # One image of each split and label comes first.
    firsts = {(row.split, row.label): row for row in reversed(group)}.values()
    ordered = list(dict.fromkeys([*reversed(firsts), *group]))
    names = [escape_control(row.image) + (f" ({row.shown_label})" if len(labels) > 1 else "") for row in ordered]
    examples = summarize(names, limit=_MAX_EXAMPLES)
    return AuditFinding(kind, f"{' and '.join(labels)} in {' and '.join(splits)} ({what}): {examples}", tuple(group))


def label_findings(rows: Iterable[AuditRow], pinned: Sequence[str] | None) -> list[AuditFinding]:
    """Finds labels that the map (the pinned one, or that of train) lacks, and labels of which a split has no image."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.label != ILLEGIBLE:
            counts[row.split][row.label] += 1
    known = in_order(counts["train"]) if pinned is None else list(pinned)
    found = []
    for split, present in counts.items():
        unknown = [f"{escape_control(label)} ({present[label]})" for label in in_order(set(present) - set(known))]
        if unknown and known:
            found.append(
                AuditFinding("unknown_label", f"{split} has images of {summarize(unknown, limit=_MAX_LABELS)}")
            )
        missing = [escape_control(label) for label in known if label not in present]
        if missing and present:
            which = f"{len(missing)} of {len(known)} labels: {summarize(missing, limit=_MAX_LABELS)}"
            found.append(AuditFinding("missing_label", f"{split} has no image of {which}"))
    return found
