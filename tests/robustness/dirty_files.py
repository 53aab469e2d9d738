"""Image files of all kinds that occur among crops: valid but uncommon, damaged, or not images.

Shapes: H W of the image, C channels.
"""

import io
import os
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # EXIF's tag


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Returns a chunk of a PNG file."""
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def png(width: int, height: int, *, bits: int, color: int, lines: bytes) -> bytes:
    """Returns a PNG file with these compressed lines, in formats that Pillow cannot write, or without lines."""
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([bits, color, 0, 0, 0])
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", lines) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_16_bit(pixels_HWC: np.ndarray) -> bytes:
    """Returns a PNG of uint16 with three (RGB) or four (RGBA) channels."""
    height, width, channels = pixels_HWC.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels_HWC)
    return png(width, height, bits=16, color={3: 2, 4: 6}[channels], lines=zlib.compress(lines))


def header_of_bomb(side: int) -> bytes:
    """Returns a PNG whose header announces `side` x `side` pixels, without any pixels."""
    return png(side, side, bits=8, color=2, lines=b"")


def whole_bomb(side: int) -> bytes:
    """Returns a black one-bit PNG of `side` x `side` pixels, thousands of times smaller than its pixels."""
    compressor, line = zlib.compressobj(9), bytes(1 + -(-side // 8))
    parts = [compressor.compress(line) for _ in range(side)]
    return png(side, side, bits=1, color=0, lines=b"".join([*parts, compressor.flush()]))


def stored_for_orientation(upright_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """Returns the pixels that a camera stores for an upright image, by the table of the EXIF standard."""
    down, left = upright_HWC[::-1], upright_HWC[:, ::-1]
    return {
        1: upright_HWC,  # row 0 at the top, column 0 at the left
        2: left,  # top, right
        3: down[:, ::-1],  # bottom, right
        4: down,  # bottom, left
        5: upright_HWC.swapaxes(0, 1),  # left, top
        6: left.swapaxes(0, 1),  # right, top
        7: down[:, ::-1].swapaxes(0, 1),  # right, bottom
        8: down.swapaxes(0, 1),  # left, bottom
    }[orientation]


def save_oriented(path: Path | io.BytesIO, image: Image.Image, *, orientation: int, **options: Any) -> None:
    """Saves an image rotated or mirrored, with the EXIF tag of its orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(stored_for_orientation(np.asarray(image), orientation)))
    stored.save(path, exif=exif, **options)


def saved(image: Image.Image, kind: str, mode: str = "RGB", *, turn: int = 0, **options: Any) -> bytes:
    """Returns the bytes of an image file of a kind in one of Pillow's modes; `turn` is an EXIF orientation."""
    buffer = io.BytesIO()
    if turn:
        save_oriented(buffer, image, orientation=turn, format=kind)
    else:
        _in_mode(image, mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "P":
        return image.quantize(256)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "clear":
        image = image.copy()
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        return image
    return image.convert(mode)


def _frames(image: Image.Image, kind: str) -> bytes:
    rest = [Image.new("RGB", image.size, (value, 0, 0)) for value in (100, 200)]
    return saved(image, kind, save_all=True, append_images=rest)


def _cut(image: Image.Image, kind: str, frac: float = 0.5) -> bytes:
    content = saved(image, kind)
    return content[: int(len(content) * frac)]


TIFF_COMPRESSIONS = ("tiff_lzw", "tiff_deflate", "packbits")
GIF_BOMB = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"  # of 65,535 x 65,535 pixels
# Expected outcomes.
READ, RENDERED = "read as 48 x 64 RGB", "read as 48 x 64 RGB, as rendered$"
IN_GRAY = "read as 48 x 64 RGB, as rendered, in gray$"
NO_IMAGE = "refused or skipped: is not an image in a supported format"
CUT = "refused or skipped: cannot be decoded"
TOO_LARGE = "refused or skipped: has more than 20,000,000 pixels"
BAD_NAME = "refused or skipped: has a name that cannot be shown, with control characters or not in UTF-8"

SUFFIXES = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "PPM": "png"}
Encode = Callable[[Image.Image], bytes]


def _whole(expected: str, kind: str, modes: str, **options: Any) -> dict[str, tuple[str, str, Encode]]:
    """Returns rows of CONTENTS for undamaged files of a kind in each of the modes, which are separated by spaces."""
    found = {}
    for mode in modes.split():
        name = " ".join([kind, mode, *(f"{key}={value}" for key, value in options.items())])
        found[name] = (f"{name}.{SUFFIXES[kind]}", expected, partial(saved, kind=kind, mode=mode, **options))
    return found


CONTENTS: dict[str, tuple[str, str, Encode]] = {
    **_whole(RENDERED, "PNG", "RGB RGBA P"),
    **_whole(IN_GRAY, "PNG", "L LA I;16"),
    **_whole(READ, "PNG", "1 clear"),
    **_whole(RENDERED, "PNG", "P", transparency=bytes([0, 128])),
    **_whole(RENDERED, "JPEG", "RGB CMYK"),
    **_whole(IN_GRAY, "JPEG", "L"),
    **_whole(RENDERED, "JPEG", "RGB", progressive=True),
    **{name: row for turn in range(1, 9) for name, row in _whole(RENDERED, "JPEG", "RGB", turn=turn).items()},
    **_whole(RENDERED, "GIF", "P"),
    **_whole(IN_GRAY, "GIF", "L"),
    **_whole(RENDERED, "WEBP", "RGB RGBA", lossless=True),
    **_whole(RENDERED, "WEBP", "RGB RGBA", lossless=False),
    **_whole(RENDERED, "TIFF", "RGB RGBA P CMYK"),
    **_whole(IN_GRAY, "TIFF", "L I;16"),
    **{
        name: row
        for each in TIFF_COMPRESSIONS
        for name, row in _whole(RENDERED, "TIFF", "RGB", compression=each).items()
    },
    **_whole(RENDERED, "TIFF", "RGB", compression="jpeg"),
    **_whole(READ, "TIFF", "1"),
    **_whole(READ, "TIFF", "1", compression="group4"),
    **_whole("refused or skipped: has pixels in Pillow's mode 'F', which does not define colors", "TIFF", "F"),
    **_whole(RENDERED, "BMP", "RGB P"),
    **_whole(IN_GRAY, "BMP", "L"),
    **_whole(READ, "BMP", "1"),
    **_whole(RENDERED, "PPM", "RGB"),
    **_whole(IN_GRAY, "PPM", "L"),
    **_whole(READ, "PPM", "1"),
    **{
        f"{kind} of three frames": (f"frames.{kind.lower()}", RENDERED, partial(_frames, kind=kind))
        for kind in ("GIF", "PNG", "WEBP", "TIFF")
    },
    **{
        f"{kind} cut in half": (f"half.{kind.lower()}", CUT, partial(_cut, kind=kind))
        for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")
    },
    "JPEG without its end": ("end.jpg", CUT, partial(_cut, kind="JPEG", frac=0.95)),
    "zero bytes": ("empty.jpg", "refused or skipped: is empty", lambda _: b""),
    "PNG with the suffix .jpg": ("png.jpg", RENDERED, partial(saved, kind="PNG")),
    "JPEG with the suffix .dat": ("jpeg.dat", "read as 48 x 64 RGB", partial(saved, kind="JPEG")),
    "text": ("text.jpg", NO_IMAGE, lambda _: b"no image at all"),
    "HTML": ("html.jpg", NO_IMAGE, lambda _: b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
    "PostScript": ("postscript.jpg", NO_IMAGE, partial(saved, kind="EPS")),
    "1 x 1": ("1x1.png", "read as 1 x 1 RGB", lambda image: saved(image.resize((1, 1)), "PNG")),
    "20,000 x 20,000, whole": ("20000.png", TOO_LARGE, lambda _: whole_bomb(20_000)),
    "60,000 x 60,000, a header": ("60000.png", TOO_LARGE, lambda _: header_of_bomb(60_000)),
    "GIF of 65,535 x 65,535": ("bomb.gif", TOO_LARGE, lambda _: GIF_BOMB),
    "16-bit color PNG": ("deep.png", RENDERED, lambda it: png_16_bit(np.asarray(it).astype(np.uint16) * 257)),
    "name with spaces": ("two  words .png", RENDERED, partial(saved, kind="PNG")),
    "name with a newline": ("two\nlines.png", BAD_NAME, partial(saved, kind="PNG")),
    "name in the reverse direction": ("\u202egnp.exe.png", BAD_NAME, partial(saved, kind="PNG")),
    "name in an isolated direction": ("\u2067a\u2069.png", BAD_NAME, partial(saved, kind="PNG")),
    "name in Arabic with its marks": ("\u0644\u0627\u0639\u0628\u200f7.png", RENDERED, partial(saved, kind="PNG")),
    "name with emoji": ("🏀👨\u200d👩.png", RENDERED, partial(saved, kind="PNG")),
    "name that is not UTF-8": (os.fsdecode(b"caf\xe9.png"), BAD_NAME, partial(saved, kind="PNG")),
}
"""File name, expected outcome, and a function from an image to the bytes, by kind; file names are unique."""


def _closed(path: Path) -> None:
    path.write_bytes(b"closed")
    path.chmod(0)


def _sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


PLACES: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "link to nothing": ("nowhere.png", "refused or skipped: does not exist", lambda path: path.symlink_to("nothing")),
    "link to itself": (
        "itself.png",
        "refused or skipped: cannot be read .Too many",
        lambda path: path.symlink_to(path),
    ),
    "link to its folder": ("above.png", "ignored", lambda path: path.symlink_to(".")),
    **{
        f"link to {target}": (f"link{number}.png", "refused or skipped: ", partial(Path.symlink_to, target=target))
        for number, target in enumerate(("/dev/zero", "/dev/random", "/proc/self/mem", "/etc/passwd"))
    },
    "no permission": ("closed.png", "refused or skipped: cannot be read .Permission denied", _closed),
    "named pipe": ("pipe.png", "refused or skipped: is not a file", os.mkfifo),
    "folder with the suffix .png": ("folder.png", "ignored", Path.mkdir),
    "20 GB of zeros": (
        "sparse.jpg",
        "refused or skipped: has 20,000,000,000 bytes",
        partial(_sparse, size=20_000_000_000),
    ),
    "a terabyte of zeros": (
        "huge.jpg",
        "refused or skipped: has 1,099,511,627,776 bytes",
        partial(_sparse, size=2**40),
    ),
}
"""File name, expected outcome, and a function that creates the file at a path, by kind."""
