"""Turns whatever holds a crop into RGB pixels: paths, bytes, open files, PIL images, arrays.

Files, bytes and PIL images know the order of their colors. An array does not, so the caller states it.

Shapes: h w any size, 3 channels.
"""

import os
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from jersey.core.errors import UserError, escape_control
from jersey.data.decode import MAX_BYTES, BadImage, decode, decode_content, decode_image

Crop: TypeAlias = np.ndarray | Image.Image | str | Path | bytes | bytearray | memoryview | BinaryIO
"""A crop: uint8 array [h,w,3], [h,w,4] (with alpha), [h,w,1] or [h,w] (gray), a PIL image, the path of an image file,
its content, or a file opened in binary mode."""

ColorOrder: TypeAlias = Literal["rgb", "bgr"]
"""The order of the channels of arrays; OpenCV has "bgr"."""

KINDS = "a path, the bytes of an image file, a file opened in binary mode, a PIL image, or a uint8 array"


def check_color(color: str) -> None:
    """Raises UserError if `color` is not a ColorOrder."""
    if color not in get_args(ColorOrder):
        raise UserError(f"the color order {color!r} is unknown; set color to 'rgb', or to 'bgr' for OpenCV's arrays")


def expand_home(path: str | Path) -> str:
    """Returns a path with `~` at its start replaced by the home folder; `~name` without such a user stays."""
    return os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises for a file that is called ~name


def pixels_of(crop: object, color: ColorOrder = "rgb") -> np.ndarray | UserError:
    """Returns the RGB pixels of a crop, uint8 [h,w,3], or the error if it is not one.

    Args:
        crop: a `Crop`, or an error that replaces it.
        color: order of the channels, if the crop is an array.
    """
    try:
        return _pixels_of(crop, color)
    except UserError as error:
        return error


def _pixels_of(crop: object, color: ColorOrder) -> np.ndarray:
    if isinstance(crop, np.ndarray):
        return _of_array(crop, color)
    if isinstance(crop, str | Path):
        return decode(Path(expand_home(crop)))
    if isinstance(crop, Image.Image):
        return decode_image(crop)
    if isinstance(crop, bytes | bytearray | memoryview):
        return _of_content(bytes(crop), "the content of the crop", if_empty="pass the bytes of an image file")
    if hasattr(crop, "read"):
        return _of_file(crop)
    if isinstance(crop, UserError):  # from a line of a list that could not be parsed
        raise crop
    raise UserError(f"a crop is {KINDS}, and not a {type(crop).__name__}")


def _of_array(array: np.ndarray, color: ColorOrder) -> np.ndarray:
    shape = list(array.shape)
    channels = array.shape[2] if array.ndim == 3 else 1 if array.ndim == 2 else 0
    if array.dtype != np.uint8:
        what = f"a crop is a uint8 array, and not {array.dtype}"
        raise UserError(f"{what}; pass the pixels as they were decoded, from 0 to 255")
    if channels not in (1, 3, 4):
        what = f"a crop is an array [height, width, 3], [height, width, 4] or [height, width], and not of shape {shape}"
        raise UserError(f"{what}; put channels last, pass a batch to predict_all")
    if not array.size:
        raise UserError(f"a crop has pixels, and this array is empty: its shape is {shape}; leave it out")
    if channels == 1:
        return np.broadcast_to(array.reshape(*array.shape[:2], 1), (*array.shape[:2], 3))
    if color == "bgr":
        array = array[..., [2, 1, 0, 3][:channels]]
    # As in a file, a transparent pixel is composited over black.
    return array if channels == 3 else decode_image(Image.fromarray(np.ascontiguousarray(array)))


def _of_file(file: Any) -> np.ndarray:
    name = getattr(file, "name", None)
    what = escape_control(name) if isinstance(name, str) else "the open file"
    try:
        content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: closed, or text that is not in its encoding
        raise UserError(f"{what} cannot be read ({error}); pass a file opened in binary mode") from None
    if not isinstance(content, bytes):
        raise UserError(f"{what} returns {type(content).__name__} instead of bytes; open it in binary mode")
    return _of_content(content, what, if_empty="seek to the start of its image")


def _of_content(content: bytes, what: str, *, if_empty: str) -> np.ndarray:
    if not content:
        raise UserError(f"{what} has no bytes left; {if_empty}")
    if len(content) > MAX_BYTES:
        raise BadImage(Path(what), f"has more than {MAX_BYTES:,} bytes")
    return decode_content(content, Path(what))
