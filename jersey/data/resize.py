"""Bring crops of any size to the network's input size: the one resize of training, evaluation and ONNX.

Antialiased bilinear (triangle filter) resampling, as in Pillow and torch, written as two small matrix products. The
same lines run on the host and, traced with symbolic sizes, inside the ONNX graph, where they become MatMul nodes that
every runtime has. https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html

Weights are multiples of 1/65536, and each axis ends on whole pixels (as in Pillow), so a sum has 24 bits at most:
float32 holds it exactly, in whatever order a runtime adds. Sums that are off in the last place would now and then round
to another pixel, in one crop of four to fifteen, and move its logits by some 1e-4.

Shapes: B batch, C channels, h w size before, H W size after.
"""

from typing import Literal

import torch
from torch import Tensor

ResizeMode = Literal["stretch", "letterbox"]

PARTS = 2.0**16  # of one in the weights; 255 times as many are just below 2^24


def resize(images_BChw: Tensor, *, height_px: int, width_px: int, mode: ResizeMode = "stretch") -> Tensor:
    """Resizes uint8 images to uint8 [B,C,height_px,width_px]; those that have that size come back with the same values.

    "stretch" changes the aspect ratio; "letterbox" keeps it and centres the crop on black.
    """
    # Sizes as tensors: under export they are symbols, which float arithmetic on Python numbers would not survive.
    h_px = torch.full((), images_BChw.shape[-2], dtype=torch.float32, device=images_BChw.device)
    w_px = torch.full((), images_BChw.shape[-1], dtype=torch.float32, device=images_BChw.device)
    step_y, step_x = h_px / height_px, w_px / width_px
    if mode == "letterbox":
        step_y = step_x = torch.maximum(step_y, step_x)
    rows_Hh = resampling_weights(images_BChw.shape[-2], h_px, height_px, step_y)
    columns_Ww = resampling_weights(images_BChw.shape[-1], w_px, width_px, step_x)
    narrowed_BChW = (images_BChw.float() @ columns_Ww.T).round()
    return (rows_Hh @ narrowed_BChW).round().clamp(0, 255).to(torch.uint8)


def resampling_weights(size_px: int, size: Tensor, resized_px: int, step: Tensor) -> Tensor:
    """Weights [resized_px, size_px] that map one axis; `step` is the distance between outputs in input pixels."""
    margin = (resized_px - size / step) / 2
    outputs = torch.arange(resized_px, dtype=torch.float32, device=size.device)
    inputs = torch.arange(size_px, dtype=torch.float32, device=size.device) + 0.5
    centres = (outputs + 0.5 - margin) * step
    # Wider than one pixel when shrinking, which is what keeps thin strokes from vanishing.
    width = step.clamp(min=1.0)
    triangle = 1 - (inputs[None, :] - centres[:, None]).abs() / width
    weights = (PARTS * triangle.clamp(min=0)).round()
    inside = (centres >= 0) & (centres <= size)
    shares = (PARTS * weights / weights.sum(dim=1, keepdim=True).clamp(min=1)).round() / PARTS
    return shares * inside[:, None]
