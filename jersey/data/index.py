"""Reads the index of a data set: which image files belong to which split, and the label of each.

The layout is recognized, see `jersey.data.layout`; training, audit and predictor share the reader of files in
`jersey.data.files`. Rows are sorted by label, file name and path, so that the same images train to the same weights in
every layout. Illegible crops come last. The crops of a tracklet lie in one folder below the label's, or have the same
tracklet in their rows. Every file that is not used is counted with its reason. No image is opened.
"""

import os
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from jersey.core.errors import UserError, plural
from jersey.core.labels import ILLEGIBLE, SPLITS, SplitName
from jersey.data.annotations import LabeledImages, RowPlacer, labeled_by_folders, read_rows
from jersey.data.files import KnownPaths, Listing, OnProblem, linked_outside, list_files, subfolders
from jersey.data.formats import Annotation
from jersey.data.label_files import DESCRIPTIONS, Format, LabelFile
from jersey.data.layout import (
    RowsWithoutSplit,
    SplitFiles,
    format_of,
    has_splits,
    is_number_folder,
    missing_splits,
    prepare_command,
    require_root,
    set_subfolders_aside,
    split_folders,
    take_label_files,
)
from jersey.data.problems import combined, label_warnings, respelled_labels
from jersey.data.split import Paths, Split
from jersey.data.unused import Reason, Unused, unused_table, unused_warnings

MAX_SHOWN = 4  # names in a sentence
UNSPLIT = "all crops"


@dataclass(frozen=True)
class Index:
    """The rows of a data set, and what its files were understood to mean.

    Attributes:
        root: folder of the data set.
        splits: splits by name, in the order of SPLITS; those that do not exist are left out.
        label_files: label files that were used.
        unused: all other files in the folder that are not used.
        linked: images and label files that are used, and are links to files outside the folder.
        notes: sentences on the layout that was recognized, and on `linked`.
        warnings: sentences on what may be a mistake, other than unused files.
    """

    root: Path
    splits: dict[str, Split]
    label_files: tuple[str, ...] = ()
    unused: tuple[Unused, ...] = ()
    linked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table of the files that are not used; empty if there are none."""
        return unused_table(self.unused, str(self.root))

    @property
    def all_warnings(self) -> list[str]:
        """`warnings`, and a sentence for each reason for which images or rows are not used."""
        return [*self.warnings, *unused_warnings(self.unused, str(self.root))]


def read_splits(root: Path, on_problem: OnProblem | None = None) -> dict[str, Split]:
    """Returns `Index.splits` of a data set; arguments and errors are those of `read_index`."""
    return read_index(root, on_problem).splits


def read_index(
    root: Path,
    on_problem: OnProblem | None = None,
    *,
    data_format: Format | None = None,
    only: Path | None = None,
) -> Index:
    """Reads the index of every split that exists.

    Args:
        root: folder that holds the splits.
        on_problem: function that is called with each problem. Reading then continues without the faulty rows and files,
            and an image with two labels has a row for each. If it is None, all problems are raised as one error.
        data_format: how the splits are labeled, where their files can be understood in two ways.
        only: label file in `root` to which all other label files yield; None for all.

    Raises:
        UserError: there is no such folder or, without `on_problem`, there is any problem.
    """
    if on_problem is None:
        problems: list[UserError] = []
        index = read_index(root, problems.append, data_format=data_format, only=only)
        if problems:
            raise combined(problems, index.root)
        return index
    return _Reader(require_root(root), on_problem, data_format, only).index()


def read_unsplit(
    root: Path, on_problem: OnProblem, *, data_format: Format | None = None, only: Path | None = None
) -> Index:
    """Reads a folder without splits as one split, `UNSPLIT`; the arguments are those of `read_index`."""
    return _Reader(require_root(root), on_problem, data_format, only).unsplit()


@dataclass
class _Reader:
    """Reads one data set; the fields collect what its splits have in common."""

    root: Path
    on_problem: OnProblem
    data_format: Format | None
    only: Path | None
    unused: list[Unused] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    label_files: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)  # label files in the root with rows that caused a problem
    formats: dict[str, list[str]] = field(default_factory=dict)
    respelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def index(self) -> Index:
        names = split_folders(self.root, self.on_problem)
        files = {split: self._list_split(f"{self.root}/{name}") for split, name in names.items()}
        beside = list_files(self.root, self.on_problem, beside=names.values())
        images = [path for each in files.values() for path in each.listing.images] + beside.images
        set_subfolders_aside(beside, self.root, images)
        root_files, broken = self._take_label_files(beside, images)
        known = KnownPaths(images if root_files or any(each.label_files for each in files.values()) else ())
        rows = self._root_rows(root_files, names, known)
        present = [split for split in SPLITS if split in names or split in rows]
        problem = missing_splits(self.root, present, has_crops=bool(images))
        if problem and (present or not self.refused):  # rows in no split are reported already
            self.on_problem(broken[0] if broken and not present else problem)
        splits: dict[str, Split] = {
            split: self._read_split(split, files.get(split, SplitFiles(None)), rows.get(split, {}), known)
            for split in present
        }
        for path in (str(each.path) for each in root_files):
            self.unused.append(Unused(path, Reason.REFUSED if path in self.refused else Reason.OTHER_LABELS))
        self._add_files_beside(beside.unused, beside.images)
        self._add_notes(names)
        if "val" in present and "test" not in present:
            self.notes.append("no test split: val, which chooses the best epoch, is reported in its place")
        return self._finish(splits)

    def unsplit(self) -> Index:
        files = self._list_split(str(self.root), beside=())
        split = self._read_split(None, files, {}, KnownPaths(files.listing.images))
        self._add_notes({})
        return self._finish({UNSPLIT: split})

    def _finish(self, splits: dict[str, Split]) -> Index:
        unused = (each for each in self.unused if each.path not in self.used and each.path not in self.label_files)
        self.warnings += label_warnings(splits)
        label_files = tuple(sorted(self.label_files))
        used = chain(label_files, *(split.paths.texts for split in splits.values()))
        linked = tuple(linked_outside(self.root, used))
        if linked:
            example = f"{linked[0]} to {os.path.realpath(linked[0])}"
            self.notes.append(f"links to files outside the folder: {len(linked):,}, for example {example}")
        sentences = tuple(self.notes), tuple(self.warnings)
        return Index(self.root, splits, label_files, tuple(sorted(unused)), linked, *sentences)

    def _take_label_files(self, listing: Listing, images: Sequence[str]) -> tuple[list[LabelFile], list[UserError]]:
        found, problems = take_label_files(listing, images)
        if self.only is None:
            return found, problems
        self.unused += (Unused(str(each.path), Reason.OTHER_LABELS) for each in found if each.path != self.only)
        return [each for each in found if each.path == self.only], []

    def _list_split(self, folder: str, beside: Collection[str] | None = None) -> SplitFiles:
        listing = list_files(folder, self.on_problem, beside=beside)
        label_files, problems = self._take_label_files(listing, listing.images)
        # Beside the folders of numbers the file may be anything; otherwise it has labels that are missing.
        if not any(is_number_folder(each) for each in subfolders(Path(folder))):
            for problem in problems:
                self.on_problem(problem)
        return SplitFiles(folder, listing, label_files)

    def _root_rows(
        self, root_files: Sequence[LabelFile], names: Mapping[SplitName, str], known: KnownPaths
    ) -> dict[SplitName, dict[Format, LabeledImages]]:
        """Reads the label files in the root, by split and format."""
        found: dict[SplitName, dict[Format, LabeledImages]] = {}
        for label_file in root_files:
            if self.data_format not in (None, label_file.format):
                continue
            without_split = 0
            for where, row, split, path in self._placed(label_file, None, names, known):
                if split is None:
                    without_split += 1
                    continue
                images = found.setdefault(split, {}).setdefault(label_file.format, LabeledImages())
                images.add(path, row, where=where, on_problem=self.on_problem)
                images.files.add(str(label_file.path))
            if without_split:
                self.refused.add(str(label_file.path))
                rows = plural(without_split, "row")
                what = f"{label_file.path}: {rows} {'is' if without_split == 1 else 'are'} in no split"
                other = "remove the file" if names else f"split them with `{prepare_command(self.root)}`"
                advice = f"add a column `split` with train, val or test, or {other}"
                self.on_problem(RowsWithoutSplit(f"{what}; {advice}"))
        return found

    def _read_split(
        self, name: SplitName | None, files: SplitFiles, from_root: Mapping[Format, LabeledImages], known: KnownPaths
    ) -> Split:
        self.unused += files.listing.unused
        what = f"the {name} split in {self.root}" if name else f"{self.root}"
        try:
            layout = format_of(self.root, what, files, from_root, self.data_format)
        except UserError as problem:
            self.on_problem(problem)
            self.refused.update(*(each.files for each in from_root.values()))
            refused_paths = [*files.listing.images, *(str(each.path) for each in files.label_files)]
            self.unused += (Unused(path, Reason.REFUSED) for path in refused_paths)
            return Split(name or UNSPLIT, Paths(()), (), ())
        images = from_root.get(layout, LabeledImages()) if layout is not None else LabeledImages()
        if layout == "folders":
            images, refused, warnings = labeled_by_folders(files, self.on_problem)
            self.unused += refused
            self.warnings += warnings
        for label_file in files.label_files:
            if label_file.format != layout:
                self.unused.append(Unused(str(label_file.path), Reason.OTHER_LABELS))
                continue
            images.files.add(str(label_file.path))
            for where, row, _, path in self._placed(label_file, name, {}, known):
                images.add(path, row, where=where, on_problem=self.on_problem)
        return self._finish_split(name, files, images, layout)

    def _placed(
        self, label_file: LabelFile, split: SplitName | None, names: Mapping[SplitName, str], known: KnownPaths
    ) -> Iterator[tuple[str, Annotation, SplitName | None, str]]:
        """Yields place, annotation, split and path of each valid row, see `RowPlacer`, and notes respelled paths."""
        placer = RowPlacer(self.root, label_file.path, split, names, known)
        for where, row in read_rows(label_file, self.on_problem):
            try:
                placed = placer.place(row, where=where)
            except UserError as problem:
                self.on_problem(problem)
            else:
                yield where, row, *placed
        if placer.backslashes:
            self.notes.append(f"{label_file.path}: \\ is read as / ({plural(placer.backslashes, 'path')})")

    def _finish_split(
        self, name: SplitName | None, files: SplitFiles, images: LabeledImages, layout: Format | None
    ) -> Split:
        labeled = images.labeled()
        used = {path for path, _ in labeled}
        left = [path for path in files.listing.images if path not in used]
        self.unused += (Unused(path, Reason.NO_ROW) for path in left if layout != "folders")
        if all(label == ILLEGIBLE for _, label in labeled):
            source = "the label files" if images.files else "class folders"
            where = files.folder or self.root
            reasons = Counter(
                each.reason for each in [*files.listing.unused, *(Unused(path, Reason.NO_ROW) for path in left)]
            )
            found = "; ".join(f"{count:,} files: {reason}" for reason, count in reasons.most_common(MAX_SHOWN))
            advice = "add some, or remove the folder, as test is optional" if name == "test" else "add some"
            what = f"{f'the {name} split' if name else self.root} is empty: no labeled image in {source} below {where}"
            self.on_problem(UserError(f"{what}{f' ({found})' if found else ''}; {advice}"))
        self.used |= used
        self.label_files |= images.files
        self.respelled.update(images.respelled)
        if layout is not None:
            self.formats.setdefault(DESCRIPTIONS[layout], []).append(name or UNSPLIT)
        rows = sorted(labeled, key=lambda row: (row[1] == ILLEGIBLE, row[1], posixpath.basename(row[0]), row[0]))
        tracklets = tuple(images.tracklet_of.get(path, "") for path, _ in rows)
        return Split(
            name or UNSPLIT, Paths(tuple(path for path, _ in rows)), tuple(label for _, label in rows), tracklets
        )

    def _add_files_beside(self, unused: Iterable[Unused], images: Iterable[str]) -> None:
        self.unused += unused
        start = len(f"{self.root}/")
        reason_of: dict[str, Reason] = {}
        for path in images:
            top = path[start:].partition("/")[0]
            if top not in reason_of:
                reason_of[top] = Reason.OTHER_SET if has_splits(self.root / top) else Reason.NO_SPLIT
            self.unused.append(Unused(path, Reason.NO_ROW if self.label_files else reason_of[top]))

    def _add_notes(self, names: Mapping[SplitName, str]) -> None:
        if self.data_format is not None and DESCRIPTIONS[self.data_format] not in self.formats:
            found = ", ".join(self.formats) or "neither folders nor rows"
            what = f"format={self.data_format}, but no split in {self.root} has {DESCRIPTIONS[self.data_format]}"
            self.on_problem(UserError(f"{what} (it has {found}); leave the format out"))
        layouts = "; ".join(f"{', '.join(splits)}: {layout}" for layout, splits in self.formats.items())
        renamed = "".join(f"; {name} is {split}" for split, name in names.items() if name != split)
        if layouts:
            self.notes.append(f"layout: {layouts}{renamed}")
        respelled, suspicious = respelled_labels(self.respelled)
        self.notes += respelled
        self.warnings += suspicious
