"""Histograms of weights and confidences, one per epoch, for Aim.

Shapes: N values, B bins.
"""

import numpy as np
import torch
from torch import Tensor, nn

from jersey.callbacks.base import AfterEvaluation, EvaluatedSplit

BINS = 64


class Distributions(AfterEvaluation):
    """Adds histograms to Aim: `weights/<part>` of each part of the network, and `confidence` of the validation crops.

    After a validation the weights may be the raw ones, while the confidences are those of the EMA weights.
    """

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        if split.subset != "val" or not split.is_in_fit:
            return
        self._track(split, "confidence", split.ranked.confidence_N, "val", edges=(0.0, 1.0))
        for name, part in parts_of(split.module.network).items():
            weights_N = torch.cat([each.detach().float().flatten() for each in part.parameters()])
            self._track(split, f"weights/{name}", weights_N, None)

    def _track(
        self,
        split: EvaluatedSplit,
        name: str,
        values_N: Tensor,
        subset: str | None,
        edges: tuple[float, float] | None = None,
    ) -> None:
        low, high = edges or tuple(float(edge) for edge in torch.aminmax(values_N))
        if not np.isfinite([low, high]).all():
            return  # the network has diverged, which `StopOnNonFinite` reports
        high = max(high, low + 1e-6)  # equal weights, such as initial biases
        counts_B = torch.histc(values_N.float(), BINS, low, high).long().cpu().numpy()
        where = {"step": max(split.trainer.global_step - 1, 0), "epoch": split.trainer.current_epoch}
        split.module.run_state.log_distribution(name, counts_B, low=low, high=high, subset=subset, **where)


def parts_of(network: nn.Module) -> dict[str, nn.Module]:
    """Returns the direct parts of the backbone and of the network's other submodules that have weights, by name."""
    parts = dict(network.named_children())
    parts |= {f"backbone.{name}": part for name, part in parts.pop("backbone").named_children()}
    return {name: part for name, part in parts.items() if any(True for _ in part.parameters())}
