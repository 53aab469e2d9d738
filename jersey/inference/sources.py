"""Finds the images that a command's arguments name: files, folders, patterns, lists of paths, annotation files.

An argument that names nothing raises an error; a faulty line of a list only is the error of one image.
"""

import glob
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from jersey.core.errors import UserError
from jersey.data.files import images_below, is_folder, is_hidden, is_image
from jersey.data.formats import numbered_lines, parse_row
from jersey.inference.crops import expand_home

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Item:
    """An image to read.

    Attributes:
        name: its name in the rows of the command.
        crop: path of the file, or the error of its line.
        tracklet: name of its tracklet; None if its line is faulty.
        named_tracklet: the same if its line states it, otherwise "".
    """

    name: str
    crop: str | UserError
    tracklet: str | None = None
    named_tracklet: str = ""


def items_of(arguments: Sequence[str], stdin: TextIO) -> tuple[Iterator[Item], int | None]:
    """Returns the images of the command's arguments and their number, which is None with standard input.

    Args:
        arguments: paths, patterns or "-", as the command line has them.
        stdin: standard input, which "-" reads line by line, after all other arguments.

    Raises:
        UserError: an argument names nothing.
    """
    lists = [_items_of_argument(argument) for argument in arguments if argument != STDIN]
    items = (item for found in lists for item in found)
    if STDIN not in arguments:
        return items, sum(map(len, lists))
    return (item for part in (items, _items_of_lines(stdin)) for item in part), None


def _items_of_argument(argument: str) -> list[Item]:
    argument = expand_home(argument)
    if is_folder(Path(argument)):
        return [_file(str(path)) for path in images_below(Path(argument))]
    if argument.endswith(".jsonl"):
        return [_row(line, where, posixpath.dirname(argument)) for where, line in numbered_lines(Path(argument))]
    if os.path.lexists(argument):
        return [_file(argument)]
    if not set(argument) & set("*?["):
        raise UserError(f"there is no file or folder {argument}; pass images, folders, patterns or {STDIN}")
    if images := _matching(argument):
        return [_file(path) for path in sorted(images)]
    raise UserError(f"no image matches the pattern {argument}; correct it, and put it in quotes")


def _matching(pattern: str) -> set[str]:
    """Returns matching images, and those in matching folders; hidden ones only if the pattern names the hidden part."""
    images = set()
    for match in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
        if any(is_hidden(part) and part not in pattern for part in Path(match).parts):
            continue
        if is_folder(Path(match)):
            images |= {str(path) for path in images_below(Path(match))}
        elif is_image(match):
            images.add(match)
    return images


def _file(path: str) -> Item:
    path = expand_home(path)
    return Item(path, path, posixpath.dirname(path) or ".")


def _items_of_lines(lines: Iterable[str]) -> Iterator[Item]:
    for number, line in enumerate(lines, start=1):
        text = line.strip("\ufeff\r\n")
        if text.lstrip().startswith("{"):
            yield _row(text, f"standard input:{number}", "")
        elif text.strip():
            yield _file(text)


def _row(text: str, where: str, folder: str) -> Item:
    try:
        row = parse_row(text, where=where, needs_label=False)
    except UserError as problem:
        return Item(where, problem)
    path = posixpath.join(folder, expand_home(row.image))
    return Item(path, path, row.tracklet or path, row.tracklet)  # without a tracklet the crop is its own
