"""Readers of label files in every layout that `prepare` and runs read: CSV, JSON, COCO, YOLO, SoccerNet and others."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from helpers import data_trees, detection_exports
from helpers.prepared import prepare

from jersey.core.errors import UserError, escape_control
from jersey.data.audit import audit_folder
from jersey.data.index import read_index

LAYOUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "csv": (data_trees.csv_in_splits, "train/labels.csv"),
    "csv of all splits": (data_trees.csv_in_root, "labels.csv"),
    "json": (data_trees.json_in_splits, "train/annotations.json"),
    "hugging face": (partial(data_trees.hugging_face, suffix=".jsonl"), "train/metadata.jsonl"),
    "roboflow": (data_trees.roboflow, "train/_classes.csv"),
    "soccernet": (data_trees.soccernet, "train/train_gt.json"),
    "coco": (detection_exports.coco, "train/_annotations.coco.json"),
    "yolo": (detection_exports.yolo, "train/labels/frame0.txt"),
    "yolo names": (detection_exports.yolo, "data.yaml"),
}
"""Function that writes a valid data set, and its label file that is damaged, by layout."""


@cache
def tree(layout: str) -> Path:
    """Returns a valid data set, which no reader may change."""
    root = Path(tempfile.mkdtemp(prefix="jersey-layout-")) / "set"
    LAYOUTS[layout][0](root)
    return root


def good(layout: str) -> bytes:
    """Returns the valid content of the label file."""
    return (tree(layout) / LAYOUTS[layout][1]).read_bytes()


def label_file(example: tuple[str, bytes], folder: Path) -> None:
    """Prepares a data set with a damaged label file; what is written can be read, and a run agrees with the audit."""
    layout, content = example
    root, out = folder / "set", folder / "out"
    shutil.copytree(tree(layout), root)
    (root / LAYOUTS[layout][1]).write_bytes(content)
    audit = audit_folder(root, fast=True)
    assert all(escape_control(line) == line for line in audit.text().split("\n"))
    try:
        read_index(root)
    except UserError:
        assert audit.errors
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        prepare(root, out)
    assert all(escape_control(line) == line for line in printed.getvalue().split("\n"))
    splits = read_index(out).splits
    assert {path for split in splits.values() for path in split.paths} <= set(out.rglob("*"))
