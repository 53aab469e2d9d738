"""Reads the crops of a source: a folder in any layout, with or without splits, a label file, or boxes in images."""

import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jersey.core.errors import UserError, summarize
from jersey.core.labels import JERSEY_NUMBER, SPLITS
from jersey.data.files import (
    LABEL_FILE_SUFFIXES,
    KnownPaths,
    Listing,
    expand_home,
    is_folder,
    list_files,
    subfolders,
    suffix_of,
)
from jersey.data.index import Index, read_index, read_unsplit
from jersey.data.label_files import DESCRIPTIONS, Format, LabelFile, recognize
from jersey.data.layout import (
    SPLIT_NAMES,
    DetectionExport,
    MissingSplits,
    RowsWithoutSplit,
    has_splits,
    is_number_folder,
    split_folders,
)
from jersey.data.prepare.boxes import Crop, Source, order_of
from jersey.data.prepare.coco import ImageFinder, read_coco
from jersey.data.prepare.yolo import label_path, read_yolo
from jersey.data.unused import Reason, Unused

MAX_SHOWN = 3  # problems in one sentence


def read_source(place: Path, *, data_format: Format | None) -> Source:
    """Reads a source.

    Args:
        place: folder, or a label file, whose folder then is the source and whose other label files are not used.
        data_format: how the crops are labeled, where their files can be understood in two ways.

    Raises:
        UserError: there is no such source, or it has no crops, or a run would refuse its files.
    """
    root, only = _root_of(place)
    if only is not None:
        listing = list_files(root, _stop, beside=())
        recognized = _recognized(only, listing)
        if recognized.is_detection:
            return _read_boxes(root, listing, [only], [])
        if data_format not in (None, recognized.format):
            raise UserError(f"{only} has {DESCRIPTIONS[recognized.format]}; leave --format={data_format} out")
        data_format = recognized.format
    problems: list[UserError] = []
    index = read_index(root, problems.append, data_format=data_format, only=only)
    note = ""
    if not index.splits or any(isinstance(problem, RowsWithoutSplit) for problem in problems):
        note = f"split anew: only some rows have a split, {' or '.join(index.splits)}" if index.splits else ""
        problems.clear()
        index = read_unsplit(root, problems.append, data_format=data_format, only=only)
    problems = [problem for problem in problems if not isinstance(problem, MissingSplits)]
    if only is None and (boxes := _boxes_instead(index, problems)):
        return boxes
    if problems:
        shown = "; ".join(map(str, problems[:MAX_SHOWN]))
        rest = f" (and {len(problems) - MAX_SHOWN:,} more problems)" if len(problems) > MAX_SHOWN else ""
        raise UserError(f"{shown}{rest}")
    _require_numbers(index)
    source = _source_of(index)
    source.notes += filter(None, [note])
    return source


def _boxes_instead(index: Index, problems: Sequence[UserError]) -> Source | None:
    """Returns the boxes of a source that has problems and no labeled crops; None if it has no boxes."""
    crops = [path for split in index.splits.values() for path in split.paths.texts[:1]]
    if not problems or (crops and not any(isinstance(problem, DetectionExport) for problem in problems)):
        return None
    listing = list_files(index.root, _stop, beside=())
    coco, yolo = [Path(path) for path in sorted(listing.others) if _is_coco(path)], _yolo_files(listing)
    if not coco and not yolo:
        return None
    if crops:
        both = f"both boxes in larger images and labeled crops ({crops[0]})"
        raise UserError(f"{index.root} has {both}; move one of them to another folder, and prepare each")
    return _read_boxes(index.root, listing, coco, yolo)


def _root_of(place: Path) -> tuple[Path, Path | None]:
    """Returns the folder of a source, and its label file if it is one."""
    place = Path(expand_home(place)).absolute()
    if is_folder(place):
        return place, None
    if not os.path.isfile(place):  # noqa: PTH113 - Path.is_file would raise for long names
        raise UserError(f"there is no folder or file {place}; name the folder of the crops, or their label file")
    if suffix_of(place.name) not in LABEL_FILE_SUFFIXES:
        raise UserError(f"{place} is not a label file (.csv, .json or .jsonl); name one, or the folder of the crops")
    return place.parent, place


def _recognized(file: Path, listing: Listing) -> LabelFile:
    recognized = recognize(file, listing.images)
    if recognized is None:
        raise UserError(f"{file} has no rows with an image and a label; name its columns image and label")
    return recognized


def _require_numbers(index: Index) -> None:
    """Raises UserError if the folders are no numbers, but contain data sets or numbers, as in an unpacked archive."""
    labels = {label for split in index.splits.values() for label in split.counts()}
    if index.label_files or split_folders(index.root, _stop) or any(map(JERSEY_NUMBER.fullmatch, labels)):
        return
    inner = [
        name
        for name in subfolders(index.root)
        if has_splits(index.root / name) or any(map(is_number_folder, subfolders(index.root / name)))
    ]
    if len(inner) == 1:
        raise UserError(f"the crops of {index.root} are in its folder {inner[0]}; name {index.root / inner[0]} instead")
    if inner:
        raise UserError(
            f"{index.root} has folders that are no numbers ({summarize(inner, limit=4)}) with numbers in them; make "
            f"one folder per number, with folders such as 23/{inner[0]} in it"
        )


def _source_of(index: Index) -> Source:
    root = str(index.root)
    folder_of = split_folders(index.root, _stop)
    source = Source(index.root, unused=list(index.unused))
    source.notes += (note for note in index.notes if not note.startswith("no test split"))
    source.warnings += index.warnings
    for split in index.splits.values():
        name = next((each for each in SPLITS if each == split.name), None)
        start = f"{root}/{folder_of[name]}/" if name in folder_of else f"{root}/"
        crops = [
            Crop(path, label, tracklet, name, path.removeprefix(start).removeprefix(f"{root}/"))
            for path, label, tracklet in zip(split.paths.texts, split.labels, split.tracklets, strict=True)
        ]
        source.crops += crops
    return source


def _read_boxes(root: Path, listing: Listing, coco: Sequence[Path], yolo: Sequence[str]) -> Source:
    """Reads the boxes of COCO files, or of the label files of a YOLO export."""
    source, finder = Source(root), ImageFinder(root, listing.images)
    if coco and yolo:
        raise UserError(f"{root} has both COCO boxes ({coco[0]}) and YOLO boxes ({yolo[0]}); move one of them away")
    used = {str(file) for file in coco}
    for file in coco:
        read_coco(source, file, finder)
    if yolo:
        names_file = _names_file(root, listing, yolo)
        used |= {str(names_file), *read_yolo(source, listing.images, yolo, names_file)}
    if None in (splits := {crop.split for crop in source.crops}) and len(splits) > 1:
        stray = next(crop.path for crop in source.crops if crop.split is None)
        raise UserError(f"{root} has boxes in splits, and others in none, such as those of {stray}; move these away")
    with_boxes = {crop.path for crop in source.crops}
    source.crops = order_of(source.crops)
    source.unused = [
        *listing.unused,
        *(Unused(path, Reason.NO_BOX) for path in listing.images if path not in with_boxes),
        *(Unused(path, Reason.NOT_IMAGE) for path in listing.others if path not in used),
    ]
    counts = Counter(crop.split for crop in source.crops)
    kind = "COCO" if coco else "YOLO"
    source.notes.append(f"layout: {kind} boxes{'' if None in counts else ' in ' + ', '.join(filter(None, counts))}")
    return source


def _names_file(root: Path, listing: Listing, yolo: Sequence[str]) -> Path:
    found = [path for path in listing.others if suffix_of(path) in (".yaml", ".yml") and Path(path).parent == root]
    if len(found) != 1:
        what = f"{len(found)} files .yaml" if found else "no data.yaml"
        raise UserError(
            f"{root} has YOLO boxes ({yolo[0]}) and {what}; keep one, with a line such as names: ['0', '00', '23']"
        )
    return Path(found[0])


def _yolo_files(listing: Listing) -> list[str]:
    """Returns the text files in folders `labels`, if one of them belongs to an image."""
    found = [
        path
        for path in sorted(listing.others)
        if "/labels/" in path and suffix_of(path) == ".txt" and posixpath.basename(path) != "classes.txt"
    ]
    known = KnownPaths(label for path in listing.images if (label := label_path(path)))
    return found if any(map(known.find, found)) else []


def _is_coco(path: str) -> bool:
    try:
        recognized = recognize(Path(path), ()) if suffix_of(path) == ".json" else None
    except UserError:
        return False
    return recognized is not None and recognized.is_detection


def local_to(source: Source, crop: Crop) -> str:
    """Returns the split of the source to which the name of a crop's tracklet is local, or "" if it is not.

    Tools number tracklets anew in each folder of a split, but a name that somebody chose means one tracklet everywhere.
    """
    if not crop.tracklet.isdecimal():
        return ""
    if crop.box is not None:
        return crop.split or ""
    top = crop.path.removeprefix(f"{source.root}/").partition("/")[0]
    return top if top.lower() in SPLIT_NAMES else ""


def _stop(problem: UserError) -> None:
    raise problem
