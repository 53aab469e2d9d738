"""Image files to RGB pixels: every kind of file that turns up among crops comes out as one kind of array.

Pillow reads the files; what it leaves to its callers is settled here: the EXIF orientation, transparency, 16-bit grey,
and its many ways to fail, which all become `BadImage`.
"""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image
from tqdm import tqdm

from jersey.errors import UserError

T = TypeVar("T")

# Others are left out on purpose: opening an EPS file, for one, starts Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 50_000_000  # a crop of a player has some ten thousands
GREY_16_BIT = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
CONVERTIBLE = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
UPRIGHT_BY = {  # how to undo each EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of damaged metadata, which does no harm here, and of large images, which are refused here. The filter is
# set once, for the process, because `warnings.catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


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


def decode(path: Path) -> np.ndarray:
    """Reads the first frame of an image file, upright, as uint8 RGB [H, W, 3] (a writable array); else BadImage."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise BadImage(path, "is not a file")
        if not path.stat().st_size:
            raise BadImage(path, "is empty")
        with Image.open(path, formats=FORMATS) as image:
            _require_sane_size(path, image)
            image.load()
            method = UPRIGHT_BY.get(image.getexif().get(ExifTags.Base.Orientation, 1))
            rgb = _to_rgb(path, image)
            return np.array(rgb if method is None else rgb.transpose(method))
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage(path, f"is not an image of a known kind ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise BadImage(path, f"has more than {MAX_PIXELS} pixels") from None
    except Exception as error:  # damaged files make Pillow raise SyntaxError, IndexError, struct.error and more
        raise BadImage(path, f"cannot be decoded ({str(error) or type(error).__name__})") from None


def decode_all(
    paths: Sequence[Path], *, transform: Callable[[np.ndarray], T], workers: int | None = None, description: str
) -> list[T]:
    """Decodes images in threads, with a progress bar, and returns what `transform` makes of each, in order.

    Args:
        paths: image files.
        transform: from uint8 RGB [H, W, 3] to what shall be kept; called in the threads, so that no more than
            `workers` images are held at full size.
        workers: number of threads; None lets Python choose by the number of cores.
        description: the text before the bar.

    Raises:
        UserError: some images are bad; all are decoded first, so that one message counts them.
    """

    def attempt(path: Path) -> T | BadImage:
        try:
            return transform(decode(path))
        except BadImage as error:
            return error

    results: list[T] = []
    bad: list[BadImage] = []
    with ThreadPoolExecutor(workers) as pool:
        for result in tqdm(pool.map(attempt, paths), desc=description, total=len(paths), unit="image", disable=None):
            if isinstance(result, BadImage):
                bad.append(result)
            else:
                results.append(result)
    if bad:
        raise UserError(_summary(bad, total=len(paths)))
    return results


def _summary(bad: Sequence[BadImage], *, total: int) -> str:
    first = "; ".join(f"{error.path} {error.reason}" for error in bad[:5])
    rest = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
    return f"{len(bad)} of {total} images cannot be used: {first}{rest}; mend or remove them"


def _require_sane_size(path: Path, image: Image.Image) -> None:
    pixels = image.width * image.height
    if not pixels:
        raise BadImage(path, f"has no pixels ({image.width} x {image.height})")
    if pixels > MAX_PIXELS:
        raise BadImage(path, f"has {pixels} pixels, more than {MAX_PIXELS}")


def _to_rgb(path: Path, image: Image.Image) -> Image.Image:
    if image.mode in GREY_16_BIT:
        return _drop_low_byte(path, image).convert("RGB")
    if image.has_transparency_data:
        # Cut-out crops carry zeros where they are transparent, so a consumer that just drops the alpha channel sees
        # black there; composing over black shows the network the same picture.
        rgba = image.convert("RGBA")
        black = Image.new("RGB", image.size)
        black.paste(rgba, mask=rgba)
        return black
    if image.mode not in CONVERTIBLE:
        raise BadImage(path, f"has pixels of the kind {image.mode!r}, which has no fixed meaning as a colour")
    return image.convert("RGB")


def _drop_low_byte(path: Path, image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit grey; Pillow's own conversion would clip everything above 255 to white."""
    grey_HW = np.asarray(image)
    if image.mode == "I" and (grey_HW.min() < 0 or grey_HW.max() > 0xFFFF):
        raise BadImage(path, "has 32-bit grey values outside 0 ... 65535")
    return Image.fromarray((grey_HW >> 8).astype(np.uint8))
