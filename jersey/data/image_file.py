"""An image file: its bytes, and what can be known of them without a look at the pixels."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jersey.errors import UserError

# Others are left out on purpose: opening an EPS file, for one, starts Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

MAX_BYTES = 2**29  # what the most pixels that are taken could need without compression; a link may lead to any file

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
        super().__init__(f"{path} {reason}; mend or remove it")
        self.path = path
        self.reason = reason


def unknown_kind(path: Path) -> BadImage:
    """Of a file that is no image."""
    return BadImage(path, f"is not an image of a known kind ({', '.join(FORMATS)})")


def read_content(path: Path) -> bytes:
    """The bytes of a file that has some; else BadImage."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise BadImage(path, "is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise BadImage(path, f"has more than {MAX_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise BadImage(path, f"cannot be read ({error.strerror})") from None
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
