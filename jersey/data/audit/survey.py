"""The audit itself: of a folder, with every problem it has, or of the splits that a run has read already."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jersey.core.errors import UserError, escape_control
from jersey.core.labels import ILLEGIBLE, SPLITS
from jersey.data.audit.copies import Looks
from jersey.data.audit.findings import KINDS, Finding, Row, bad_images, copies, labels_astray
from jersey.data.audit.hashes import Fingerprint, fingerprint
from jersey.data.audit.table import Sizes, count_table, finding_lists, size_table
from jersey.data.decode import BadImage, Picture, decode_content, picture_of, read_content
from jersey.data.index import read_splits
from jersey.data.problems import ConflictingLabels, Skipped
from jersey.data.split import Split

IMAGES_WORTH_A_WORKER = 1000
_AT_A_TIME = 4096  # the pool takes in at once all it is given
_CHUNK = 32

Reading = tuple[Picture, Fingerprint | None]  # no fingerprint after a fast reading


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

    def on_problem(problem: UserError) -> None:
        if not isinstance(problem, ConflictingLabels):  # those are found again, with their rows
            sentence = escape_control(str(problem).replace(f"{root}{os.sep}", ""))
            problems.append(Finding("layout", sentence))

    splits = read_splits(root, on_problem)
    rows = _rows(root, splits)
    images = list(dict.fromkeys(row.image for row in rows))
    looks = None if fast else Looks(len(images))
    pictures, reasons = _read(root, images, looks)
    problems += [*bad_images(rows, reasons), *copies(rows, pictures, looks), *labels_astray(rows, labels)]
    return _audit(root, rows, pictures, problems, fast=fast)


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
    known_of = {row.image: picture for row, picture in zip(rows, known, strict=True)}
    problems = [*_unused(root, skipped), *copies(rows, known_of, None), *labels_astray(rows, labels)]
    return _audit(root, rows, known_of, problems, fast=True)


def _unused(root: Path, skipped: Mapping[str, Sequence[Skipped]]) -> list[Finding]:
    found = [
        (Row(name, each.label, _seen_from(root, each.problem.path)), each) for name in skipped for each in skipped[name]
    ]
    return bad_images([row for row, _ in found], {row.image: each.problem.reason for row, each in found})


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
    root: Path, rows: tuple[Row, ...], pictures: Mapping[str, Picture], findings: Sequence[Finding], *, fast: bool
) -> Audit:
    images = {split: {row.image for row in rows if row.split == split} for split in SPLITS}
    return Audit(
        root=root,
        fast=fast,
        rows=rows,
        sizes={split: Sizes.of(pictures[image] for image in images[split] if image in pictures) for split in SPLITS},
        findings=tuple(sorted(findings, key=lambda finding: list(KINDS).index(finding.kind))),
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


def read_all(paths: Sequence[Path], *, fast: bool, workers: int | None = None) -> Iterator[Reading | str]:
    """Yields what is known of each file, or what is wrong with it, in order, with a progress bar.

    Args:
        paths: image files.
        fast: read headers only; damaged pixels are then not found, and there are no fingerprints.
        workers: processes; None takes one per core where that is worth their start.
    """
    read = partial(read_image, fast=fast)
    workers = workers or min(os.cpu_count() or 1, len(paths) // IMAGES_WORTH_A_WORKER)
    # Reading headers is a matter of the disk; threads would be no faster than one, since Pillow's Python holds them up.
    results = map(read, paths) if fast or workers < 2 else _in_processes(read, paths, workers)
    yield from tqdm(results, total=len(paths), desc="reading images", unit="image", disable=None)


def read_image(path: Path, *, fast: bool) -> Reading | str:
    """What is known of a file, or what is wrong with it."""
    try:
        content = read_content(path)
        look = None if fast else fingerprint(decode_content(content, path))
        return picture_of(content, path), look
    except BadImage as problem:
        return problem.reason


def _in_processes(
    read: Callable[[Path], Reading | str], paths: Sequence[Path], workers: int
) -> Iterator[Reading | str]:
    # Spawned, since a forked process inherits locks that the progress bar's thread may hold.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_parent) as pool:
        for start in range(0, len(paths), _AT_A_TIME):
            yield from pool.map(read, paths[start : start + _AT_A_TIME], chunksize=_CHUNK)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
