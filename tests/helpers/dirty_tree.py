"""A data set on disk with planted faults, in either layout; what was planted is known by its rows."""

import io
import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from jersey.core.labels import SPLITS
from jersey.data.audit import AuditRow
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN

Layout = Literal["folders", "annotations"]
LAYOUTS: tuple[Layout, ...] = ("folders", "annotations")
LABELS = ("0", "00", "01")
CROP_PX = 80


@cache
def crop(number: str, seed: int) -> Image.Image:
    """A drawn crop; another seed is another player."""
    drawn = render_crop(number, rng=np.random.default_rng([seed, 7]), typefaces=TRAIN, size_px=CROP_PX)
    return Image.fromarray(drawn.image_HW3)


def encoded(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


# Ways to make a copy of an image, given as its file's bytes are made at quality 90.
COPIES = {
    "same bytes": lambda image: encoded(image, quality=90),
    "png": lambda image: encoded(image, "PNG"),
    "quality 30": lambda image: encoded(image, quality=30),
    "quality 95": lambda image: encoded(image, quality=95),
    "half": lambda image: encoded(scaled(image, 0.5), quality=85),
    "three quarters": lambda image: encoded(scaled(image, 0.75), quality=85),
    "double": lambda image: encoded(scaled(image, 2), quality=85),
    "double at quality 30": lambda image: encoded(scaled(image, 2), quality=30),
    "mirrored": lambda image: encoded(ImageOps.mirror(image), quality=90),
    "mirrored at quality 30": lambda image: encoded(ImageOps.mirror(image), quality=30),
    "mirrored half": lambda image: encoded(ImageOps.mirror(scaled(image, 0.5)), quality=85),
    "turned by EXIF": lambda image: _turned_by_exif(image),
}


def _turned_by_exif(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    buffer = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_270).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


class Tree:
    """A data set that grows file by file.

    Args:
        root: its folder.
        layout: how labels are written.
    """

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root = root
        self.layout = layout
        self.lines: dict[str, list[str]] = defaultdict(list)
        self.count = 0
        for split in SPLITS:
            (root / split).mkdir(parents=True)

    def add(self, split: str, label: str, content: bytes, name: str | None = None) -> AuditRow:
        """Writes an image file with its label; an empty one is that of an illegible crop."""
        self.count += 1
        name = name or f"{self.count:04d}.jpg"
        folder = (label or "illegible") if self.layout == "folders" else "images"
        row = AuditRow(split, label, f"{split}/{folder}/{name}")
        path = self.root / row.image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if self.layout == "annotations":
            self.annotate(split, {"image": f"images/{name}", "suffix": label})
        return row

    def annotate(self, split: str, row: object) -> None:
        """Adds a row to the split's annotation file, right or wrong."""
        line = row if isinstance(row, str) else json.dumps(row)
        with (self.root / split / "rows.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def fill(self) -> "Tree":
        """Puts an image of every label into every split, all different."""
        for index, split in enumerate(SPLITS):
            for label in LABELS:
                self.add(split, label, encoded(crop(label, 1000 + 10 * index + LABELS.index(label)), quality=90))
        return self
