"""A data set on disk with planted faults, in either layout; the planted files are identified by their rows."""

import io
import json
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
    """Renders a synthetic crop; another seed gives another player."""
    rendered = render_crop(number, rng=np.random.default_rng([seed, 7]), typefaces=TRAIN, size_px=CROP_PX)
    return Image.fromarray(rendered.image_HW3)


def encoded(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    """Encodes an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


# Ways to copy an image whose own file has quality 90.
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
    "rotated by EXIF": lambda image: _rotated_by_exif(image),
}


def _rotated_by_exif(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    buffer = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_270).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


class Tree:
    """A data set that grows file by file.

    Args:
        root: folder of the data set.
        layout: "folders" or "annotations".
    """

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root = root
        self.layout = layout
        self.count = 0
        for split in SPLITS:
            (root / split).mkdir(parents=True)

    def add(self, split: str, label: str, content: bytes, name: str | None = None) -> AuditRow:
        """Writes an image file with its label, which is empty for an illegible crop."""
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
        """Adds a row, correct or not, to the split's annotation file."""
        line = row if isinstance(row, str) else json.dumps(row)
        with (self.root / split / "rows.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def fill(self) -> "Tree":
        """Adds an image of every label to every split; all of them are different."""
        for index, split in enumerate(SPLITS):
            for label in LABELS:
                self.add(split, label, encoded(crop(label, 1000 + 10 * index + LABELS.index(label)), quality=90))
        return self
