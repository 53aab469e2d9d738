"""Resizes crops of any size to the network's input size, alike in training, evaluation and ONNX.

Antialiased bilinear (triangle filter) resampling, as in Pillow and torch, is written as two small matrix products. The
same lines run on the host and, traced with symbolic sizes, inside the ONNX graph, where they become MatMul nodes that
every runtime has. https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html

Weights are multiples of 1/65536, and each axis is rounded to whole values (as in Pillow), so a sum has at most 24 bits:
float32 holds it exactly, in whatever order a runtime adds. Inexact sums would round some pixel of one in four to
fifteen crops to another value, and change its logits by about 1e-4.

Shapes: B batch, C channels, h w size before, H W size after.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

ResizeMode = Literal["stretch", "letterbox"]

WEIGHT_SCALE = 2.0**16  # weights are multiples of its inverse; 255 * WEIGHT_SCALE is just below 2^24


def resize(images_BChw: Tensor, *, height_px: int, width_px: int, mode: ResizeMode = "stretch") -> Tensor:
    """Resizes images; those of the output size keep their values.

    Args:
        images_BChw: images, uint8.
        height_px: height of the result, H.
        width_px: width of the result, W.
        mode: "stretch" changes the aspect ratio; "letterbox" keeps it and centers the image on black.

    Returns:
        Resized images, uint8 [B,C,H,W].
    """
    # Sizes are tensors: under export they are symbolic, which float arithmetic on Python numbers does not support.
    h_px = torch.full((), images_BChw.shape[-2], dtype=torch.float32, device=images_BChw.device)
    w_px = torch.full((), images_BChw.shape[-1], dtype=torch.float32, device=images_BChw.device)
    step_y, step_x = h_px / height_px, w_px / width_px
    if mode == "letterbox":
        step_y = step_x = torch.maximum(step_y, step_x)
    rows_Hh = resampling_weights(images_BChw.shape[-2], h_px, height_px, step_y)
    columns_Ww = resampling_weights(images_BChw.shape[-1], w_px, width_px, step_x)
    narrowed_BChW = (images_BChw.float() @ columns_Ww.T).round()
    return (rows_Hh @ narrowed_BChW).round().clamp(0, 255).to(torch.uint8)


def resize_image(image_hw3: np.ndarray, *, height_px: int, width_px: int, mode: ResizeMode = "stretch") -> np.ndarray:
    """Resizes one image on the host; the pixels are those of `resize`, with about a third of its operations.

    Args:
        image_hw3: image, uint8.
        height_px: height of the result, H.
        width_px: width of the result, W.
        mode: as for `resize`.

    Returns:
        Resized image with the channels first, uint8 [3,H,W].
    """
    h_px, w_px, _ = image_hw3.shape
    image_3hw = torch.from_numpy(image_hw3).permute(2, 0, 1)
    if (h_px, w_px) == (height_px, width_px):
        return image_3hw.numpy()
    # A step is divided in float32, as in `resize`.
    step_y, step_x = np.float32(h_px) / np.float32(height_px), np.float32(w_px) / np.float32(width_px)
    if mode == "letterbox":
        step_y = step_x = max(step_y, step_x)
    rows_Hh = _weights_on_host(h_px, height_px, float(step_y))
    columns_Ww = _weights_on_host(w_px, width_px, float(step_x))
    narrowed_3hW = (image_3hw.float() @ columns_Ww.T).round_()
    return (rows_Hh @ narrowed_3hW).round_().clamp_(0, 255).to(torch.uint8).numpy()


@lru_cache(maxsize=1024)  # crops of a data set share sizes; 1,024 matrices for 64 px take 30 MB
def _weights_on_host(size_px: int, resized_px: int, step: float) -> Tensor:
    return resampling_weights(size_px, torch.tensor(float(size_px)), resized_px, torch.tensor(step))


def resampling_weights(size_px: int, size: Tensor, resized_px: int, step: Tensor) -> Tensor:
    """Returns the resampling matrix of one axis, float [resized_px, size_px].

    Args:
        size_px: number of input pixels, symbolic under export.
        size: the same number as a float scalar, for arithmetic.
        resized_px: number of output pixels.
        step: distance of neighboring outputs in input pixels, float scalar.
    """
    margin = (resized_px - size / step) / 2
    outputs = torch.arange(resized_px, dtype=torch.float32, device=size.device)
    inputs = torch.arange(size_px, dtype=torch.float32, device=size.device) + 0.5
    centers = (outputs + 0.5 - margin) * step
    # The filter is wider than one pixel when shrinking, which keeps thin strokes from vanishing.
    width = step.clamp(min=1.0)
    triangle = 1 - (inputs[None, :] - centers[:, None]).abs() / width
    weights = (WEIGHT_SCALE * triangle.clamp(min=0)).round()
    inside = (centers >= 0) & (centers <= size)
    normalized = (WEIGHT_SCALE * weights / weights.sum(dim=1, keepdim=True).clamp(min=1)).round() / WEIGHT_SCALE
    return normalized * inside[:, None]
