"""Writes a plan as a data set, which appears at once when it is complete."""

import hashlib
import json
import os
import posixpath
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image
from tqdm import tqdm

from jersey.core.atomic import as_write_error, rename, write_text
from jersey.core.errors import UserError, full_disk, shorten
from jersey.core.labels import ILLEGIBLE_NAME, parse_label
from jersey.core.tables import write_csv
from jersey.data.decode import decode
from jersey.data.files import expand_home, is_folder, is_hidden, nfc
from jersey.data.prepare.boxes import BoxReason, Crop, cut
from jersey.data.prepare.plan import Plan

Layout = Literal["jsonl", "csv", "folders"]
LAYOUTS: tuple[Layout, ...] = ("jsonl", "csv", "folders")
MAX_NAME_BYTES = 200  # a file system allows 255, of which a number to tell names apart takes some


def checked_output(out: Path, root: Path) -> Path:
    """Returns the real path of the folder to create.

    Raises:
        UserError: it exists and is not an empty folder, or one of it and the source contains the other.
    """
    real, source = Path(os.path.realpath(expand_home(out))), Path(os.path.realpath(root))
    with _as_user_error(out):
        if is_folder(real) and any(real.iterdir()):
            raise UserError(f"the output {out} is not empty; name a folder that does not exist")
    if os.path.lexists(real) and not is_folder(real):
        raise UserError(f"the output {out} is a file; name a folder that does not exist")
    if real.is_relative_to(source) or source.is_relative_to(real):
        raise UserError(f"the output {out} and the source {root} contain each other; name a folder elsewhere")
    return real


def require_representable(plan: Plan, layout: Layout) -> None:
    """Checks that folders can express the labels of a plan, and adds a warning if a tracklet has two labels.

    Raises:
        UserError: a label cannot be the name of a folder, or two would share one on some file systems.
    """
    if layout != "folders":
        return
    labels_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for split, crops in plan.splits.items():
        for crop in crops:
            labels_of[split, crop.tracklet].add(crop.label)
            if not _is_safe(crop.label or ILLEGIBLE_NAME) or parse_label(crop.label) != crop.label:
                what = f"the label {shorten(crop.label)!r} cannot be the name of a folder"
                raise UserError(f"{what}; use --layout=jsonl, or rename it in the source")
    by_name: dict[str, str] = {}
    for label in sorted({crop.label for crops in plan.splits.values() for crop in crops}):
        if (other := by_name.setdefault(_folded(label), label)) != label:
            what = f"the labels {shorten(other)!r} and {shorten(label)!r} would share a folder on many disks"
            raise UserError(f"{what}, which ignore case and Unicode normal form; use --layout=jsonl")
    divided = sum(len(labels) > 1 for (_, tracklet), labels in labels_of.items() if tracklet)
    if divided:
        what = f"{divided:,} tracklets have crops of several labels, and become one tracklet for each"
        plan.source.warnings.append(f"{what}; --layout=jsonl keeps them")


def write(plan: Plan, out: Path, *, layout: Layout, link: bool, margin: float) -> None:
    """Writes the data set of a plan.

    Args:
        plan: crops of each split.
        out: real path of the folder, which is new or empty. It appears when all is written.
        layout: "jsonl" and "csv" write images and a file of rows to each split, "folders" one folder per number.
        link: whether images are linked instead of copied.
        margin: fraction of a box that is added on each side.

    Raises:
        UserError: a file cannot be read or written.
    """
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.partial")
    files: dict[str, list[tuple[Crop, Path]]] = defaultdict(list)
    with _as_user_error(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir()
            for split, crops in plan.splits.items():
                names = _names(crops, layout)
                for crop, name in zip(crops, names, strict=True):
                    files[crop.path].append((crop, unfinished / split / name))
                for folder in {posixpath.dirname(name) for name in names}:
                    (unfinished / split / folder).mkdir(parents=True, exist_ok=True)
                if layout != "folders":
                    _write_rows(unfinished / split, layout, crops, names)
            count = sum(map(len, files.values()))
            with tqdm(total=count, desc="writing crops", unit="crop", disable=None, delay=2) as bar:
                for path, of_path in files.items():
                    for _ in _write_crops(Path(path), of_path, link=link, margin=margin):
                        bar.update()
            rename(unfinished, out)  # replaces an empty folder
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def write_folds(plans: Sequence[Plan], out: Path, *, layout: Layout, link: bool, margin: float) -> None:
    """Writes the data set of each plan, as `fold_0` and so on; arguments and errors are those of `write`."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        for fold, plan in enumerate(plans):
            write(plan, unfinished / f"fold_{fold}", layout=layout, link=link, margin=margin)
        with _as_user_error(out):
            rename(unfinished, out)  # replaces an empty folder
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_crops(path: Path, crops: Sequence[tuple[Crop, Path]], *, link: bool, margin: float) -> Iterator[None]:
    """Writes all crops of an image, which is decoded once; yields after each."""
    pixels_HW3 = decode(path) if any(crop.box for crop, _ in crops) else None
    for crop, target in crops:
        with as_write_error(target):
            if crop.box is not None and pixels_HW3 is not None:
                found = cut(pixels_HW3, crop.box, margin)
                if isinstance(found, BoxReason):
                    raise UserError(f"{path} has changed while it was read; start again")
                Image.fromarray(found).save(target)
            elif link:
                _link(path, target)
            else:
                shutil.copyfile(path, target)
        yield


def _link(path: Path, target: Path) -> None:
    """Links an image; relative to the data set, so that both can be moved together, unless they share no folder."""
    real = os.path.realpath(path)
    shares_folder = os.path.commonpath([real, target]) != os.sep
    target.symlink_to(os.path.relpath(real, target.parent) if shares_folder else real)


def _write_rows(folder: Path, layout: Layout, crops: Sequence[Crop], names: Sequence[str]) -> None:
    rows = list(zip(names, (crop.label for crop in crops), (crop.tracklet for crop in crops), strict=True))
    if layout == "csv":
        write_csv(folder / "labels.csv", ("image", "label", "tracklet"), rows)
        return
    lines = []
    for name, label, tracklet in rows:
        row = {"image": name, "suffix": label} | ({"tracklet": tracklet} if tracklet else {})
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_text(folder / "annotations.jsonl", "".join(lines))


def _names(crops: Sequence[Crop], layout: Layout) -> list[str]:
    """Returns the path of each crop below its split; a name that is taken gets a number."""
    taken: set[str] = set()
    return [_unique(_in_folders(crop) if layout == "folders" else _in_images(crop), taken) for crop in crops]


def _in_images(crop: Crop) -> str:
    return f"images/{crop.name.removeprefix('images/')}"


def _in_folders(crop: Crop) -> str:
    label, name = crop.label or ILLEGIBLE_NAME, posixpath.basename(crop.name)
    tracklet = crop.tracklet.removeprefix(f"{label}/")
    if tracklet and not all(map(_is_safe, tracklet.split("/"))):
        tracklet = hashlib.sha256(tracklet.encode()).hexdigest()[:16]
    return posixpath.join(label, tracklet, name)


def _unique(name: str, taken: set[str]) -> str:
    """Returns the name, or the first with a number that is not taken on any file system, and adds it."""
    start, suffix = posixpath.splitext(name)
    count = 1
    while _folded(name) in taken:
        count += 1
        name = f"{start}_{count}{suffix}"
    taken.add(_folded(name))
    return name


def _folded(name: str) -> str:
    """Returns the same text for all names that some file systems take for one, by case or Unicode normal form."""
    return nfc(nfc(name).casefold())


def _is_safe(name: str) -> bool:
    """Returns whether a name can be that of a folder, and is read again as it is written."""
    is_plain = name.isprintable() and name == name.strip() and "/" not in name
    return is_plain and name not in ("", ".", "..") and not is_hidden(name) and len(name.encode()) <= MAX_NAME_BYTES


@contextmanager
def _as_user_error(out: Path) -> Iterator[None]:
    """Turns errors of the file system into one sentence; that about a full disk has its own."""
    try:
        yield
    except OSError as error:
        if full_disk(error) is not None:
            raise
        raise UserError(
            f"cannot write {out} ({error.strerror}: {error.filename}); name a folder in one that you may write to"
        ) from None
