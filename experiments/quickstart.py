"""A first run that needs nothing but this repository."""

import fiddle as fdl

from experiments import common
from jersey.config import experiment
from jersey.experiment import Experiment
from jersey.synth.source import draw_unless_there

NUMBERS = ("8", "23", "0", "11", "00", "4", "32", "17", "6", "01", "9", "35")


@experiment
def quickstart() -> fdl.Config[Experiment]:
    """Draws its own crops, then trains a small-input ResNet-18 from scratch on two CPU cores.

    python launch.py --exp=quickstart
    """
    config = common.base()
    config.data.root = "data/quickstart"
    config.data.draw = fdl.Partial(
        draw_unless_there, numbers=NUMBERS, train=2000, val=480, test=600, size_px=64, imbalance=8.0, seed=0
    )
    config.data.size_px = (64, 64)
    config.module.network.weights = None
    config.module.optimizer.lr = 3e-3
    config.module.schedule.warmup_frac = 0.3
    config.trainer.callbacks.ema.decay = 0.98
    config.trainer.epochs = 5
    return config
