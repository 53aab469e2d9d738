"""Which images a person means: files, folders, patterns, lists of paths, annotation files.

What is typed and cannot be found is a mistake and ends the command; what is wrong in a list is the error of one image.
"""

import glob
import json
import os
import posixpath
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from jersey.core.errors import UserError
from jersey.data.index import is_folder, is_hidden, is_image

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Item:
    """An image to read.

    Args:
        name: what the answer is to name.
        crop: the path of the file, or what is wrong with the line that should name it.
        track: crops of one player have the same; None where it is unknown.
    """

    name: str
    crop: str | UserError
    track: str | None = None


def items_of(arguments: Sequence[str], stdin: TextIO) -> tuple[Iterator[Item], int | None]:
    """The images of the command's arguments, and how many they are; None where standard input will tell.

    Raises:
        UserError: an argument names nothing.
    """
    lists = [_named(argument) for argument in arguments if argument != STDIN]
    items = (item for found in lists for item in found)
    if STDIN not in arguments:
        return items, sum(map(len, lists))
    return (item for part in (items, _rows(stdin, "standard input", folder="")) for item in part), None


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and in those below it, sorted; hidden ones are left out, links to folders too.

    Raises:
        UserError: a folder cannot be listed.
    """
    images: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not is_hidden(name)]
        images += [Path(parent, name) for name in files if is_image(name) and not is_hidden(name)]
    return sorted(images)


def _named(argument: str) -> list[Item]:
    if is_folder(Path(argument)):
        return [_file(str(path)) for path in images_below(Path(argument))]
    if argument.endswith(".jsonl"):
        return _annotated(argument)
    if os.path.lexists(argument):
        return [_file(argument)]
    if not set(argument) & set("*?["):
        raise UserError(f"there is no file or folder {argument}; name images, folders, patterns or {STDIN}")
    images = _matching(argument)
    if not images:
        raise UserError(f"no image matches the pattern {argument}; check it, in quotes")
    return [_file(path) for path in sorted(images)]


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


def _annotated(file: str) -> list[Item]:
    try:
        with Path(file).open(encoding="utf-8-sig", errors="strict") as lines:
            return list(_rows(lines, file, folder=posixpath.dirname(file)))
    except OSError as error:
        raise UserError(f"cannot read {file} ({error.strerror}); mend the path") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text; save it as UTF-8") from None


def _rows(lines: Iterable[str], source: str, *, folder: str) -> Iterator[Item]:
    """A line is a path or an object like {"image": "crop.jpg", "track": "7"}; its paths begin at `folder`."""
    for number, line in enumerate(lines, start=1):
        text = line.strip("\ufeff\r\n")
        where = f"{source}:{number}"
        if text.lstrip().startswith("{"):
            yield _row(text, where, folder)
        elif text.strip() and source.endswith(".jsonl"):
            yield Item(where, UserError(f'{where}: not a row like {{"image": "crop.jpg"}}; mend or remove the line'))
        elif text.strip():
            yield _file(text)


def _row(text: str, where: str, folder: str) -> Item:
    try:
        row = json.loads(text)
        image, track = row["image"], row.get("track")
    except (ValueError, KeyError, RecursionError):
        return Item(where, UserError(f'{where}: not a row like {{"image": "crop.jpg"}}; mend or remove the line'))
    if not isinstance(image, str) or not image or "\0" in image:
        shown = reprlib.repr(image)
        return Item(where, UserError(f"{where}: the image {shown} is not the path of a file; mend or remove the line"))
    path = posixpath.join(folder, image)
    if track is None or track == "":
        return Item(path, path, path)  # alone
    if isinstance(track, bool) or not isinstance(track, str | int):
        return Item(path, UserError(f"{where}: the track {reprlib.repr(track)} is not a text; mend it"))
    return Item(path, path, str(track))


def _refuse(error: OSError) -> None:
    raise UserError(f"cannot list the folder {error.filename} ({error.strerror}); name one that can be read")
