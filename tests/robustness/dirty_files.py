"""Image files of every kind that turns up among crops: whole in an unusual way, damaged, or no images.

Shapes: H W of the picture, C channels.
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
    """A part of a PNG file."""
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def png(width: int, height: int, *, bits: int, color: int, lines: bytes) -> bytes:
    """A PNG file of compressed lines, which Pillow may be unable to write, or which are missing."""
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([bits, color, 0, 0, 0])
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", lines) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_16_bit(pixels_HWC: np.ndarray) -> bytes:
    """A PNG of uint16 with three (RGB) or four (RGBA) channels."""
    height, width, channels = pixels_HWC.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels_HWC)
    return png(width, height, bits=16, color={3: 2, 4: 6}[channels], lines=zlib.compress(lines))


def header_of_bomb(side: int) -> bytes:
    """A PNG that promises so many pixels a side, and has none."""
    return png(side, side, bits=8, color=2, lines=b"")


def whole_bomb(side: int) -> bytes:
    """A PNG that has them: black, of one bit, thousands of times smaller than its pixels."""
    compressor, line = zlib.compressobj(9), bytes(1 + -(-side // 8))
    parts = [compressor.compress(line) for _ in range(side)]
    return png(side, side, bits=1, color=0, lines=b"".join([*parts, compressor.flush()]))


def stored_for_orientation(upright_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores for an upright picture: row 0 and column 0 lie where the EXIF standard's table says."""
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


def save_oriented(path: Path | io.BytesIO, picture: Image.Image, *, orientation: int, **options: Any) -> None:
    """A picture turned or mirrored, and what EXIF says about that."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(stored_for_orientation(np.asarray(picture), orientation)))
    stored.save(path, exif=exif, **options)


def saved(picture: Image.Image, kind: str, mode: str = "RGB", *, turn: int = 0, **options: Any) -> bytes:
    """The bytes of an image file of a kind, in one of Pillow's modes; with `turn`, in that EXIF orientation."""
    buffer = io.BytesIO()
    if turn:
        save_oriented(buffer, picture, orientation=turn, format=kind)
    else:
        _in_mode(picture, mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    if mode == "P":
        return picture.quantize(256)
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    if mode == "clear":
        picture = picture.copy()
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        return picture
    return picture.convert(mode)


def _frames(picture: Image.Image, kind: str) -> bytes:
    rest = [Image.new("RGB", picture.size, (value, 0, 0)) for value in (100, 200)]
    return saved(picture, kind, save_all=True, append_images=rest)


def _cut(picture: Image.Image, kind: str, share: float = 0.5) -> bytes:
    content = saved(picture, kind)
    return content[: int(len(content) * share)]


GREY_TIFF, GIF_BOMB = ("tiff_lzw", "tiff_deflate", "packbits"), b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff"
READ, DRAWN = "read as 48 x 64 RGB", "read as 48 x 64 RGB, as drawn$"
IN_GREY = "read as 48 x 64 RGB, as drawn, in grey$"
NO_IMAGE = "refused or skipped: is not an image of a known kind"
CUT = "refused or skipped: cannot be decoded"
TOO_LARGE = "refused or skipped: has more than 20000000 pixels"
NO_NAME = "refused or skipped: has a name that cannot be shown, with control characters or not in UTF-8"

SUFFIXES = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "PPM": "png"}
Encode = Callable[[Image.Image], bytes]


def _whole(expected: str, kind: str, modes: str, **options: Any) -> dict[str, tuple[str, str, Encode]]:
    found = {}
    for mode in modes.split():
        name = " ".join([kind, mode, *(f"{key}={value}" for key, value in options.items())])
        found[name] = (f"{name}.{SUFFIXES[kind]}", expected, partial(saved, kind=kind, mode=mode, **options))
    return found


CONTENTS: dict[str, tuple[str, str, Encode]] = {
    **_whole(DRAWN, "PNG", "RGB RGBA P"),
    **_whole(IN_GREY, "PNG", "L LA I;16"),
    **_whole(READ, "PNG", "1 clear"),
    **_whole(DRAWN, "PNG", "P", transparency=bytes([0, 128])),
    **_whole(DRAWN, "JPEG", "RGB CMYK"),
    **_whole(IN_GREY, "JPEG", "L"),
    **_whole(DRAWN, "JPEG", "RGB", progressive=True),
    **{name: row for turn in range(1, 9) for name, row in _whole(DRAWN, "JPEG", "RGB", turn=turn).items()},
    **_whole(DRAWN, "GIF", "P"),
    **_whole(IN_GREY, "GIF", "L"),
    **_whole(DRAWN, "WEBP", "RGB RGBA", lossless=True),
    **_whole(DRAWN, "WEBP", "RGB RGBA", lossless=False),
    **_whole(DRAWN, "TIFF", "RGB RGBA P CMYK"),
    **_whole(IN_GREY, "TIFF", "L I;16"),
    **{name: row for each in GREY_TIFF for name, row in _whole(DRAWN, "TIFF", "RGB", compression=each).items()},
    **_whole(DRAWN, "TIFF", "RGB", compression="jpeg"),
    **_whole(READ, "TIFF", "1"),
    **_whole(READ, "TIFF", "1", compression="group4"),
    **_whole("refused or skipped: has pixels of the kind 'F', which does not define colors", "TIFF", "F"),
    **_whole(DRAWN, "BMP", "RGB P"),
    **_whole(IN_GREY, "BMP", "L"),
    **_whole(READ, "BMP", "1"),
    **_whole(DRAWN, "PPM", "RGB"),
    **_whole(IN_GREY, "PPM", "L"),
    **_whole(READ, "PPM", "1"),
    **{
        f"{kind} of three frames": (f"frames.{kind.lower()}", DRAWN, partial(_frames, kind=kind))
        for kind in ("GIF", "PNG", "WEBP", "TIFF")
    },
    **{
        f"{kind} cut in half": (f"half.{kind.lower()}", CUT, partial(_cut, kind=kind))
        for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")
    },
    "JPEG without its end": ("end.jpg", CUT, partial(_cut, kind="JPEG", share=0.95)),
    "zero bytes": ("empty.jpg", "refused or skipped: is empty", lambda _: b""),
    "PNG with the suffix .jpg": ("png.jpg", DRAWN, partial(saved, kind="PNG")),
    "JPEG with the suffix .dat": ("jpeg.dat", "not taken for an image", partial(saved, kind="JPEG")),
    "text": ("text.jpg", NO_IMAGE, lambda _: b"no image at all"),
    "HTML": ("html.jpg", NO_IMAGE, lambda _: b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
    "PostScript": ("postscript.jpg", NO_IMAGE, partial(saved, kind="EPS")),
    "1 x 1": ("1x1.png", "read as 1 x 1 RGB", lambda picture: saved(picture.resize((1, 1)), "PNG")),
    "20,000 x 20,000, whole": ("20000.png", TOO_LARGE, lambda _: whole_bomb(20_000)),
    "60,000 x 60,000, a header": ("60000.png", TOO_LARGE, lambda _: header_of_bomb(60_000)),
    "GIF of 65,535 x 65,535": ("bomb.gif", TOO_LARGE, lambda _: GIF_BOMB + b"\0\x02\x02D\x01\0;"),
    "16-bit color PNG": ("deep.png", DRAWN, lambda it: png_16_bit(np.asarray(it).astype(np.uint16) * 257)),
    "name with spaces": ("two  words .png", DRAWN, partial(saved, kind="PNG")),
    "name with a newline": ("two\nlines.png", NO_NAME, partial(saved, kind="PNG")),
    "name with emoji": ("🏀👨\u200d👩.png", DRAWN, partial(saved, kind="PNG")),
    "name that is not UTF-8": (os.fsdecode(b"caf\xe9.png"), NO_NAME, partial(saved, kind="PNG")),
}
"""File name, what is expected of it, and its bytes for a picture, by kind; no two have one file name."""


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
    "link to its folder": ("above.png", "not taken for an image", lambda path: path.symlink_to(".")),
    **{
        f"link to {target}": (f"link{number}.png", "refused or skipped: ", partial(Path.symlink_to, target=target))
        for number, target in enumerate(("/dev/zero", "/dev/random", "/proc/self/mem", "/etc/passwd"))
    },
    "no permission": ("closed.png", "refused or skipped: cannot be read .Permission denied", _closed),
    "named pipe": ("pipe.png", "refused or skipped: is not a file", os.mkfifo),
    "folder with the suffix .png": ("folder.png", "not taken for an image", Path.mkdir),
    "20 GB of zeros": (
        "sparse.jpg",
        "refused or skipped: has 20000000000 bytes",
        partial(_sparse, size=20_000_000_000),
    ),
    "a terabyte of zeros": ("huge.jpg", "refused or skipped: has 1099511627776 bytes", partial(_sparse, size=2**40)),
}
"""The same for what is made at a path."""
