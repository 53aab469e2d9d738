"""Data sets as people have them: the same 40 crops in any layout, with one fault planted in each tree.

`B` has the numbers 0, 00, 7 and 23, with 24 train, 8 val and 8 test crops, all different.
"""

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

NUMBERS = ("0", "00", "7", "23")
EACH = {"train": 6, "val": 2, "test": 2}
SIZE_PX = 16

Rows = list[dict[str, object]]


@cache
def pixels(index: int) -> np.ndarray:
    """Returns the pixels of a crop, uint8 [H,W,3]; each index has others, at any scale."""
    blocks = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((SIZE_PX // 8, SIZE_PX // 8, 1), np.uint8))


def crops() -> Iterable[tuple[str, str, str, int]]:
    """Yields split, number, file name and index of each crop."""
    index = 0
    for split, count in EACH.items():
        for number in NUMBERS:
            for position in range(count):
                yield split, number, f"{number}_{position}.png", index
                index += 1


def save(path: Path, index: int, kind: str = "PNG") -> Path:
    """Writes a crop as an image of Pillow's format `kind`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(index)).save(path, kind)
    return path


def folders(root: Path) -> Path:
    """Writes `B` with one folder per number."""
    for split, number, name, index in crops():
        save(root / split / number / name, index)
    return root


def images(root: Path, *, folder: str = "images") -> dict[str, Rows]:
    """Writes the crops of `B` into one folder per split, and returns their rows by split."""
    rows: dict[str, Rows] = {split: [] for split in EACH}
    for split, number, name, index in crops():
        save(root / split / folder / name, index)
        rows[split].append({"image": f"{folder}/{name}", "label": number})
    return rows


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, rows: object) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_csv(path: Path, rows: Rows, *, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def jsonl(root: Path) -> Path:
    """Writes `B` with JSONL rows."""
    for split, rows in images(root).items():
        renamed: Rows = [{"image": row["image"], "suffix": row["label"]} for row in rows]
        write_jsonl(root / split / "annotations.jsonl", renamed)
    return root


def csv_in_splits(root: Path) -> Path:
    """Writes `B` with a CSV file in each split."""
    for split, rows in images(root).items():
        write_csv(root / split / "labels.csv", rows)
    return root


def csv_in_root(root: Path) -> Path:
    """Writes `B` with one CSV file that has a column `split`."""
    all_rows: Rows = []
    for split, rows in images(root).items():
        all_rows += [{"filename": f"{split}/{row['image']}", "class": row["label"], "split": split} for row in rows]
    write_csv(root / "labels.csv", all_rows)
    return root


def json_in_splits(root: Path) -> Path:
    """Writes `B` with a JSON array in each split."""
    for split, rows in images(root).items():
        write_json(root / split / "annotations.json", [{"path": row["image"], "number": row["label"]} for row in rows])
    return root


def hugging_face(root: Path, suffix: str) -> Path:
    """Writes `B` with a `metadata` file in each split."""
    for split, rows in images(root, folder="data").items():
        renamed: Rows = [{"file_name": row["image"], "label": row["label"]} for row in rows]
        (write_jsonl if suffix == ".jsonl" else write_csv)(root / split / f"metadata{suffix}", renamed)
    return root


def roboflow(root: Path) -> Path:
    """Writes `B` as a multi-class export: `valid`, and a column of 0 and 1 for each number."""
    for split, rows in images(root, folder="").items():
        marks: Rows = [
            {"filename": str(row["image"]).lstrip("/")} | {f" {each}": int(each == row["label"]) for each in NUMBERS}
            for row in rows
        ]
        write_csv(root / split / "_classes.csv", marks)
    (root / "val").rename(root / "valid")
    return root


def soccernet(root: Path) -> Path:
    """Writes the crops of 0, 7 and 23 as tracklets, and those of 00 as illegible, as soccer has no 00."""
    truth: dict[str, dict[str, int]] = {split: {} for split in EACH}
    for split, number, name, index in crops():
        tracklet = str(NUMBERS.index(number))
        save(root / split / "images" / tracklet / name, index)
        truth[split][tracklet] = -1 if number == "00" else int(number)
    for split, content in truth.items():
        write_json(root / split / f"{split}_gt.json", content)
    return root


@dataclass(frozen=True)
class Tree:
    """A data set with one fault or oddity.

    Attributes:
        name: short name.
        make: function that writes it into an empty folder.
        refused: words of the error with which run and audit refuse it; empty if it is accepted.
        said: words that notes, warnings or the table of unused files contain.
        train: number of train rows; None if the tree is refused.
        labels: label map; None if the tree is refused.
        remedy: function that follows the advice of the error; it returns the settings of the datamodule.
    """

    name: str
    make: Callable[[Path], object]
    refused: str = ""
    said: Sequence[str] = ()
    train: int | None = 24
    labels: tuple[str, ...] = ("0", "7", "00", "23")
    remedy: Callable[[Path], dict[str, str] | None] | None = None


def rename_suffixes(root: Path, suffix: str, *, number: str = "23", kind: str = "PNG") -> None:
    """Writes the crops of a number again as `kind`, with another suffix."""
    for split, each, name, index in crops():
        if each == number:
            (root / split / number / name).unlink()
            save(root / split / number / Path(name).with_suffix(suffix).name, index, kind)


def move_number(root: Path, number: str, name: str, *, splits: Iterable[str] = EACH) -> None:
    """Renames the folder of a number."""
    for split in splits:
        (root / split / number).rename(root / split / name)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
