"""The audit itself: of a folder, with every problem it has, or of the splits that a run has read already."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from jersey.core.errors import UserError, escape_control
from jersey.core.labels import ILLEGIBLE, SPLITS
from jersey.data.audit.copies import Looks
from jersey.data.audit.finding import KINDS, Finding, Row
from jersey.data.audit.read import read_all
from jersey.data.audit.rules import copies, labels_astray, unreadable_images
from jersey.data.audit.table import Sizes, count_table, finding_lists, size_table
from jersey.data.bad_images import Skipped
from jersey.data.image_file import Picture
from jersey.data.index import Split, read_splits
from jersey.data.problems import TwoLabels


@dataclass(frozen=True)
class Audit:
    """What a data set holds and what is wrong with it.

    Args:
        root: its folder.
        fast: whether only headers were read.
        rows: the images and their labels.
        sizes: by split; None where no image could be read.
        findings: errors first.
    """

    root: Path
    fast: bool
    rows: tuple[Row, ...]
    sizes: dict[str, Sizes | None]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """The findings that make a run stop or its scores untrue."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def tables(self) -> str:
        """Counts and sizes."""
        return f"{count_table(*self._counts())}\n{size_table(self.sizes)}"

    def problems(self, *, most: int) -> str:
        """The findings under the headings of their kinds, at most so many of each; empty where there are none."""
        return finding_lists(self.findings, most=most)

    def text(self, *, most: int = 20) -> str:
        """All of it, with at most so many findings of each kind."""
        images = len({row.image for row in self.rows})
        warnings = len(self.findings) - len(self.errors)
        counts = [(images, "image"), (len(self.errors), "error"), (warnings, "warning")]
        counted = ", ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts)
        depth = " (headers only, no pixel was looked at)" if self.fast else ""
        head = f"{escape_control(str(self.root))}: {counted}{depth}\n"
        return "\n".join(filter(None, [head, self.tables(), self.problems(most=most)]))

    def to_json(self) -> str:
        """All of it, for machines; every image of every finding is in it."""
        counts, unreadable = self._counts()
        content: dict[str, Any] = {
            "root": str(self.root),
            "fast": self.fast,
            "errors": len(self.errors),
            "warnings": len(self.findings) - len(self.errors),
            "counts": counts,
            "unreadable": unreadable,
            "sizes": {split: found and asdict(found) for split, found in self.sizes.items()},
            "findings": [
                {
                    "severity": finding.severity,
                    "kind": finding.kind,
                    "sentence": finding.sentence,
                    "rows": [row._asdict() for row in finding.rows],
                }
                for finding in self.findings
            ],
        }
        return json.dumps(content, indent=2) + "\n"

    def _counts(self) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
        """Of the images of each label, and of the unreadable ones, by split."""
        counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        for row in self.rows:
            counts[row.split][row.label] += 1
        unreadable = {split: of_split.pop(ILLEGIBLE, 0) for split, of_split in counts.items()}
        return {split: dict(of_split) for split, of_split in counts.items()}, unreadable


def audit_folder(root: Path, *, fast: bool = False, labels: Sequence[str] | None = None) -> Audit:
    """Reads a data set and goes on where a run would stop.

    Args:
        root: the folder that holds the splits.
        fast: read headers only; damaged pixels and copies with other bytes are then not found.
        labels: the names of a pinned label map; None takes the labels of the train split.

    Raises:
        UserError: the folder holds no split at all.
    """
    root = root.absolute()
    problems: list[Finding] = []

    def complain(problem: UserError) -> None:
        if not isinstance(problem, TwoLabels):  # those are found again, with their rows
            sentence = escape_control(str(problem).replace(f"{root}{os.sep}", ""))
            problems.append(Finding("layout", sentence))

    splits = read_splits(root, complain)
    rows = _rows(root, splits)
    images = list(dict.fromkeys(row.image for row in rows))
    looks = None if fast else Looks(len(images))
    pictures, reasons = _read(root, images, looks)
    problems += [*unreadable_images(rows, reasons), *copies(rows, pictures, looks), *labels_astray(rows, labels)]
    return _audit(root, splits, rows, pictures, problems, fast=fast)


def fast_audit(
    root: Path,
    splits: Mapping[str, Split],
    pictures: Mapping[str, np.ndarray],
    *,
    skipped: Mapping[str, Sequence[Skipped]],
    labels: Sequence[str] | None = None,
) -> Audit:
    """The audit that opens every run: of what is known since the crops were decoded, so that it reads no file.

    Finds copies byte for byte, labels astray, and the images that the run goes without.

    Args:
        root: the folder that holds the splits.
        splits: as `read_splits` gave them.
        pictures: of the rows of each split, `PICTURE`.
        skipped: what each split goes without.
        labels: the names of the label map; None takes the labels of the train split.
    """
    rows = _rows(root, splits)
    known = map(Picture.of, chain.from_iterable(pictures[name] for name in splits))
    picture_of = {row.image: picture for row, picture in zip(rows, known, strict=True)}
    problems = [*_unused(root, skipped), *copies(rows, picture_of, None), *labels_astray(rows, labels)]
    return _audit(root, splits, rows, picture_of, problems, fast=True)


def _unused(root: Path, skipped: Mapping[str, Sequence[Skipped]]) -> list[Finding]:
    found = [
        (Row(name, each.label, _seen_from(root, each.problem.path)), each) for name in skipped for each in skipped[name]
    ]
    return unreadable_images([row for row, _ in found], {row.image: each.problem.reason for row, each in found})


def _rows(root: Path, splits: Mapping[str, Split]) -> tuple[Row, ...]:
    return tuple(
        Row(split.name, label, _seen_from(root, path))
        for split in splits.values()
        for path, label in zip(split.paths, split.labels, strict=True)
    )


def _seen_from(root: Path, path: Path) -> str:
    """Train crops may have been drawn into another folder."""
    return (path.relative_to(root) if path.is_relative_to(root) else Path(os.path.relpath(path, root))).as_posix()


def _audit(
    root: Path,
    splits: Mapping[str, Split],
    rows: tuple[Row, ...],
    pictures: Mapping[str, Picture],
    findings: Sequence[Finding],
    *,
    fast: bool,
) -> Audit:
    order = list(KINDS)
    return Audit(
        root=root,
        fast=fast,
        rows=rows,
        sizes={name: _sizes(rows, pictures, name) for name in splits},
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.kind))),
    )


def _read(root: Path, images: Sequence[str], looks: Looks | None) -> tuple[dict[str, Picture], dict[str, str]]:
    """What is known of each image that can be used, and why the others cannot; the fingerprints go to `looks`."""
    pictures: dict[str, Picture] = {}
    reasons: dict[str, str] = {}
    results = read_all([root / image for image in images], fast=looks is None)
    for image, result in zip(images, results, strict=True):
        if isinstance(result, str):
            reasons[image] = result
            continue
        pictures[image], look = result
        if looks is not None and look is not None:
            looks.add(pictures[image].digest, look)
    return pictures, reasons


def _sizes(rows: Sequence[Row], pictures: Mapping[str, Picture], split: str) -> Sizes | None:
    images = {row.image for row in rows if row.split == split}
    return Sizes.of(pictures[image] for image in images if image in pictures)
