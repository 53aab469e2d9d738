"""Decides which files of a folder are read and which names are valid, alike for training, audit and predictor.

An image is what Pillow can open. Its name decides for the usual suffixes, and its first bytes for all others, so that
most files need not be opened. Every file that is not read has a reason, see `jersey.data.unused`.
"""

import errno
import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from jersey.core.errors import UserError, shorten
from jersey.core.labels import MAX_LABEL
from jersey.data.unused import Reason, Unused

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".mpo", ".png", ".apng", ".bmp", ".dib", ".webp", ".tif"}
    | {".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"}
)
# Formats of images that are not read; a file with such a name is missing from the data set, unlike a text.
OTHER_IMAGE_SUFFIXES = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".svg", ".psd", ".tga", ".ico", ".eps", ".pdf", ".dng", ".raw", ".cr2", ".nef"}
)
LABEL_FILE_SUFFIXES = frozenset({".jsonl", ".csv", ".json"})
# What macOS, Windows and network drives leave in folders, besides files whose name starts with a dot.
LEFTOVERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found"}
    | {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
)
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftypavi[fs]|\0\0\0\x0cjP  |"
    rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|P[1-6]\s+[#0-9]",
    re.DOTALL,
)
_HEIF_MAGIC = re.compile(rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL)

OnProblem = Callable[[UserError], None]
"""A function that is called with each problem of a data set; it may raise it, or return to continue."""


@dataclass
class Listing:
    """The files in and below a folder, in no order.

    Attributes:
        images: paths of the images.
        others: paths of all other files that are not hidden.
        unused: files that are hidden, leftovers, links that are not followed, and images in other formats.
    """

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)


def nfc(path: str) -> str:
    """Returns a path in the Unicode normal form of most programs."""
    return unicodedata.normalize("NFC", path)


class KnownPaths:
    """Paths of existing files, which are found by their name in any Unicode normal form.

    macOS writes "é" as two characters (NFD) in names of files, and most other programs as one (NFC).

    Args:
        paths: the paths.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.exact = frozenset(paths)

    def find(self, path: str) -> str | None:
        """Returns the path as it is on the disk, or None if there is no such file."""
        if path in self.exact:
            return path
        return None if path.isascii() else self._by_nfc.get(nfc(path))

    @cached_property
    def _by_nfc(self) -> dict[str, str]:
        return {nfc(path): path for path in sorted(self.exact) if not path.isascii()}


def expand_home(path: str | Path) -> str:
    """Returns a path with `~` at its start replaced by the home folder; `~name` without such a user stays."""
    return os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises for a file that is called ~name


def suffix_of(name: str) -> str:
    """Returns the suffix of a file name in lower case, with its dot."""
    return posixpath.splitext(name)[1].lower()


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is ignored."""
    return name.startswith(".") or name.lower() in LEFTOVERS


def is_folder(path: Path) -> bool:
    """Returns whether the path is a folder; False also for a name that is too long or in a folder without access."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir would raise


def is_heif(content: bytes) -> bool:
    """Returns whether the first 32 bytes of a file are those of a HEIC or HEIF image."""
    return _HEIF_MAGIC.match(content) is not None


def is_image(path: str) -> bool:
    """Returns whether a file is an image that can be opened, by its suffix or its first bytes."""
    return _reason_against(path, suffix_of(path)) is None


def list_files(folder: str | Path, on_problem: OnProblem, *, beside: Collection[str] | None = None) -> Listing:
    """Lists all files in and below a folder.

    Links to folders are followed, unless they lead into the folder itself or to one above it, where they would loop or
    list a file twice. Below a link, each folder is listed once.

    Args:
        folder: existing folder.
        on_problem: function that is called with the error of each folder that cannot be listed.
        beside: names of folders directly in `folder` to leave out; those whose name starts with a dot are left out too
            then, as they belong to tools (`.git`, `.decoded`) and not to the data set. None lists all.
    """
    listing, top = Listing(), str(folder)
    real_top = os.path.realpath(top)
    # Folders to list, with the reason for which their files are unused, and below a link the real paths listed so far.
    waiting: list[tuple[str, Reason | None, set[str] | None]] = [(top, None, None)]
    while waiting:
        parent, reason, linked = waiting.pop()
        try:
            with os.scandir(parent) as found:
                children = list(found)
        except OSError as error:
            if reason is None:
                on_problem(_unlistable(error))
            continue
        for child in children:
            name, path = child.name, f"{parent}/{child.name}"
            why = reason or (_leftover(name) if is_hidden(name) else None)
            is_directory = _is_directory(child, follow=why is None)
            if beside is not None and parent == top and is_directory and (why is Reason.HIDDEN or name in beside):
                continue
            if not is_directory:
                _add_file(listing, path, name, why)
            elif why is None and (child.is_symlink() or linked is not None):
                real = os.path.realpath(path)
                seen = set() if linked is None else linked
                if f"{real}/".startswith(f"{real_top}/") or f"{real_top}/".startswith(f"{real}/") or real in seen:
                    listing.unused.append(Unused(path, Reason.LINK))
                else:
                    seen.add(real)
                    waiting.append((path, None, seen))
            else:
                waiting.append((path, why, linked))
    return listing


def listed_images(folder: str | Path) -> tuple[list[Path], list[Unused]]:
    """Lists the images in and below a folder, sorted by path, and the files there that are none.

    Raises:
        UserError: a folder cannot be listed.
    """
    listing = list_files(folder, _stop)
    others = [Unused(path, Reason.NOT_IMAGE) for path in listing.others]
    return sorted(map(Path, listing.images)), [*listing.unused, *others]


def images_below(folder: Path) -> list[Path]:
    """Lists the image files in and below a folder, sorted by path; raises UserError if a folder cannot be listed."""
    return listed_images(folder)[0]


def linked_outside(root: str | Path, paths: Iterable[str]) -> Iterator[str]:
    """Yields the paths below `root` whose files lie elsewhere, because the file or a folder above it is a link."""
    real_folder = cache(os.path.realpath)
    top = f"{os.path.realpath(root)}/"
    for path in paths:
        folder, _, name = path.rpartition("/")
        real = f"{real_folder(folder)}/{name}"
        if os.path.islink(path):  # noqa: PTH114 - a Path for each of a million files is slow
            folder, _, name = os.path.join(real_folder(folder), os.readlink(path)).rpartition("/")  # noqa: PTH115, PTH118
            real = f"{real_folder(folder)}/{name}"
            if os.path.islink(real):  # noqa: PTH114
                real = os.path.realpath(real)
        if not real.startswith(top):
            yield path


def validate_name(name: str, *, what: str = "label", where: str) -> None:
    """Raises UserError if a label is too long, or a name has invisible characters or surrounding white space.

    Args:
        name: label or other name.
        what: what the name is, for the error.
        where: place of the name, for the error.
    """
    if what == "label" and len(name) > MAX_LABEL:
        raise UserError(f"{where}: the label {shorten(name)!r} has more than {MAX_LABEL} characters; shorten it")
    if name != name.strip():
        raise UserError(f"{where}: the {what} {shorten(name)!r} has white space around it; remove that")
    if not name.isprintable():
        raise UserError(
            f"{where}: the {what} {shorten(name)!r} has characters that cannot be seen or written; rename it"
        )


def subfolders(folder: Path) -> Iterator[str]:
    """Yields the names of the folders in a folder that are not hidden, sorted; none if it cannot be listed."""
    try:
        with os.scandir(folder) as found:
            names = sorted(entry.name for entry in found if not is_hidden(entry.name) and _is_directory(entry))
    except OSError:  # `list_files` reports it
        return
    yield from names


def _leftover(name: str) -> Reason:
    return Reason.HIDDEN if name.startswith(".") else Reason.LEFTOVER


def _is_directory(entry: os.DirEntry[str], *, follow: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # a link to a place without access
        return False


def _add_file(listing: Listing, path: str, name: str, why: Reason | None) -> None:
    if why is not None:
        listing.unused.append(Unused(path, why))
        return
    reason = _reason_against(path, suffix_of(name))
    if reason is None:
        listing.images.append(path)
    elif reason is Reason.NOT_IMAGE:
        listing.others.append(path)
    else:
        listing.unused.append(Unused(path, reason))


def _reason_against(path: str, suffix: str) -> Reason | None:
    """Returns None for an image that can be opened."""
    if suffix in IMAGE_SUFFIXES:  # its content is decoded later, and then refused if it is no image
        return None
    if suffix in LABEL_FILE_SUFFIXES:
        return Reason.NOT_IMAGE
    start = _first_bytes(path)
    if start is None:
        return Reason.NOT_FILE
    if _MAGIC.match(start):
        return None
    if is_heif(start):
        return None if find_spec("pillow_heif") else Reason.HEIC
    return Reason.OTHER_FORMAT if suffix in OTHER_IMAGE_SUFFIXES else Reason.NOT_IMAGE


def _first_bytes(path: str) -> bytes | None:
    """Returns up to 32 bytes of a file; empty without access, None for a broken link, a pipe or a socket."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - opening a pipe would block forever
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - Path.open is slower
            return file.read(32)
    except (OSError, ValueError) as error:
        return None if getattr(error, "errno", None) in (errno.ENOENT, errno.ELOOP) else b""


def _stop(problem: UserError) -> None:
    raise problem


def _unlistable(error: OSError) -> UserError:
    return UserError(f"cannot list the folder {error.filename}: {error.strerror}; choose one that you may read")
