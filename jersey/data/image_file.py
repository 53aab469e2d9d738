"""An image file: its bytes, and what can be known of them without a look at the pixels."""

import hashlib
import io
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jersey.core.errors import UserError, escape_control

# Others are left out on purpose: opening an EPS file, for one, starts Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

MAX_BYTES = 200_000_000  # more than the most pixels of `jersey.data.decode` take without compression

PICTURE = np.dtype([("digest", np.uint8, 32), ("width_px", np.int32), ("height_px", np.int32), ("kind", "S16")])
"""A `Picture` in an array, where a million of them take 56 MB."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of an image file without its pixels.

    Args:
        digest: SHA-256 of the file's bytes.
        width_px: as stored, before the EXIF orientation.
        height_px: likewise.
        kind: file format and Pillow's mode, "JPEG RGB".
    """

    digest: bytes
    width_px: int
    height_px: int
    kind: str

    @classmethod
    def of(cls, row: np.void) -> "Picture":
        """Of an array's row."""
        return cls(row["digest"].tobytes(), int(row["width_px"]), int(row["height_px"]), row["kind"].decode())

    @property
    def row(self) -> tuple[np.ndarray, int, int, bytes]:
        """For an array."""
        return np.frombuffer(self.digest, np.uint8), self.width_px, self.height_px, self.kind.encode()


class BadImage(UserError):
    """An image file that cannot be used, and why.

    Args:
        path: the file.
        reason: the predicate of a sentence about the file ("is empty").
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{escape_control(str(path))} {escape_control(reason)}; mend or remove it")
        self.path = path
        self.reason = reason


class UnreadImage(BadImage):
    """A file whose bytes could not be had now; another user, or another day, may get them."""


def unknown_kind(path: Path) -> BadImage:
    """Of a file that is no image."""
    return BadImage(path, f"is not an image of a known kind ({', '.join(FORMATS)})")


def read_content(path: Path) -> bytes:
    """The bytes of a file that has some; else BadImage."""
    try:
        if escape_control(str(path)) != str(path):  # tables, reports and terminals show names
            raise BadImage(path, "has a name that cannot be shown, with control characters or not in UTF-8")
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            raise UnreadImage(path, "is not a file")
        if found.st_size > MAX_BYTES:
            raise BadImage(path, f"has {found.st_size} bytes, more than {MAX_BYTES}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise UnreadImage(path, "does not exist") from None
    except UnicodeEncodeError:  # a locale of ASCII only
        raise UnreadImage(path, "has a name that this system's locale cannot write") from None
    except OSError as error:
        raise UnreadImage(path, f"cannot be read ({error.strerror})") from None
    if not content:
        raise BadImage(path, "is empty")
    return content


def picture_of(content: bytes, path: Path) -> Picture:
    """By the header of a file that has been read; else BadImage. Pixels may still turn out to be damaged."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return Picture(hashlib.sha256(content).digest(), image.width, image.height, f"{image.format} {image.mode}")
    except Exception:  # damaged files make Pillow raise SyntaxError, struct.error and more
        raise unknown_kind(path) from None
