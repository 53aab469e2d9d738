"""Exponential moving average of weights and buffers; validation, "best" and export speak of the average.

Lightning's `WeightAveraging` swaps the weights for validation and keeps both kinds in each checkpoint; this adds a
decay ramp and foreach kernels. The average is a Polyak average: https://arxiv.org/abs/1706.02677, or
https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage for the ramp.
"""

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Averages the weights after every optimizer step.

    Args:
        decay: share of the old average that stays at each step, once the ramp is over. The half-life is
            log(0.5) / log(decay) steps: 34 at 0.98, 693 at 0.999. With 3,000 crops and batches of 64 an epoch
            has 46 steps, so 0.9999 would still hold the initial weights at the end.
    """

    def __init__(self, *, decay: float) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=self._average)
        self.decay = decay

    def decay_at(self, step: int) -> float:
        """The decay of optimizer step 0, 1, ...: small at first, so that the random start is forgotten quickly."""
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def _average(self, averages: list[Tensor], currents: list[Tensor], _: object) -> None:
        # The base class records the step after each update and restores it on resume, which keeps the ramp exact.
        decay = self.decay_at(self._latest_update_step)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, 1 - decay)
        else:  # batch counters
            torch._foreach_copy_(averages, currents)
