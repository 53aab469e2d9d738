"""Grad-CAM: which places of a crop speak for a class (https://arxiv.org/abs/1610.02391).

Shapes: B crops, H W the network's input size, C channels and h w positions of a layer's output.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def grad_cam(network: nn.Module, layer: nn.Module, images_BCHW: Tensor, classes_B: Tensor) -> Tensor:
    """How much each place speaks for a class, float [B,H,W] in [0, 1]; all zero where none does.

    Works inside `torch.inference_mode` too, and leaves gradients, hooks and training mode as they were.

    Args:
        network: images to logits.
        layer: a part of it with an output [B,C,h,w], in practice the last convolution block.
        images_BCHW: what the network takes.
        classes_B: int64, the class to explain of each crop.
    """
    outputs: list[Tensor] = []

    def start_of_graph(_: nn.Module, __: object, output: Tensor) -> Tensor:
        outputs.append(output.detach().requires_grad_())  # so nothing before the layer is differentiated
        return outputs[-1]

    # This switches gradients on again, too. Inference tensors cannot take part in autograd; their clones can.
    with torch.inference_mode(False), _evaluating(network):
        hook = layer.register_forward_hook(start_of_graph)
        try:
            logits_BK = network.forward(
                images_BCHW.clone()
            )  # not network(): hooks would make a compiled one compile anew
        finally:
            hook.remove()
        scores_B = logits_BK.gather(1, classes_B.clone()[:, None])
        (gradients_BChw,) = torch.autograd.grad(scores_B.sum(), outputs)
    with torch.no_grad():
        weights_BC11 = gradients_BChw.mean(dim=(2, 3), keepdim=True)  # equation 1
        maps_B1hw = (weights_BC11 * outputs[0]).sum(dim=1, keepdim=True).relu()  # equation 2
        maps_BHW = F.interpolate(maps_B1hw, images_BCHW.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        return maps_BHW / maps_BHW.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps_BHW.dtype).tiny)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; each part gets its own mode back."""
    modes = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
