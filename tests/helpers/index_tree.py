"""Small data sets whose files are not images, for tests of the index, which opens none."""

import json
from pathlib import Path

import pytest

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.data.index import read_splits
from jersey.data.split import Split


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"any content: the index opens no image")
    return path


def annotate(file: Path, *rows: tuple[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"image": image, "prefix": "Read the number.", "suffix": label}) for image, label in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def annotated_tree(root: Path) -> Path:
    """Writes a small correct data set with annotation files."""
    for split in SPLITS:
        touch(root / split / "images" / "a.jpg")
        touch(root / split / "images" / "b.jpg")
        annotate(root / split / "rows.jsonl", ("images/a.jpg", "0"), ("images/b.jpg", "00"))
    return root


def rows(split: Split) -> list[tuple[str, str]]:
    return [(label, path.name) for label, path in zip(split.labels, split.paths, strict=True)]


def read_error(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_splits(root)
    message = str(caught.value)
    assert "\n" not in message
    return message
