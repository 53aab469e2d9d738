"""Finds faults in the rows of a data set and in the metadata of their files. Images are named relative to the root."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from jersey.core.errors import escape_control, summarize
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, in_order
from jersey.data.audit.copies import CopyRule, copy_groups

# Images and labels that a sentence names, so that it fits on two lines of a terminal.
_MAX_EXAMPLES = 4
_MAX_LABELS = 12

Kind = Literal[
    "layout",
    "bad_image",
    "conflicting_labels",
    "split_leakage",
    "unknown_label",
    "duplicates",
    "missing_label",
    "unknown_to_reader",
    "label_contradicted",
    "looks_illegible",
    "similar_with_other_label",
]
Severity = Literal["error", "warning"]

# The severity and the heading of each kind, in the order of the report. An error stops a run or invalidates its
# metrics; a warning may be about something intended.
KINDS: dict[Kind, tuple[Severity, str]] = {
    "layout": ("error", "folders and annotations that cannot be used"),
    "bad_image": ("error", "images that cannot be used; repair or remove them"),
    "conflicting_labels": ("error", "the same image with several labels; keep the correct one"),
    "split_leakage": ("error", "the same image in several splits, which inflates metrics; keep it in one"),
    "unknown_label": ("error", "labels that the train split lacks; add images there or remove these"),
    "duplicates": ("warning", "the same image several times in a split"),
    "missing_label": ("warning", "labels without images, which metrics do not cover"),
    "unknown_to_reader": ("warning", "labels that the reader cannot judge"),
    "label_contradicted": ("warning", "labels that the reader contradicts, the most suspicious first"),
    "looks_illegible": ("warning", "labeled images that the reader finds illegible"),
    "similar_with_other_label": ("warning", "similar images with different labels, the most similar first"),
}


class AuditRow(NamedTuple):
    """An image of a data set.

    Attributes:
        split: name of the split.
        label: label, or ILLEGIBLE.
        image: path relative to the root, with "/".
    """

    split: str
    label: str
    image: str

    @property
    def shown_label(self) -> str:
        """The label as text that a terminal can show."""
        return escape_control(self.label) or ILLEGIBLE_NAME


@dataclass(frozen=True)
class AuditFinding:
    """A fault of a data set.

    Attributes:
        kind: one of KINDS.
        sentence: what is wrong, and where.
        rows: all images concerned; none for faults of labels and folders.
        score: how suspicious it is, see `jersey.data.audit.review`; None without a reader.
        predictions: the reader's likeliest number for each of `rows` and its probability; empty without a reader.
    """

    kind: Kind
    sentence: str
    rows: tuple[AuditRow, ...] = ()
    score: float | None = None
    predictions: tuple[tuple[str, float], ...] = ()

    @property
    def severity(self) -> Severity:
        """Severity of the kind."""
        return KINDS[self.kind][0]

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"


def bad_images(rows: Iterable[AuditRow], reasons: Mapping[str, str]) -> list[AuditFinding]:
    """Returns one finding for each file that cannot be used; `reasons` are predicates by path, such as "is empty"."""
    rows_of: dict[str, list[AuditRow]] = defaultdict(list)
    for row in rows:
        rows_of[row.image].append(row)
    return [
        AuditFinding("bad_image", f"{escape_control(image)} {escape_control(reason)}", tuple(rows_of[image]))
        for image, reason in reasons.items()
    ]


def copies(
    rows: Iterable[AuditRow],
    index_of: Mapping[str, int],
    digests_N32: np.ndarray,
    fingerprints_N: np.ndarray | None,
    rule: CopyRule,
) -> list[AuditFinding]:
    """Returns one finding for each image that several rows show.

    Args:
        rows: rows of the data set.
        index_of: index of each good image in both arrays, by its path.
        digests_N32: SHA-256 of each file, uint8 [N,32].
        fingerprints_N: FINGERPRINT [N] of the files, or None, as in `copy_groups`.
        rule: when two images count as copies.
    """
    group_N, mirrored = copy_groups(digests_N32, fingerprints_N, rule)
    groups: dict[int, list[AuditRow]] = defaultdict(list)
    for row in rows:
        if row.image in index_of:
            groups[int(group_N[index_of[row.image]])].append(row)
    findings = []
    for key, group in groups.items():
        if len(group) == 1:
            continue
        if len({digests_N32[index_of[row.image]].tobytes() for row in group}) == 1:
            match_kind = "byte for byte"
        else:
            match_kind = "mirrored" if key in mirrored else "nearly the same"
        findings.append(_copy_finding(group, match_kind))
    return findings


def _copy_finding(group: Sequence[AuditRow], match_kind: str) -> AuditFinding:
    labels = in_order({row.shown_label for row in group})
    splits = list(dict.fromkeys(row.split for row in group))
    files = len({row.image for row in group})
    kind: Kind = "duplicates"
    if len(labels) > 1:
        kind = "conflicting_labels"
    elif len(splits) > 1:
        kind = "split_leakage"
    what = "one file" if files == 1 else f"{files} files, {match_kind}"
    # One image of each split and label comes first.
    examples_of: dict[tuple[str, str], AuditRow] = {}
    for row in group:
        examples_of.setdefault((row.split, row.label), row)
    ordered = list(dict.fromkeys([*examples_of.values(), *group]))
    names = [escape_control(row.image) + (f" ({row.shown_label})" if len(labels) > 1 else "") for row in ordered]
    examples = summarize(names, limit=_MAX_EXAMPLES)
    return AuditFinding(kind, f"{' and '.join(labels)} in {' and '.join(splits)} ({what}): {examples}", tuple(group))


def label_findings(rows: Iterable[AuditRow], pinned: Sequence[str] | None) -> list[AuditFinding]:
    """Finds labels that the label map (the pinned one, or that of train) lacks, and those that a split lacks."""
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
