"""The audit itself: of a folder, with every problem it has, or of the splits that a run has read already."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jersey.core.errors import UserError, escape_control
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, SPLITS, SplitName, in_order
from jersey.core.tables import format_table
from jersey.data.audit.copies import FINGERPRINT, fingerprint
from jersey.data.audit.findings import KINDS, AuditFinding, AuditRow, bad_images, copies, labels_astray
from jersey.data.decode import decode_all
from jersey.data.index import read_splits
from jersey.data.problems import ConflictingLabels, Skipped
from jersey.data.split import Split


@dataclass(frozen=True)
class Audit:
    """What a data set holds and what is wrong with it.

    Attributes:
        root: its folder.
        fast: whether only headers were read.
        rows: the images and their labels.
        sizes: by split; None where no image could be read.
        findings: errors first.
    """

    root: Path
    fast: bool
    rows: tuple[AuditRow, ...]
    sizes: Mapping[SplitName, dict[str, Any] | None]
    findings: tuple[AuditFinding, ...]

    @property
    def errors(self) -> list[AuditFinding]:
        """The findings that make a run stop or its scores untrue."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def tables(self) -> str:
        """Counts and sizes."""
        return f"{_count_table(*self._counts())}\n{_size_table(self.sizes)}"

    def text(self, *, most: int = 20) -> str:
        """All of it, with at most so many findings of each kind."""
        images = len({row.image for row in self.rows})
        warnings = len(self.findings) - len(self.errors)
        counts = [(images, "image"), (len(self.errors), "error"), (warnings, "warning")]
        counted = ", ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts)
        depth = " (headers only, no pixel was looked at)" if self.fast else ""
        head = f"{escape_control(str(self.root))}: {counted}{depth}\n"
        return "\n".join(filter(None, [head, self.tables(), _finding_lists(self.findings, most=most)]))

    def to_json(self) -> str:
        """All of it, for machines; every image of every finding is in it."""
        counts, illegible = self._counts()
        content = {
            "root": str(self.root),
            "fast": self.fast,
            "errors": len(self.errors),
            "warnings": len(self.findings) - len(self.errors),
            "counts": counts,
            "illegible": illegible,
            "sizes": self.sizes,
            "findings": [
                {"severity": each.severity, "kind": each.kind, "sentence": each.sentence}
                | {"rows": [row._asdict() for row in each.rows]}
                for each in self.findings
            ],
        }
        return json.dumps(content, indent=2) + "\n"

    def _counts(self) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
        """Of the images of each label, and of the illegible ones, by split."""
        counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        for row in self.rows:
            counts[row.split][row.label] += 1
        illegible = {split: of_split.pop(ILLEGIBLE, 0) for split, of_split in counts.items()}
        return {split: dict(of_split) for split, of_split in counts.items()}, illegible


def audit_folder(root: Path, *, fast: bool = False) -> Audit:
    """Reads a data set and goes on where a run would stop; UserError only where the folder holds no split at all.

    A fast audit reads headers only; damaged pixels and copies with other bytes are then not found.
    """
    root = root.absolute()
    problems: list[AuditFinding] = []

    def on_problem(problem: UserError) -> None:
        if not isinstance(problem, ConflictingLabels):  # those are found again, with their rows
            sentence = escape_control(str(problem).replace(f"{root}{os.sep}", ""))
            problems.append(AuditFinding("layout", sentence))

    def keep(place: int, pixels_HWC: np.ndarray) -> None:
        looks_N[place] = fingerprint(pixels_HWC)

    rows = _rows(root, read_splits(root, on_problem))
    images = list(dict.fromkeys(row.image for row in rows))
    looks_N = np.zeros(0 if fast else len(images), FINGERPRINT)
    paths = [root / image for image in images]
    image_meta_N, bad = decode_all(paths, None if fast else keep, description="reading images")
    problems += bad_images(rows, {images[place]: error.reason for place, error in bad.items()})
    good = [place for place in range(len(images)) if place not in bad]
    known = [images[place] for place in good]
    return _audit(root, rows, known, image_meta_N[good], None if fast else looks_N[good], problems)


def fast_audit(
    root: Path,
    splits: Mapping[str, Split],
    image_meta: Mapping[str, np.ndarray],
    *,
    skipped: Mapping[str, Sequence[Skipped]],
    labels: Sequence[str] | None = None,
) -> Audit:
    """The audit that opens every run: of what is known since the crops were decoded, so that it reads no file.

    Finds copies byte for byte, labels astray (of the map, or of train), and the images that the run goes without.

    Args:
        root: the folder that holds the splits.
        splits: as they are used.
        image_meta: IMAGE_META of the rows of each split.
        skipped: what each split goes without.
        labels: the names of the label map; None takes the labels of the train split.
    """
    rows = _rows(root, splits)
    pairs = [(name, each) for name in skipped for each in skipped[name]]
    unused = [(AuditRow(name, each.label, _seen_from(root, each.problem.path)), each.problem) for name, each in pairs]
    problems = bad_images([row for row, _ in unused], {row.image: problem.reason for row, problem in unused})
    image_meta_N = np.concatenate([image_meta[name] for name in splits])
    return _audit(root, rows, [row.image for row in rows], image_meta_N, None, problems, labels=labels)


def _rows(root: Path, splits: Mapping[str, Split]) -> tuple[AuditRow, ...]:
    return tuple(
        AuditRow(split.name, label, _seen_from(root, path))
        for split in splits.values()
        for path, label in zip(split.paths, split.labels, strict=True)
    )


def _seen_from(root: Path, path: Path) -> str:
    """Train crops may have been drawn into another folder."""
    return (path.relative_to(root) if path.is_relative_to(root) else Path(os.path.relpath(path, root))).as_posix()


def _audit(
    root: Path,
    rows: tuple[AuditRow, ...],
    images: Sequence[str],
    image_meta_N: np.ndarray,
    looks_N: np.ndarray | None,
    problems: Sequence[AuditFinding],
    *,
    labels: Sequence[str] | None = None,
) -> Audit:
    """With what is known of the `images`, in this order; without `looks_N` no pixel was looked at."""
    place_of = {image: place for place, image in enumerate(images)}
    findings = [*problems, *copies(rows, place_of, image_meta_N["digest"], looks_N), *labels_astray(rows, labels)]
    read = {split: {row.image for row in rows if row.split == split} & place_of.keys() for split in SPLITS}
    sizes = {split: _sizes(image_meta_N[[place_of[image] for image in some]]) for split, some in read.items()}
    in_report_order = sorted(findings, key=lambda finding: list(KINDS).index(finding.kind))
    return Audit(root, looks_N is None, rows, sizes, tuple(in_report_order))


def _sizes(image_meta_N: np.ndarray) -> dict[str, Any] | None:
    """The least, median and greatest width and height of files, and how many there are of each kind; None of none."""
    if not len(image_meta_N):
        return None
    places = [0, (len(image_meta_N) - 1) // 2, -1]
    ranges = {name: np.sort(image_meta_N[name])[places].tolist() for name in ("width_px", "height_px")}
    return ranges | {"kinds": dict(Counter(kind.decode() for kind in image_meta_N["kind"].tolist()).most_common())}


def _count_table(counts: Mapping[str, Mapping[str, int]], illegible: Mapping[str, int]) -> str:
    """A line for each label, a column for each split, and a line of the illegible images of each split."""
    lines = [["label", *counts, "all"]]
    for label in in_order(label for of_split in counts.values() for label in of_split):
        lines.append([escape_control(label), *_with_sum([of_split.get(label, 0) for of_split in counts.values()])])
    lines.append(["total", *_with_sum([sum(of_split.values()) for of_split in counts.values()])])
    labels_of = [set(of_split) for of_split in counts.values()]
    lines.append(["labels", *map(_number, map(len, [*labels_of, set().union(*labels_of)]))])
    if any(illegible.values()):
        lines.append([ILLEGIBLE_NAME, *_with_sum([illegible[split] for split in counts])])
    return "".join(f"{line}\n" for line in format_table(lines, is_numeric=True))


def _size_table(sizes: Mapping[SplitName, dict[str, Any] | None]) -> str:
    """A line for each split with images."""
    lines = [["pixels", "width min", "median", "max", "height min", "median", "max"]]
    kinds = [""]
    for split, found in sizes.items():
        if found is not None:
            lines.append([split, *map(_number, (*found["width_px"], *found["height_px"]))])
            kinds.append(", ".join(f"{kind} {_number(count)}" for kind, count in found["kinds"].items()))
    numbers = format_table(lines, is_numeric=True)
    return "".join(f"{line}   {kind}".rstrip() + "\n" for line, kind in zip(numbers, kinds, strict=True))


def _finding_lists(findings: Sequence[AuditFinding], *, most: int) -> str:
    """The findings of each kind under a heading, at most `most` of each."""
    parts = []
    for kind, (severity, heading) in KINDS.items():
        some = [finding for finding in findings if finding.kind == kind]
        if some:
            lines = [finding.sentence for finding in some[:most]]
            lines += [f"and {len(some) - most:,} more, all in the JSON"] if len(some) > most else []
            parts.append(f"{severity}: {heading} ({len(some):,})\n" + "".join(f"  {line}\n" for line in lines))
    return "\n".join(parts)


def _with_sum(counts: Sequence[int]) -> list[str]:
    return [_number(count) for count in (*counts, sum(counts))]


def _number(count: int) -> str:
    """A dash for nothing, which is easier to spot among numbers."""
    return f"{count:,}" if count else "-"
