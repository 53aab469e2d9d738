"""Learning-rate schedules, stepped after every optimizer step, in fractions of the run.

Fractions survive a change of epochs, batch size or data, where a number of steps would go stale.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(
    optimizer: Optimizer, *, total_steps: int, warmup_frac: float = 0.05, final_frac: float = 0.0
) -> LambdaLR:
    """Linear warm-up to the peak, then half a cosine (https://arxiv.org/abs/1608.03983) that ends with the last step.

    Args:
        optimizer: its groups' learning rates are the peaks.
        total_steps: optimizer steps of the whole run.
        warmup_frac: share of the steps that warm up, in [0, 1]; the last of them, or else the first step, is the peak.
        final_frac: last learning rate as a share of the peak, where steps are left after the peak.
    """
    warmup_steps = max(round(warmup_frac * total_steps), 1)

    def scale(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = min((step + 1 - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
        return final_frac + (1 - final_frac) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, scale)
