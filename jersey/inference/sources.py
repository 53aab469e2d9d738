"""Which images a person means: files, folders, patterns, lists of paths, annotation files.

What is typed and cannot be found is a mistake and ends the command; what is wrong in a list is the error of one image.
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

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Item:
    """An image to read: its name in answers, the path of the file or what is wrong with its line, and the tracklet."""

    name: str
    crop: str | UserError
    tracklet: str | None = None


def items_of(arguments: Sequence[str], stdin: TextIO) -> tuple[Iterator[Item], int | None]:
    """The images of the command's arguments, and how many they are; None where standard input will tell."""
    lists = [_named(argument) for argument in arguments if argument != STDIN]
    items = (item for found in lists for item in found)
    if STDIN not in arguments:
        return items, sum(map(len, lists))
    return (item for part in (items, _typed(stdin)) for item in part), None


def _named(argument: str) -> list[Item]:
    if is_folder(Path(argument)):
        return [_file(str(path)) for path in images_below(Path(argument))]
    if argument.endswith(".jsonl"):
        return [_row(line, where, posixpath.dirname(argument)) for where, line in numbered_lines(Path(argument))]
    if os.path.lexists(argument):
        return [_file(argument)]
    if not set(argument) & set("*?["):
        raise UserError(f"there is no file or folder {argument}; name images, folders, patterns or {STDIN}")
    if images := _matching(argument):
        return [_file(path) for path in sorted(images)]
    raise UserError(f"no image matches the pattern {argument}; check it, in quotes")


def _matching(pattern: str) -> set[str]:
    """Images, and those in folders, that match; hidden ones only if the pattern names what hides them."""
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
    return Item(path, path, posixpath.dirname(path) or ".")


def _typed(lines: Iterable[str]) -> Iterator[Item]:
    """A line is a path or a row."""
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
    path = posixpath.join(folder, row.image)
    return Item(path, path, row.tracklet or path)  # without a tracklet it is alone
