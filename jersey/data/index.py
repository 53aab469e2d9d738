"""Reads the index of a data set: which image files belong to which split, and the label of each.

Two layouts are detected automatically, separately for each split:

    <root>/<split>/<label>/**/*.jpg    folder per class
    <root>/<split>/**/*.jsonl          annotation files, rows {"image": "relative/to/this/file.jpg", "suffix": "23"}

If a split has annotation files, all of them are merged, and the names of folders are ignored, as hidden files and
folders always are. Rows are sorted by label, file name and path, so that the same images train to the same weights in
either layout. Illegible crops, in a folder `illegible` (or `unreadable`) or with an empty "suffix", come last. The
crops of a tracklet lie in one folder below the label's, or have the same "tracklet" in their rows. No image is opened.
"""

import os
import posixpath
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jersey.core.errors import UserError, summarize
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_FOLDERS, SPLITS
from jersey.data.files import OnProblem, entries, is_folder, is_image, suffix_of, validate_name, walk
from jersey.data.formats import read_annotations
from jersey.data.problems import combined
from jersey.data.split import Paths, Split


def read_splits(root: Path, on_problem: OnProblem | None = None) -> dict[str, Split]:
    """Reads the index of every split in SPLITS.

    Args:
        root: folder that holds the splits.
        on_problem: function that is called with each problem. Reading then continues without the faulty rows and files,
            and an image with two labels has a row for each. If it is None, all problems are raised as one error.

    Returns:
        Splits by name, in the order of SPLITS.

    Raises:
        UserError: there is no split at all or, without `on_problem`, there is any problem.
    """
    if on_problem is None:
        problems: list[UserError] = []
        splits = read_splits(root, problems.append)
        if problems:
            raise combined(problems, root)
        return splits
    if not is_folder(root):
        state = "is a file" if os.path.isfile(root) else "does not exist"  # noqa: PTH113 - Path.is_file would raise for long names
        raise UserError(f"the data folder {root} {state}; set `root` to the folder that holds {', '.join(SPLITS)}")
    absent = [name for name in SPLITS if not is_folder(root / name)]
    if absent:
        present = sorted(entry.name for entry in entries(root, on_problem) if is_folder(entry))
        instead = f"it has {summarize(present, limit=10) or 'none at all'}"
        what = f"the data folder {root} has no folder {', '.join(absent)} ({instead})"
        problem = UserError(f"{what}; a data set needs {', '.join(SPLITS)}")
        if len(absent) == len(SPLITS):
            raise problem
        on_problem(problem)
    return {
        name: Split(name, Paths(()), (), ()) if name in absent else _read_split(root, name, on_problem)
        for name in SPLITS
    }


def _read_split(root: Path, name: str, on_problem: OnProblem) -> Split:
    folder = root / name
    files = list(_files_below(folder, on_problem))
    annotations = sorted(Path(file) for file in files if suffix_of(file) == ".jsonl")
    if annotations:
        labeled, tracklet_of = read_annotations(root, annotations, on_problem)
    else:
        labeled, tracklet_of = _read_class_folders(folder, files, on_problem)
    if all(label == ILLEGIBLE for _, label in labeled):
        source = "the annotation files" if annotations else "class folders"
        on_problem(UserError(f"the {name} split is empty: no labeled image in {source} below {folder}; add some"))
    rows = sorted(labeled, key=lambda row: (row[1] == ILLEGIBLE, row[1], posixpath.basename(row[0]), row[0]))
    tracklets = tuple(tracklet_of.get(path, "") for path, _ in rows)
    return Split(name, Paths(tuple(path for path, _ in rows)), tuple(label for _, label in rows), tracklets)


def _files_below(folder: Path, on_problem: OnProblem) -> Iterator[str]:
    """Yields all files that are not hidden. Links to folders are followed here, but not deeper, where they may loop."""
    for entry in entries(folder, on_problem):
        yield from walk(entry, on_problem) if is_folder(entry) else (str(entry),)


def _read_class_folders(
    split_folder: Path, files: Iterable[str], on_problem: OnProblem
) -> tuple[set[tuple[str, str]], dict[str, str]]:
    """Returns what `read_annotations` does, from the names of the folders of the files."""
    labeled, tracklet_of = set(), {}
    start = len(f"{split_folder}/")
    for path in files:
        if not is_image(path):
            continue
        label, slash, rest = path[start:].partition("/")
        if slash:
            labeled.add((path, sys.intern(ILLEGIBLE if label in ILLEGIBLE_FOLDERS else label)))
            if "/" in rest:
                tracklet_of[path] = sys.intern(posixpath.dirname(path[start:]))
        else:
            on_problem(UserError(f"the image {path} is not in a class folder; move it into one or remove it"))
    for label in sorted({label for _, label in labeled}):
        try:
            validate_name(label, where=str(split_folder / label))
        except UserError as problem:
            on_problem(problem)
    return labeled, tracklet_of
