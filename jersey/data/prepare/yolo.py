"""Reads boxes from a YOLO detection export: https://docs.ultralytics.com/datasets/detect/.

data.yaml                    the names of the categories
train/images/a.jpg           an image; the last folder `images` of its path becomes `labels` for its boxes
train/labels/a.txt           a line for each box: category, center x, center y, width, height, as fractions
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jersey.core.errors import UserError
from jersey.data.files import KnownPaths
from jersey.data.formats import read_text
from jersey.data.prepare.boxes import Box, BoxReason, Crop, Source, number_of, pixel_numbers
from jersey.data.prepare.coco import ImageFinder, box_name, split_in

_SCALAR = re.compile(r"""'((?:[^']|'')*)'|"([^"\\]*)"|([^\s'"\[\]{},#:&*!|>%@`][^'"\[\]{},#:]*)""")
_KEY = re.compile(r"(?:'([0-9]+)'|\"([0-9]+)\"|([0-9]+))\s*:\s*(.*)")


def read_yolo(source: Source, images: Sequence[str], label_files: Sequence[str], names_file: Path) -> set[str]:
    """Adds the boxes of a YOLO export to a source.

    Args:
        source: source to complete.
        images: paths of its images.
        label_files: paths of its text files in folders `labels`.
        names_file: the `data.yaml`.

    Returns:
        The label files that have an image; the boxes of the others are counted.
    """
    number_of_category = {key: number_of(name) for key, name in read_names(names_file).items()}
    finder = ImageFinder(source.root, images)
    path_of = {label: path for path in sorted(images) if (label := label_path(path))}
    known = KnownPaths(path_of)
    used = set()
    for file in sorted(label_files):
        lines = [(number, line.split()) for number, line in enumerate(read_text(Path(file)).split("\n"), start=1)]
        path = path_of.get(known.find(file) or "")
        if path is not None:
            used.add(file)
        for number, cells in lines:
            if not cells:
                continue
            found = _box(cells, number_of_category)
            if path is None or isinstance(found, BoxReason):
                reason = found if isinstance(found, BoxReason) else BoxReason.NO_IMAGE
                source.unused_boxes.append((f"{file}:{number}", reason))
                continue
            inside = finder.inside(path)
            split = split_in(posixpath.dirname(inside))
            source.crops.append(Crop(path, found[0], "", split, box_name(inside, number), found[1]))
    return used


def label_path(image: str) -> str | None:
    """Returns the path of the boxes of an image; None if it is in no folder `images`."""
    before, images, after = image.rpartition("/images/")
    return f"{before}/labels/{posixpath.splitext(after)[0]}.txt" if images else None


def _box(cells: Sequence[str], number_of_category: Mapping[int, str | None]) -> tuple[str, Box] | BoxReason:
    try:
        category, numbers = int(cells[0]), pixel_numbers([float(cell) for cell in cells[1:]], 4)
    except ValueError:
        return BoxReason.NOT_A_BOX
    if numbers is None or category not in number_of_category:
        return BoxReason.NOT_A_BOX
    label = number_of_category[category]
    if label is None:
        return BoxReason.NO_NUMBER
    center_x, center_y, width, height = numbers
    return label, Box(center_x - width / 2, center_y - height / 2, width, height, is_relative=True)


def read_names(file: Path) -> dict[int, str]:
    """Returns the names of the categories in a `data.yaml`, by their index.

    Only the entry `names` is read: a list or a mapping, in one line, over several lines in brackets, or with one line
    for each category. A number without quotes stays the text that it is, so that 00 is not 0.

    Raises:
        UserError: there is no such entry, or it has another form.
    """
    text = read_text(file).replace("\r\n", "\n")
    # The entry ends before the next line that starts with another character, which is that of the next entry.
    found = re.search(r"^names[ \t]*:[ \t]*(.*(?:\n(?:[ \t#\]}-].*)?)*)", text, re.MULTILINE)
    names = None if found is None else _names(found[1])
    if not names:
        raise UserError(f"{file}: the names of the categories cannot be read; write them as names: ['0', '00', '23']")
    return names


def _names(text: str) -> dict[int, str] | None:
    lines = [line for each in text.split("\n") if (line := _without_comment(each))]
    joined = " ".join(lines)
    if joined[:1] in ("[", "{"):
        if joined[-1] != {"[": "]", "{": "}"}[joined[0]]:
            return None
        inner = joined[1:-1].strip().removesuffix(",")
        # A quoted name may contain a comma, so that the text is not simply divided at commas.
        item = r"""(?:'[^']*'|"[^"]*"|[^,'"])+"""
        if not re.fullmatch(f"{item}(?:,{item})*", inner):
            return None
        items = re.findall(item, inner)
        return _numbered(items) if joined[0] == "[" else _keyed(items)
    if lines and all(line.startswith("- ") for line in lines):
        return _numbered([line[2:] for line in lines])
    return _keyed(lines)


def _numbered(items: Sequence[str]) -> dict[int, str] | None:
    names = [_scalar(item) for item in items]
    return None if None in names else {index: name for index, name in enumerate(names) if name is not None}


def _keyed(items: Sequence[str]) -> dict[int, str] | None:
    names: dict[int, str] = {}
    for item in items:
        entry = _KEY.fullmatch(item.strip())
        name = None if entry is None else _scalar(entry[4])
        if entry is None or name is None or int(entry[1] or entry[2] or entry[3]) in names:
            return None
        names[int(entry[1] or entry[2] or entry[3])] = name
    return names


def _scalar(text: str) -> str | None:
    found = _SCALAR.fullmatch(text.strip())
    if found is None:
        return None
    single, double, plain = found.groups()
    return single.replace("''", "'") if single is not None else double if double is not None else plain.strip()


def _without_comment(line: str) -> str:
    """Returns a line without white space around it, and without a comment, which starts outside of quotes."""
    return re.sub(r"""('[^']*'|"[^"]*")|(?:^|\s)#.*""", lambda found: found[1] or "", line).strip()
