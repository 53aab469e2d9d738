"""Sharpness-aware minimization: the gradient is taken where the loss in a neighborhood of the weights is highest.

Source: https://arxiv.org/abs/2010.01412. `SAM` wraps the closure of a step instead of the optimizer, so it works with
any optimizer, schedule and clipping. It also works with the loss scale of fp16: the ascent step has the same length at
any scale, and a step that overflows is skipped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from jersey.core.errors import UserError

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
EPS = 1e-12  # avoids division by zero for a gradient of norm 0


class SAM:
    """Computes the gradient of each optimizer step in two passes, which take about twice the time.

    Args:
        rho: L2 norm of the ascent step over all weights, at least 0; 0 equals the plain optimizer.

    Attributes:
        in_ascent_pass: whether the weights are those after the ascent step, which are temporary.

    Raises:
        UserError: rho is negative.
    """

    def __init__(self, *, rho: float = 0.05) -> None:
        if rho < 0:
            raise UserError(f"module.sam.rho={rho} is a norm and cannot be negative; give 0 or more")
        self.rho = rho
        self.in_ascent_pass = False

    def wrap_closure(self, network: nn.Module, closure: Callable[[], Any]) -> Callable[[], Any]:
        """Returns a closure for the optimizer that computes the gradients after the ascent step.

        It returns the loss before that step, and restores the weights.

        Args:
            network: network whose weights are moved.
            closure: function that clears the gradients, computes the loss of one fixed batch and its gradients, and
                returns the loss.
        """

        def two_pass_closure() -> Any:
            loss = closure()
            with self._ascend(network):
                closure()
            return loss

        return two_pass_closure

    @contextmanager
    def _ascend(self, network: nn.Module) -> Iterator[None]:
        """Moves the weights by rho along their gradient, then restores them exactly; batch statistics do not change."""
        weights = [weight for weight in network.parameters() if weight.grad is not None]
        batch_norms = [part for part in network.modules() if isinstance(part, BatchNorm) and part.track_running_stats]
        with torch.no_grad():
            saved = [weight.clone() for weight in weights]
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            scale = self.rho / (nn.utils.get_total_norm(gradients) + EPS)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.add_(gradient * scale)  # equation 2 of the paper
        _set_tracking(batch_norms, is_on=False)
        self.in_ascent_pass = True
        try:
            yield
        finally:
            self.in_ascent_pass = False
            _set_tracking(batch_norms, is_on=True)
            with torch.no_grad():
                for weight, value in zip(weights, saved, strict=True):
                    weight.copy_(value)


def _set_tracking(batch_norms: list[BatchNorm], *, is_on: bool) -> None:
    for each in batch_norms:
        each.track_running_stats = is_on


def accumulation_error(accumulate: int) -> str | None:
    """Returns an error for more than one batch per optimizer step, else None; both passes need the same batch."""
    if accumulate <= 1:
        return None
    return (
        f"module.sam takes one batch per step, and trainer.accumulate={accumulate} accumulates several; set "
        "trainer.accumulate=1 or module.sam=None"
    )
