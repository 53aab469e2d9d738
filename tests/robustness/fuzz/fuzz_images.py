"""Small image files of every kind that is read, and ways to damage them."""

import io
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

SIZE_PX = (9, 7)
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    *(("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
    *(("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
    *(("GIF", mode, {}) for mode in ("P", "L")),
    *(("WEBP", mode, {"lossless": choice}) for mode in ("RGB", "RGBA") for choice in (True, False)),
    *(("TIFF", mode, {}) for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "F")),
    *(("TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
    ("TIFF", "1", {"compression": "group4"}),
    *(("BMP", mode, {}) for mode in ("RGB", "L", "P", "1")),
    *(("PPM", mode, {}) for mode in ("RGB", "L", "1")),
    *((kind, "RGB", {"save_all": True, "append_images": 1}) for kind in ("GIF", "WEBP", "PNG", "TIFF")),
]


@cache
def files() -> dict[str, bytes]:
    """Whole files by what they are."""
    found = {}
    for kind, mode, options in KINDS:
        buffer = io.BytesIO()
        frames = {"append_images": [picture(mode).rotate(90)]} if "append_images" in options else {}
        picture(mode).save(buffer, kind, **options | frames)
        found[" ".join([kind, mode, *map(str, options.values())])] = buffer.getvalue()
    return found


def picture(mode: str) -> Image.Image:
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (*SIZE_PX, 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels_HW3[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels_HW3).convert(mode)


_NUMBERS = [
    bytes(4),
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\x1b\x58",
    b"\x58\x1b\0\0",
    b"\xff\xd8",
]
_BYTES = st.sampled_from([*_NUMBERS, b"\0\0\x40\0", b"\0\x40\0\0", b"PK\x03\x04", b"%!PS", b"\x80\x04"]) | st.binary(
    max_size=6
)
MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "insert", "cut", "repeat", "end"]),
        # Headers come first, so most damage is done there.
        st.integers(0, 64) | st.integers(0, 2000),
        _BYTES,
    ),
    max_size=6,
)


def mutated(content: bytes, mutations: list[tuple[str, int, bytes]]) -> bytes:
    """The content after each of them, in order."""
    for kind, place, some in mutations:
        at = place % (len(content) + 1)
        before, after = content[:at], content[at:]
        if kind == "write":
            content = before + some + after[len(some) :]
        elif kind == "insert":
            content = before + some + after
        elif kind == "cut":
            content = before + after[len(some) :]
        elif kind == "repeat":
            content = before + after[:16] * 2 + after[16:]
        else:
            content = before
    return content
