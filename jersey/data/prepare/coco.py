"""Reads boxes from COCO files: https://cocodataset.org/#format-data.

The label of a box is its attribute `number` (or another name of a label column), or else the name of its category. The
attribute `track_id` is its tracklet. The split is in the path of the file, as in `annotations/instances_train.json`.
"""

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jersey.core.errors import UserError
from jersey.core.labels import SplitName
from jersey.data.files import KnownPaths, nfc, validate_name
from jersey.data.formats import find_columns, read_text
from jersey.data.layout import SPLIT_NAMES
from jersey.data.prepare.boxes import Box, BoxReason, Crop, Source, number_of, pixel_numbers


def split_in(relative: str) -> SplitName | None:
    """Returns the split that a relative path names, as in `valid/a.json` or `instances_train2017.json`, or None."""
    words = re.split("[^a-z]+", relative.lower())
    return next((SPLIT_NAMES[word] for word in reversed(words) if word in SPLIT_NAMES), None)


def read_coco(source: Source, file: Path, images: "ImageFinder") -> None:
    """Adds the boxes of a COCO file to a source."""
    content = json.loads(read_text(file))
    split = split_in(file.relative_to(source.root).as_posix())
    entries = {_key(each.get("id")): each for each in _objects(content["images"])}
    categories = {_key(each.get("id")): each.get("name") for each in _objects(content.get("categories", []))}
    for index, annotation in enumerate(content["annotations"]):
        found = _box(annotation, entries, categories)
        if not isinstance(found, BoxReason):
            written, box, label, tracklet = found
            path = images.find(written, file.parent, split)
            if not isinstance(path, BoxReason):
                source.crops.append(Crop(path, label, tracklet, split, box_name(images.inside(path), index), box))
                continue
            found = path
        source.unused_boxes.append((f"{file}, annotation {index}", found))


def box_name(image: str, index: int) -> str:
    """Returns the name of the crop of a box of an image; cut crops are PNG files, which lose nothing."""
    return f"{posixpath.splitext(image)[0]}_{index:04d}.png"


class ImageFinder:
    """Finds the images that label files of a source name, among those that exist in it.

    Args:
        root: folder of the source.
        images: paths of all images in it.
    """

    def __init__(self, root: Path, images: Iterable[str]) -> None:
        self._root = str(root)
        self._known = KnownPaths(images)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self._known.exact):
            self._by_name[nfc(posixpath.basename(path))].append(path)

    def inside(self, path: str) -> str:
        """Returns the path of an image relative to the source."""
        return path.removeprefix(f"{self._root}/")

    def find(self, written: str, folder: Path, split: SplitName | None) -> str | BoxReason:
        """Returns the path of an image: relative to the file, or else the only one of that name in the split."""
        name = posixpath.normpath(written.replace("\\", "/").removeprefix(f"{self._root}/"))
        if name.startswith(("../", "/")) or re.match("[A-Za-z]:", name):
            return BoxReason.OUTSIDE_SOURCE
        for exact in (f"{folder}/{name}", f"{folder}/images/{name}"):
            if found := self._known.find(exact):
                return found
        ending = nfc(f"/{name}")
        alike = [path for path in self._by_name[posixpath.basename(ending)] if nfc(path).endswith(ending)]
        if len(alike) > 1:
            alike = [path for path in alike if split_in(posixpath.dirname(self.inside(path))) == split]
        return alike[0] if len(alike) == 1 else BoxReason.NO_IMAGE


def _box(
    annotation: object, entries: Mapping[str, Mapping[str, Any]], categories: Mapping[str, object]
) -> tuple[str, Box, str, str] | BoxReason:
    """Returns the written path of the image, the box, the label and the tracklet of an annotation."""
    if not isinstance(annotation, dict):
        return BoxReason.NOT_A_BOX
    edges = pixel_numbers(annotation.get("bbox"), 4)
    if edges is None:
        return BoxReason.NOT_A_BOX
    entry = entries.get(_key(annotation.get("image_id")))
    if entry is None or not isinstance(entry.get("file_name"), str) or not entry["file_name"]:
        return BoxReason.NO_IMAGE
    attributes = annotation["attributes"] if isinstance(annotation.get("attributes"), dict) else {}
    try:
        columns = find_columns(attributes)
    except UserError:
        return BoxReason.NO_NUMBER
    category = categories.get(_key(annotation.get("category_id")))
    number = number_of(attributes[columns.label] if columns.label else category)
    if number is None:
        return BoxReason.NO_NUMBER
    tracklet = attributes[columns.tracklet] if columns.tracklet else ""
    if isinstance(tracklet, bool) or not isinstance(tracklet, str | int):
        return BoxReason.BAD_TRACKLET
    try:
        validate_name(str(tracklet), what="tracklet", where="")
    except UserError:
        return BoxReason.BAD_TRACKLET
    size = pixel_numbers([entry.get("width"), entry.get("height")], 2)
    left, top, width, height = edges
    box = Box(left, top, width, height, image_size_px=(int(size[0]), int(size[1])) if size else None)
    return entry["file_name"], box, number, str(tracklet)


def _key(identifier: object) -> str:
    """Returns an identifier as text: some tools write numbers as text in one place only."""
    return str(identifier)


def _objects(values: object) -> Sequence[dict[str, Any]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
