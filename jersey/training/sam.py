"""Sharpness-aware minimisation: the gradient is taken where the loss near the weights is highest.

Source: https://arxiv.org/abs/2010.01412. It wraps the closure of a step and not the optimizer, so any optimizer,
schedule and clipping go with it, and so does the loss scale of fp16: the way up depends on no gradient's length, and a
step that overflows is skipped as ever.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from jersey.core.errors import UserError

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
TINY = 1e-12  # against a division by a gradient of length 0


class SAM:
    """Two passes a step, so about twice its time.

    Args:
        rho: how far up, as the length of the step over all weights together; 0 is the optimizer alone, at the price of
            two passes.
    """

    def __init__(self, *, rho: float = 0.05) -> None:
        if rho < 0:
            raise UserError(f"module.sam.rho={rho} is a length and cannot be negative")
        self.rho = rho
        self.is_uphill = False

    def wrap_closure(self, network: nn.Module, closure: Callable[[], Any]) -> Callable[[], Any]:
        """A closure for the optimizer that leaves the gradients of the second pass at the weights as they were.

        The one it gets clears the gradients, computes the loss of one and the same batch, and its gradients.
        """

        def climb_and_look() -> Any:
            loss = closure()
            with self._ascend(network):
                closure()
            return loss

        return climb_and_look

    @contextmanager
    def _ascend(self, network: nn.Module) -> Iterator[None]:
        """Weights moved by rho along their gradient; they come back bit for bit, and no statistics are gathered."""
        weights = [weight for weight in network.parameters() if weight.grad is not None]
        tracking = [part for part in network.modules() if isinstance(part, BatchNorm) and part.track_running_stats]
        with torch.no_grad():
            kept = [weight.clone() for weight in weights]
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            scale = self.rho / (nn.utils.get_total_norm(gradients) + TINY)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.add_(gradient * scale)  # equation 2 of the paper
        _track(tracking, is_on=False)
        self.is_uphill = True
        try:
            yield
        finally:
            self.is_uphill = False
            _track(tracking, is_on=True)
            with torch.no_grad():
                for weight, value in zip(weights, kept, strict=True):
                    weight.copy_(value)


def _track(batch_norms: list[BatchNorm], *, is_on: bool) -> None:
    for each in batch_norms:
        each.track_running_stats = is_on


def accumulation_error(accumulate: int) -> str | None:
    """What is wrong with so many batches a step, as both passes must see the same; None where nothing is."""
    if accumulate <= 1:
        return None
    return (
        f"module.sam looks at one batch a step, and trainer.accumulate={accumulate} gathers several; set "
        "trainer.accumulate=1 or module.sam=None"
    )
