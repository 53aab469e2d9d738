"""Grad-CAM: which positions of a crop support a class (https://arxiv.org/abs/1610.02391), and of which layer.

Shapes: B crops, H W the network's input size, C channels and h w positions of a layer's output.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def grad_cam(network: nn.Module, layer: nn.Module, images_BCHW: Tensor, classes_B: Tensor) -> Tensor:
    """Returns how much each position supports a class, float [B,H,W] in [0, 1]; all zero if no position does.

    The function also works inside `torch.inference_mode`, and does not change gradients, hooks or training mode.

    Args:
        network: module from images to logits.
        layer: submodule with an output [B,C,h,w], in practice the last convolution block.
        images_BCHW: input of the network, usually uint8 [B, 3, H, W].
        classes_B: class to explain of each crop, int64.
    """
    outputs: list[Tensor] = []

    def start_of_graph(_: nn.Module, __: object, output: Tensor) -> Tensor:
        outputs.append(output.detach().requires_grad_())  # the backward pass then ends at the layer
        return outputs[-1]

    # Leaving inference mode also enables gradients. Autograd rejects inference tensors, but not their clones.
    with torch.inference_mode(False), _evaluating(network):
        hook = layer.register_forward_hook(start_of_graph)
        try:
            # Not network(): the hook would make a compiled network recompile.
            logits_BK = network.forward(images_BCHW.clone())
        finally:
            hook.remove()
        scores_B = logits_BK.gather(1, classes_B.clone()[:, None])
        (gradients_BChw,) = torch.autograd.grad(scores_B.sum(), outputs)
    with torch.no_grad():
        weights_BC11 = gradients_BChw.mean(dim=(2, 3), keepdim=True)  # equation 1
        maps_B1hw = (weights_BC11 * outputs[0]).sum(dim=1, keepdim=True).relu()  # equation 2
        maps_BHW = F.interpolate(maps_B1hw, images_BCHW.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        return maps_BHW / maps_BHW.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps_BHW.dtype).tiny)


MIN_POSITIONS = 6
"""The minimum height and width of a Grad-CAM map; fewer positions do not show which digit is the evidence."""


def layer_for(backbone: nn.Module, images_BCHW: Tensor) -> str | None:
    """Returns the name of the last layer with at least `MIN_POSITIONS` positions a side, else of that with the most.

    A layer is a submodule that is used once and whose output is [B,C,h,w], with sides in proportion to those of the
    crops. Blocks and stages take precedence over their parts: the first convolutions of the next stage have as many
    positions. The first eighth of the submodules, in the order of their computation, is left out, because the stem
    recognizes no digits.

    Args:
        backbone: module from images to features.
        images_BCHW: its input, float; one crop is enough.

    Returns:
        Name of the submodule; None if the second half of the submodules has no such output, as in a vision transformer.
    """
    height, width = images_BCHW.shape[2:]
    shapes: list[tuple[str, int]] = []  # of each submodule the number of positions along the shorter side, or 0

    def record(name: str, output: object) -> None:
        sides = tuple(output.shape[2:]) if isinstance(output, Tensor) and output.ndim == 4 else (0, 0)
        is_map = abs(sides[0] * width - sides[1] * height) < max(height, width)  # rounded up at most
        shapes.append((name, min(sides) if is_map else 0))

    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: record(name, output))
        for name, module in backbone.named_modules()
        if name
    ]
    try:
        with torch.no_grad(), _evaluating(backbone):
            backbone.forward(images_BCHW)
    finally:
        for hook in hooks:
            hook.remove()
    if not any(positions for _, positions in shapes[len(shapes) // 2 :]):
        return None
    uses = Counter(name for name, _ in shapes)
    late = [(name, positions) for name, positions in shapes[len(shapes) // 8 :] if uses[name] == 1]
    most = max(positions for _, positions in late)
    enough = [name for name, positions in late if positions >= min(most, MIN_POSITIONS)]
    blocks = [name for name in enough if any(backbone.get_submodule(name).children())]
    return (blocks or enough)[-1]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Switches to evaluation mode, and restores the mode of each submodule at the end."""
    modes = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
