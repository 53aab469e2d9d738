"""Decodes all image formats that occur among crops to uint8 RGB arrays.

This module handles what Pillow leaves to its callers: EXIF orientation, transparency and 16-bit gray. Pillow's many
kinds of errors all become `BadImage`.
"""

import hashlib
import io
import logging
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from tqdm import tqdm

from jersey.core.distributed import rank
from jersey.core.errors import UserError, escape_control
from jersey.data.files import is_heif

MAX_PIXELS = 20_000_000  # a crop has some ten thousand; decoding takes ten bytes per pixel in every thread
MAX_BYTES = 200_000_000  # more than an uncompressed image of MAX_PIXELS has
MAX_SCANS = 100  # of a JPEG; encoders write about ten, and each may pass over all pixels
_CHUNK = 4096  # paths per call of the thread pool, which queues everything that it gets
# Pillow's modes of 16-bit gray, and those that its own conversion to RGB handles correctly.
GRAY_16_BIT = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
CONVERTIBLE = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that undoes each EXIF orientation; 1 is upright."""

# Pillow warns about damaged metadata, which is harmless, and about large images, which are refused anyway. The filter
# is set once for the process, because `warnings.catch_warnings` is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # an image that cannot be used has a sentence of ours

_SCAN, _END = 0xDA, 0xD9
_SEGMENT = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])(..)", re.DOTALL)  # marker and length

# Other formats are excluded on purpose: opening an EPS file, for example, starts Ghostscript.
Image.init()
FORMATS = ["BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"]
if "AVIF" in Image.OPEN:  # since Pillow 11.3; `Image.open` fails for a format that it does not know
    FORMATS.append("AVIF")
if find_spec("pillow_heif"):  # an optional plug-in, for the photographs of phones
    import_module("pillow_heif").register_heif_opener()
    FORMATS.append("HEIF")

IMAGE_META = np.dtype([("digest", np.uint8, 32), ("width_px", np.int32), ("height_px", np.int32), ("kind", "S16")])
"""Metadata of an image file: the SHA-256 of its bytes, its size as stored (before the EXIF orientation), and the file
format with Pillow's mode, such as "JPEG RGB"."""


class BadImage(UserError):
    """An image file cannot be used.

    Attributes:
        path: path of the file.
        reason: predicate of a sentence about the file, such as "is empty".
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{escape_control(str(path))} {escape_control(reason)}; repair or remove it")
        self.path = path
        self.reason = reason


class ImageReadError(BadImage):
    """The bytes of a file could not be read; another user or a later attempt may succeed."""


def _unknown_format(path: Path, content: bytes) -> BadImage:
    if is_heif(content[:32]):
        return BadImage(path, "is a HEIC image, which `pip install pillow-heif` lets be read")
    return BadImage(path, f"is not an image in a supported format ({', '.join(FORMATS)})")


def read_content(path: Path) -> bytes:
    """Returns the bytes of a file; raises BadImage if it cannot be read or is empty."""
    try:
        if escape_control(str(path)) != str(path):  # names are shown in tables, reports and terminals
            raise BadImage(path, "has a name that cannot be shown, with control characters or not in UTF-8")
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would block forever
            raise ImageReadError(path, "is not a file")
        if found.st_size > MAX_BYTES:
            raise BadImage(path, f"has {found.st_size:,} bytes, more than {MAX_BYTES:,}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise ImageReadError(path, "does not exist") from None
    except UnicodeEncodeError:  # an ASCII locale
        raise ImageReadError(path, "has a name that this system's locale cannot write") from None
    except OSError as error:
        raise ImageReadError(path, f"cannot be read ({error.strerror})") from None
    if not content:
        raise BadImage(path, "is empty")
    return content


def read_meta(content: bytes, path: Path) -> np.ndarray:
    """Returns IMAGE_META, a scalar, of a file; raises BadImage if its header is damaged, but not for damaged pixels."""
    digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return np.array((digest, image.width, image.height, f"{image.format} {image.mode}".encode()), IMAGE_META)
    except Exception:  # damaged files make Pillow raise SyntaxError, struct.error and more
        raise _unknown_format(path, content) from None


def decode(path: Path) -> np.ndarray:
    """Decodes the first frame of an image file, upright, to a writable uint8 RGB [H, W, 3]; raises BadImage."""
    return decode_content(read_content(path), path)


def decode_content(content: bytes, path: Path) -> np.ndarray:
    """Decodes the content of an image file as `decode` does; `path` is its place, for errors."""
    with _as_bad_image(path, content), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if (scans := _jpeg_scans(content)) > MAX_SCANS:
            raise BadImage(path, f"has {scans:,} scans, more than {MAX_SCANS}")
        return _upright_rgb(image, path)


def decode_image(image: Image.Image) -> np.ndarray:
    """Converts a PIL image of any mode as `decode` does the same file; raises BadImage."""
    path = Path(getattr(image, "filename", "") or "the PIL image")
    with _as_bad_image(path):
        return _upright_rgb(image, path)


def _upright_rgb(image: Image.Image, path: Path) -> np.ndarray:
    if not (pixels := image.width * image.height):
        raise BadImage(path, f"has no pixels ({image.width} x {image.height})")
    if pixels > MAX_PIXELS:
        raise BadImage(path, f"has {pixels:,} pixels, more than {MAX_PIXELS:,}")
    image.load()
    method = UPRIGHT_BY.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    rgb = _to_rgb(path, image)
    return np.array(rgb if method is None else rgb.transpose(method))


def _jpeg_scans(content: bytes) -> int:
    """Returns the number of scans of a JPEG; 0 for other formats, and for a JPEG that has few."""
    if not content.startswith(b"\xff\xd8") or content.count(bytes([0xFF, _SCAN])) <= MAX_SCANS:
        return 0  # a count of bytes is fast, and at least the number of scans
    scans, at = 0, 2
    while (found := _SEGMENT.search(content, at)) and found[1][0] != _END:
        scans += found[1][0] == _SCAN
        at = found.start(2) + int.from_bytes(found[2], "big")
    return scans


@contextmanager
def _as_bad_image(path: Path, content: bytes = b"") -> Iterator[None]:
    """Turns every error of the body into a BadImage of `path`, which has this content."""
    try:
        yield
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise _unknown_format(path, content) from None
    except Image.DecompressionBombError:
        raise BadImage(path, f"has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # damaged files make Pillow raise SyntaxError, IndexError, struct.error and more
        raise BadImage(path, f"cannot be decoded ({str(error) or type(error).__name__})") from None


def decode_all(
    paths: Sequence[Path], store: Callable[[int, np.ndarray], None] | None, *, description: str
) -> tuple[np.ndarray, dict[int, BadImage]]:
    """Decodes images in threads, with a progress bar.

    Args:
        paths: image files.
        store: function of a row and its uint8 RGB [H, W, 3], called in the threads, so that few images are in memory at
            full size; None reads headers only, and does not notice damaged pixels.
        description: text before the progress bar.

    Returns:
        IMAGE_META [N] of the files, and the errors of those that cannot be used, by row.
    """

    def attempt(row: int) -> BadImage | None:
        try:
            content = read_content(paths[row])
            pixels_HW3 = decode_content(content, paths[row]) if store else None
            image_meta_N[row] = read_meta(content, paths[row])
        except BadImage as error:
            return error
        if store and pixels_HW3 is not None:
            store(row, pixels_HW3)
        return None

    image_meta_N = np.zeros(len(paths), IMAGE_META)
    with ThreadPoolExecutor() as pool:
        starts = range(0, len(paths), _CHUNK)
        results = chain.from_iterable(pool.map(attempt, range(len(paths))[i : i + _CHUNK]) for i in starts)
        is_quiet = True if rank() > 0 else None  # None: on a terminal only
        bar = tqdm(results, desc=description, total=len(paths), unit="image", disable=is_quiet)
        bad = {row: error for row, error in enumerate(bar) if error}
    return image_meta_N, bad


def _to_rgb(path: Path, image: Image.Image) -> Image.Image:
    if image.mode in GRAY_16_BIT:  # Pillow's conversion would clip all values above 255 to white
        gray_HW = np.asarray(image)
        if image.mode == "I" and (gray_HW.min() < 0 or gray_HW.max() > 0xFFFF):
            raise BadImage(path, "has 32-bit gray values outside 0 ... 65535")
        return Image.fromarray((gray_HW >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        # Cut-out crops have zeros where they are transparent. A consumer that drops the alpha channel sees black
        # there; compositing over black shows the network the same picture.
        rgba = image.convert("RGBA")
        black = Image.new("RGB", image.size)
        black.paste(rgba, mask=rgba)
        return black
    if image.mode not in CONVERTIBLE:
        raise BadImage(path, f"has pixels in Pillow's mode {image.mode!r}, which does not define colors")
    return image if image.mode == "RGB" else image.convert("RGB")
