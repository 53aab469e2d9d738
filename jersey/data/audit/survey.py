"""Audits the folder of a data set, or the splits that a run has already decoded."""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jersey.core.errors import UserError, escape_control
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, SPLITS, SplitName, in_order
from jersey.core.tables import format_table
from jersey.data.audit.copies import FINGERPRINT, CopyRule, fingerprint
from jersey.data.audit.findings import KINDS, AuditFinding, AuditRow, bad_images, copies, label_findings
from jersey.data.decode import decode_all
from jersey.data.files import expand_home
from jersey.data.index import Index, read_index
from jersey.data.label_files import Format
from jersey.data.problems import ConflictingLabels, Skipped
from jersey.data.split import Split, label_map, relative_name
from jersey.data.unused import unused_warnings


@dataclass(frozen=True)
class Audit:
    """The content of a data set and its faults.

    Attributes:
        root: folder of the data set.
        fast: whether only headers were read.
        rows: images with their splits and labels.
        sizes: sizes and kinds of images by split, see `_sizes`; None without images.
        findings: faults, errors first.
        index: layout of the data set, and the files that are not used.
    """

    root: Path
    fast: bool
    rows: tuple[AuditRow, ...]
    sizes: Mapping[SplitName, dict[str, Any] | None]
    findings: tuple[AuditFinding, ...]
    index: Index

    @property
    def errors(self) -> list[AuditFinding]:
        """The findings that stop a run."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def tables(self) -> str:
        """Returns the tables of counts and sizes, the layout, and the table of the files that are not used."""
        notes = "".join(f"{escape_control(note)}\n" for note in self.index.notes)
        tables = (count_table(*self._counts()), _size_table(self.sizes), notes, self.index.table)
        return "\n".join(filter(None, tables))

    def text(self, *, max_per_kind: int = 20) -> str:
        """Returns the report with at most `max_per_kind` findings of each kind."""
        images = len({row.image for row in self.rows})
        warnings = len(self.findings) - len(self.errors)
        counts = [(images, "image"), (len(self.errors), "error"), (warnings, "warning")]
        summary = ", ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts)
        depth = " (headers only, without pixels)" if self.fast else ""
        head = f"{escape_control(str(self.root))}: {summary}{depth}\n"
        return "\n".join(filter(None, [head, self.tables(), _finding_lists(self.findings, max_per_kind=max_per_kind)]))

    def to_json(self) -> str:
        """Returns the whole audit as JSON, with every image of every finding."""
        counts, illegible = self._counts()
        content = {
            "root": str(self.root),
            "fast": self.fast,
            "errors": len(self.errors),
            "warnings": len(self.findings) - len(self.errors),
            "counts": counts,
            "illegible": illegible,
            "sizes": self.sizes,
            "notes": self.index.notes,
            "unused_files": [
                {"path": relative_name(Path(each.path), self.root), "reason": each.reason} for each in self.index.unused
            ],
            "findings": [
                {"severity": each.severity, "kind": each.kind, "sentence": each.sentence}
                | {"rows": [row._asdict() for row in each.rows]}
                | ({} if each.score is None else {"score": each.score, "predictions": each.predictions})
                for each in self.findings
            ],
        }
        return json.dumps(content, indent=2) + "\n"

    def _counts(self) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
        counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        for row in self.rows:
            counts[row.split][row.label] += 1
        illegible = {split: of_split.pop(ILLEGIBLE, 0) for split, of_split in counts.items()}
        return {split: dict(of_split) for split, of_split in counts.items()}, illegible


def audit_folder(
    root: Path, *, fast: bool = False, data_format: Format | None = None, rule: CopyRule | None = None
) -> Audit:
    """Audits a data set, and continues after problems at which a run would stop.

    Args:
        root: folder that holds the splits.
        fast: whether only headers are decoded, which finds neither damaged pixels nor copies with other bytes.
        data_format: `data.format` of a run.
        rule: when two images count as copies; None for the default.

    Raises:
        UserError: there is no such folder.
    """
    root = Path(expand_home(root)).absolute()
    problems: list[AuditFinding] = []

    def on_problem(problem: UserError) -> None:
        if not isinstance(problem, ConflictingLabels):  # `copies` finds these with all their rows
            # Paths become relative, except in advice, which must work as it is written.
            sentence = escape_control(re.sub(rf"(?<!`root` to ){re.escape(f'{root}{os.sep}')}", "", str(problem)))
            problems.append(AuditFinding("layout", sentence))

    def store(index: int, pixels_HWC: np.ndarray) -> None:
        fingerprints_N[index] = fingerprint(pixels_HWC)

    index = read_index(root, on_problem, data_format=data_format)
    if "train" in index.splits and index.splits["train"].counts():
        try:
            label_map({"train": index.splits["train"]})  # a run stops if there is one class only
        except UserError as problem:
            on_problem(problem)
    rows = _rows(root, index.splits)
    images = list(dict.fromkeys(row.image for row in rows))
    fingerprints_N = np.zeros(0 if fast else len(images), FINGERPRINT)
    paths = [root / image for image in images]
    image_meta_N, bad = decode_all(paths, None if fast else store, description="reading images")
    problems += bad_images(rows, {images[index]: error.reason for index, error in bad.items()})
    good = [index for index in range(len(images)) if index not in bad]
    good_images = [images[index] for index in good]
    prints_N = None if fast else fingerprints_N[good]
    return _audit(index, rows, good_images, image_meta_N[good], prints_N, problems, rule=rule)


def fast_audit(
    index: Index,
    splits: Mapping[str, Split],
    image_meta: Mapping[str, np.ndarray],
    *,
    skipped: Mapping[str, Sequence[Skipped]],
    labels: Sequence[str] | None = None,
) -> Audit:
    """Audits the decoded splits of a run without reading a file.

    It finds identical copies, unknown and missing labels, and the images that the run skips.

    Args:
        index: index of the data set.
        splits: splits without the skipped rows.
        image_meta: IMAGE_META [N] of the rows of each split.
        skipped: skipped rows of each split.
        labels: names of the label map; None takes the labels of the train split.
    """
    root = index.root
    rows = _rows(root, splits)
    skipped_rows, reasons = [], {}
    for name, of_split in skipped.items():
        for each in of_split:
            row = AuditRow(name, each.label, relative_name(each.problem.path, root))
            skipped_rows.append(row)
            reasons[row.image] = each.problem.reason
    problems = bad_images(skipped_rows, reasons)
    image_meta_N = np.concatenate([image_meta[name] for name in splits])
    return _audit(index, rows, [row.image for row in rows], image_meta_N, None, problems, labels=labels)


def _rows(root: Path, splits: Mapping[str, Split]) -> tuple[AuditRow, ...]:
    return tuple(
        AuditRow(split.name, label, relative_name(path, root))
        for split in splits.values()
        for path, label in zip(split.paths, split.labels, strict=True)
    )


def _audit(
    index: Index,
    rows: tuple[AuditRow, ...],
    images: Sequence[str],
    image_meta_N: np.ndarray,
    fingerprints_N: np.ndarray | None,
    problems: Sequence[AuditFinding],
    *,
    labels: Sequence[str] | None = None,
    rule: CopyRule | None = None,
) -> Audit:
    """Completes an audit; the arrays have a row for each of `images`, and a fast audit has no `fingerprints_N`."""
    index_of = {image: index for index, image in enumerate(images)}
    copied = copies(rows, index_of, image_meta_N["digest"], fingerprints_N, rule or CopyRule())
    found = [*copied, *label_findings(rows, labels)]
    read = {split: {row.image for row in rows if row.split == split} & index_of.keys() for split in SPLITS}
    sizes = {split: _sizes(image_meta_N[[index_of[image] for image in some]]) for split, some in read.items()}
    remarks = [AuditFinding("unusual_label", sentence) for sentence in index.warnings]
    remarks += [AuditFinding("unused_files", sentence) for sentence in unused_warnings(index.unused, str(index.root))]
    in_report_order = sorted([*problems, *found, *remarks], key=lambda finding: list(KINDS).index(finding.kind))
    return Audit(index.root, fingerprints_N is None, rows, sizes, tuple(in_report_order), index)


def _sizes(image_meta_N: np.ndarray) -> dict[str, Any] | None:
    """Returns min, median and max of width and height, and the count of each kind of file; None without files."""
    if not len(image_meta_N):
        return None
    min_median_max = [0, (len(image_meta_N) - 1) // 2, -1]  # ranks
    ranges = {name: np.sort(image_meta_N[name])[min_median_max].tolist() for name in ("width_px", "height_px")}
    return ranges | {"kinds": dict(Counter(kind.decode() for kind in image_meta_N["kind"].tolist()).most_common())}


def count_table(counts: Mapping[str, Mapping[str, int]], illegible: Mapping[str, int]) -> str:
    """Formats a line for each label and one for illegible images, with a column for each split."""
    lines = [["label", *counts, "all"]]
    for label in in_order(label for of_split in counts.values() for label in of_split):
        lines.append([escape_control(label), *_with_sum([of_split.get(label, 0) for of_split in counts.values()])])
    lines.append(["total", *_with_sum([sum(of_split.values()) for of_split in counts.values()])])
    labels_of = [set(of_split) for of_split in counts.values()]
    lines.append(["labels", *(_number(len(labels)) for labels in [*labels_of, set().union(*labels_of)])])
    if any(illegible.values()):
        lines.append([ILLEGIBLE_NAME, *_with_sum([illegible[split] for split in counts])])
    return "".join(f"{line}\n" for line in format_table(lines, is_numeric=True))


def _size_table(sizes: Mapping[SplitName, dict[str, Any] | None]) -> str:
    """Formats a line for each split that has images."""
    lines = [["pixels", "width min", "median", "max", "height min", "median", "max"]]
    kinds = [""]
    for split, found in sizes.items():
        if found is not None:
            lines.append([split, *map(_number, (*found["width_px"], *found["height_px"]))])
            kinds.append(", ".join(f"{kind} {_number(count)}" for kind, count in found["kinds"].items()))
    numbers = format_table(lines, is_numeric=True)
    return "".join(f"{line}   {kind}".rstrip() + "\n" for line, kind in zip(numbers, kinds, strict=True))


def _finding_lists(findings: Sequence[AuditFinding], *, max_per_kind: int) -> str:
    """Formats a list for each kind that has findings."""
    parts = []
    for kind, (severity, heading) in KINDS.items():
        sentences = [finding.sentence for finding in findings if finding.kind == kind]
        if sentences:
            rest = len(sentences) - max_per_kind
            lines = sentences[:max_per_kind] + ([f"and {rest:,} more, which the JSON lists"] if rest > 0 else [])
            parts.append(f"{severity}: {heading} ({len(sentences):,})\n" + "".join(f"  {line}\n" for line in lines))
    return "\n".join(parts)


def _with_sum(counts: Sequence[int]) -> list[str]:
    return [_number(count) for count in (*counts, sum(counts))]


def _number(count: int) -> str:
    """Formats a count; 0 is a dash, which is easier to spot among numbers."""
    return f"{count:,}" if count else "-"
