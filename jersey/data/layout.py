"""Recognizes how a data set is laid out: which folders are its splits, and whether folders or label files label them.

    <root>/<split>/<label>/**/*.jpg     one folder per number
    <root>/<split>/**/*.jsonl           label files in the splits (.jsonl, .csv or .json)
    <root>/*.csv                        label files for all splits, with a column `split` or paths that begin with one
    <root>/<split>/images/<tracklet>/*.jpg, <root>/<split>/*_gt.json      SoccerNet

Nothing is configured. If a split can be understood in two ways, `data.format` chooses.
"""

import os
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jersey.core.errors import UserError, summarize
from jersey.core.labels import ILLEGIBLE, JERSEY_NUMBER, SPLITS, SplitName, parse_label
from jersey.data.files import LABEL_FILE_SUFFIXES, Listing, OnProblem, expand_home, is_folder, subfolders, suffix_of
from jersey.data.label_files import DESCRIPTIONS, Format, LabelFile, recognize
from jersey.data.unused import CONCERNS_IMAGES, Reason, Unused

SPLIT_NAMES: Mapping[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The split that each name of a folder or cell means, in lower case."""


@dataclass
class SplitFiles:
    """The files of a split before their labels are read.

    Attributes:
        folder: path of its folder; None if only label files in the root name its images.
        listing: files in and below the folder.
        label_files: label files there.
    """

    folder: str | None
    listing: Listing = field(default_factory=Listing)
    label_files: list[LabelFile] = field(default_factory=list)

    def class_folders(self) -> set[str]:
        """Returns the names of the folders directly in the split's that have images in or below them."""
        start = len(f"{self.folder}/")
        return {path[start:].partition("/")[0] for path in self.listing.images if "/" in path[start:]}


def require_root(root: str | Path) -> Path:
    """Returns the folder of a data set, with `~` replaced; raises UserError if there is none."""
    folder = Path(expand_home(root))
    if not is_folder(folder):
        state = "is a file" if os.path.isfile(folder) else "does not exist"  # noqa: PTH113 - Path.is_file would raise for long names
        raise UserError(f"the data folder {folder} {state}; set `root` to the folder that holds {', '.join(SPLITS)}")
    return folder


def split_folders(root: Path, on_problem: OnProblem) -> dict[SplitName, str]:
    """Returns the name of each split's folder; a split with two folders is a problem."""
    found: dict[SplitName, str] = {}
    for name in subfolders(root):
        split = SPLIT_NAMES.get(name.lower())
        if split in found:
            both = f"{found[split]} and {name}"
            on_problem(UserError(f"the data folder {root} has two folders for {split}, {both}; move one of them away"))
        elif split is not None:
            found[split] = name
    return found


def has_splits(folder: Path) -> bool:
    """Returns whether a folder is a data set itself, by the names of the folders in it."""
    return any(name.lower() in SPLIT_NAMES for name in subfolders(folder))


def prepare_command(root: Path) -> str:
    """Returns the command that splits a data set."""
    return f"python -m jersey.data.prepare {shlex.quote(str(root))} OUT"


class MissingSplits(UserError):
    """Train or val is absent, though the data set has another split; `jersey.data.prepare` completes it."""


class DetectionExport(UserError):
    """The labels of a split are boxes in larger images; `jersey.data.prepare` cuts them into crops."""


class RowsWithoutSplit(UserError):
    """Rows of a label file in the root are in no split; `jersey.data.prepare` splits them."""


def missing_splits(root: Path, present: Collection[str], *, has_crops: bool) -> UserError | None:
    """Returns the error about train or val if it is absent.

    Args:
        root: folder of the data set.
        present: splits that exist.
        has_crops: whether there are images in `root`, in a split or not.
    """
    absent = [name for name in ("train", "val") if name not in present]
    if not absent:
        return None
    names = list(subfolders(root))
    what = f"the data folder {root} has no folder {' and no folder '.join(absent)}"
    if present:
        rest = f"it has {summarize(names, limit=10)}"
        return MissingSplits(f"{what} ({rest}); `{prepare_command(root)}` splits the crops into train, val and test")
    for name in names:
        inside = [folder for folder in subfolders(root / name) if folder.lower() in SPLIT_NAMES]
        if inside:
            return UserError(f"{what}, but its folder {name} has {', '.join(inside)}; set `root` to {root / name}")
    if has_crops:
        return UserError(f"{what}; `{prepare_command(root)}` splits its crops into train, val and test")
    rest = f"it has {summarize(names, limit=10)}" if names else "it has neither folders nor images"
    return UserError(f"{what} ({rest}); set `root` to the folder that holds train, val and, optionally, test")


def set_subfolders_aside(listing: Listing, root: Path, images: Sequence[str]) -> None:
    """Moves what lies in sub-folders of the root from the `others` of a listing to its unused files.

    Label files are only looked for in the root and in splits, as paths in them are relative to the file. One that lies
    elsewhere has a reason of its own, unless it belongs to another data set inside this one.

    Args:
        listing: files beside the splits, changed in place.
        root: folder of the data set.
        images: paths of the images that a label file may name.
    """
    in_root = []
    for path in listing.others:
        top, slash, _ = path[len(f"{root}/") :].partition("/")
        if not slash:
            in_root.append(path)
            continue
        may_be_labels = suffix_of(path) in LABEL_FILE_SUFFIXES and not has_splits(root / top)
        is_label_file = may_be_labels and _is_label_file(Path(path), images)
        listing.unused.append(Unused(path, Reason.MISPLACED if is_label_file else Reason.NOT_IMAGE))
    listing.others = in_root


def _is_label_file(path: Path, images: Sequence[str]) -> bool:
    try:
        return recognize(path, images) is not None
    except UserError:
        return False


def take_label_files(listing: Listing, images: Sequence[str]) -> tuple[list[LabelFile], list[UserError]]:
    """Moves files of a listing that are no label files to its unused ones.

    Args:
        listing: files, changed in place: `others` is empty afterwards.
        images: paths of the images that a label file may name.

    Returns:
        Label files, sorted by path, and the errors of those that cannot be read.
    """
    found: list[LabelFile] = []
    problems: list[UserError] = []
    for path in sorted(listing.others):
        reason = Reason.NOT_IMAGE
        if suffix_of(path) in LABEL_FILE_SUFFIXES:
            try:
                label_file = recognize(Path(path), images)
            except UserError as problem:
                problems.append(problem)
                reason = Reason.BROKEN
            else:
                if label_file is not None:
                    found.append(label_file)
                    continue
                reason = Reason.NOT_IMAGE if suffix_of(path) == ".json" else Reason.NOT_LABELS
        listing.unused.append(Unused(path, reason))
    listing.others.clear()
    return found, problems


def is_number_folder(name: str) -> bool:
    """Returns whether a folder's name is a number or means illegible, so that it can hardly be anything else."""
    label = parse_label(name)
    return label == ILLEGIBLE or JERSEY_NUMBER.fullmatch(label) is not None


def format_of(
    root: Path, what: str, files: SplitFiles, from_root: Collection[Format], data_format: Format | None
) -> Format | None:
    """Returns how a split is labeled; None if it has neither class folders nor rows.

    Args:
        root: folder of the data set.
        what: the split and its place, for errors.
        files: files of the split.
        from_root: formats of label files in the root that have rows of this split.
        data_format: format to use if there is a choice.

    Raises:
        UserError: there are two formats and no choice, or the labels are boxes in larger images.
    """
    usable = [each for each in files.label_files if not each.is_detection]
    formats: set[Format] = {each.format for each in usable} | set(from_root)
    folders = files.class_folders()
    if any(map(is_number_folder, folders)):
        formats.add("folders")
    if data_format in formats or (data_format == "folders" and folders):
        return data_format
    if len(formats) > 1:
        ways = " and ".join(DESCRIPTIONS[each] for each in DESCRIPTIONS if each in formats)
        choices = " or ".join(each for each in DESCRIPTIONS if each in formats)
        raise UserError(f"{what} has both {ways}; set data.format to {choices} (--format of audit and prepare)")
    if formats:
        return formats.pop()
    if detection := _detection_export(files, folders):
        raise DetectionExport(
            f"{what} is a {detection} export with boxes in larger images; "
            f"`{prepare_command(root)}` cuts the boxes into crops"
        )
    bad = [each for each in files.listing.unused if each.reason in (Reason.NOT_LABELS, Reason.BROKEN)]
    if len(folders) <= 1 and bad:
        found = f"has one folder of images, and {bad[0].path} has {bad[0].reason}"
        raise UserError(f"{what} {found}; name its columns image and label, or make one folder per number")
    return "folders" if files.listing.images else None


def vanished_classes(files: SplitFiles, with_images: Collection[str]) -> tuple[list[UserError], list[str]]:
    """Returns the errors of folders that may be classes but have no usable image, and the warnings of empty ones.

    Args:
        files: files of a split.
        with_images: names of the folders that have usable images.
    """
    problems, warnings = [], []
    for name in sorted(set(subfolders(Path(files.folder or ""))) - set(with_images)):
        start = f"{files.folder}/{name}"
        found = [each for each in files.listing.unused if each.path == start or each.path.startswith(f"{start}/")]
        reasons = Counter(each.reason for each in found)
        if found and (JERSEY_NUMBER.fullmatch(parse_label(name)) or reasons.keys() & CONCERNS_IMAGES):
            reason, count = reasons.most_common(1)[0]
            what = f"{start} has no image that can be used ({count:,} of its {len(found):,} files: {reason})"
            problems.append(UserError(f"{what}; make some of them usable, or remove the folder"))
        elif not found:
            warnings.append(f"{start} is empty, so {name} may be missing from the labels")
    return problems, warnings


def _detection_export(files: SplitFiles, folders: set[str]) -> str | None:
    """Returns the name of the format of an object detector if the split has it."""
    if any(each.is_detection for each in files.label_files):
        return "COCO"
    start = f"{files.folder}/labels/"
    has_boxes = any(each.path.startswith(start) and each.path.endswith(".txt") for each in files.listing.unused)
    return "YOLO" if has_boxes and folders == {"images"} else None
