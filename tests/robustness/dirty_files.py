"""Writers of image files of every kind that turns up among crops: whole in an unusual way, damaged, or no images.

KINDS has them all; a maker gets the path that it shall fill and the picture that it shall show if it can.

Shapes: H W of the picture, C channels.
"""

import os
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # EXIF's tag

Make = Callable[[Path, Image.Image], None]


class Kind(NamedTuple):
    """How a kind of file is called, and made."""

    name: str
    make: Make


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def png(width: int, height: int, *, bits: int, colour: int, lines: bytes) -> bytes:
    """A PNG file of compressed lines, which Pillow may be unable to write, or which are missing."""
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([bits, colour, 0, 0, 0])
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", lines) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_16_bit(pixels_HWC: np.ndarray) -> bytes:
    """A PNG of uint16 with three (RGB) or four (RGBA) channels."""
    height, width, channels = pixels_HWC.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels_HWC)
    return png(width, height, bits=16, colour={3: 2, 4: 6}[channels], lines=zlib.compress(lines))


def header_of_bomb(side: int) -> bytes:
    """A PNG that promises so many pixels a side, and has none."""
    return png(side, side, bits=8, colour=2, lines=b"")


def whole_bomb(side: int) -> bytes:
    """A PNG that has them: black, of one bit, thousands of times smaller than its pixels."""
    compressor, line = zlib.compressobj(9), bytes(1 + -(-side // 8))
    parts = [compressor.compress(line) for _ in range(side)]
    return png(side, side, bits=1, colour=0, lines=b"".join([*parts, compressor.flush()]))


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


def save_oriented(path: Path, picture: Image.Image, *, orientation: int, **options: Any) -> None:
    """A picture turned or mirrored, and what EXIF says about that."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(stored_for_orientation(np.asarray(picture), orientation)))
    stored.save(path, exif=exif, **options)


def _save(path: Path, picture: Image.Image, *, mode: str = "RGB", **options: Any) -> None:
    picture.convert(mode).save(path, **options)


def _cut(path: Path, picture: Image.Image, *, share: float) -> None:
    picture.save(path)
    os.truncate(path, int(path.stat().st_size * share))


def _bytes(path: Path, picture: Image.Image, *, content: bytes) -> None:
    path.write_bytes(content)


def _frames(path: Path, picture: Image.Image) -> None:
    rest = [Image.new("RGB", picture.size, (value, 0, 0)) for value in (100, 200)]
    picture.save(path, save_all=True, append_images=rest)


def _grey_16_bit(path: Path, picture: Image.Image) -> None:
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(path)


def _colour_16_bit(path: Path, picture: Image.Image) -> None:
    path.write_bytes(png_16_bit(np.asarray(picture).astype(np.uint16) * 257))


def _float(path: Path, picture: Image.Image) -> None:
    Image.fromarray(np.asarray(picture.convert("L"), np.float32)).save(path)


def _with_alpha(path: Path, picture: Image.Image) -> None:
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(path)


def _palette(path: Path, picture: Image.Image, **options: Any) -> None:
    picture.quantize(256).save(path, **options)


def _link(path: Path, picture: Image.Image, *, target: str) -> None:
    path.symlink_to(target)


def _closed(path: Path, picture: Image.Image) -> None:
    picture.save(path)
    path.chmod(0)


def _pipe(path: Path, picture: Image.Image) -> None:
    os.mkfifo(path)


def _folder(path: Path, picture: Image.Image) -> None:
    path.mkdir()


def _sparse(path: Path, picture: Image.Image) -> None:
    path.touch()
    os.truncate(path, 20_000_000_000)


GONE = "gone.png"  # which the bench takes away
TEXT = b"no image at all"
HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
GIF_BOMB = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"

# By file name; every name is another, so that all can lie in one folder.
KINDS: dict[str, Kind] = {
    "empty.jpg": Kind("zero bytes", partial(_bytes, content=b"")),
    "half.jpg": Kind("JPEG cut in half", partial(_cut, share=0.5)),
    "end.jpg": Kind("JPEG without its end", partial(_cut, share=0.95)),
    "half.png": Kind("PNG cut in half", partial(_cut, share=0.5)),
    "half.gif": Kind("GIF cut in half", partial(_cut, share=0.5)),
    "half.webp": Kind("WebP cut in half", partial(_cut, share=0.5)),
    "half.tif": Kind("TIFF cut in half", partial(_cut, share=0.5)),
    "png.jpg": Kind("PNG with the suffix .jpg", partial(_save, format="PNG")),
    "jpeg.dat": Kind("JPEG with the suffix .dat", partial(_save, format="JPEG")),
    "text.jpg": Kind("text", partial(_bytes, content=TEXT)),
    "html.jpg": Kind("HTML", partial(_bytes, content=HTML)),
    "postscript.jpg": Kind("PostScript", partial(_save, format="EPS")),
    "one.gif": Kind("GIF", _save),
    "frames.gif": Kind("GIF of three frames", _frames),
    "frames.png": Kind("PNG of three frames", _frames),
    "frames.webp": Kind("WebP of three frames", _frames),
    "frames.tif": Kind("TIFF of three pages", _frames),
    "1x1.png": Kind("1 x 1", lambda path, picture: _save(path, picture.resize((1, 1)))),
    "20000.png": Kind("20,000 x 20,000, whole", lambda path, _: _bytes(path, _, content=whole_bomb(20_000))),
    "60000.png": Kind("60,000 x 60,000, a header", partial(_bytes, content=header_of_bomb(60_000))),
    "bomb.gif": Kind("GIF of 65,535 x 65,535 in 35 bytes", partial(_bytes, content=GIF_BOMB)),
    "sparse.jpg": Kind("20 GB of zeros", _sparse),
    "grey16.png": Kind("16-bit grey PNG", _grey_16_bit),
    "grey16.tif": Kind("16-bit grey TIFF", _grey_16_bit),
    "colour16.png": Kind("16-bit colour PNG", _colour_16_bit),
    "float.tif": Kind("TIFF of floating point", _float),
    "cmyk.jpg": Kind("CMYK JPEG", partial(_save, mode="CMYK")),
    "cmyk.tif": Kind("CMYK TIFF", partial(_save, mode="CMYK")),
    "palette.png": Kind("palette", _palette),
    "palette_alpha.png": Kind("palette with transparency", partial(_palette, transparency=bytes([0, 128]))),
    "alpha.png": Kind("colour with transparency", _with_alpha),
    **{
        f"turned{turn}.jpg": Kind(f"EXIF orientation {turn}", partial(save_oriented, orientation=turn))
        for turn in range(1, 9)
    },
    "two  words .png": Kind("name with spaces", _save),
    "two\nlines.png": Kind("name with a newline", _save),
    "🏀👨\u200d👩.png": Kind("name with emoji", _save),
    os.fsdecode(b"caf\xe9.png"): Kind("name that is not UTF-8", _save),
    "nowhere.png": Kind("link to nothing", partial(_link, target="nothing.png")),
    "itself.png": Kind("link to itself", partial(_link, target="itself.png")),
    "above.png": Kind("link to the folder it lies in", partial(_link, target=".")),
    "closed.png": Kind("no permission", _closed),
    "pipe.png": Kind("named pipe", _pipe),
    "folder.png": Kind("folder with the suffix .png", _folder),
    GONE: Kind("gone once the index is read", _save),
}
