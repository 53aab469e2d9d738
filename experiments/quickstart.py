"""The experiment for a first run, which needs nothing but this repository."""

import fiddle as fdl

from experiments import common
from jersey.config import experiment
from jersey.experiment import Experiment
from jersey.synth.generate import ensure_synthetic

NUMBERS = ("23", "0", "7", "00", "11", "4")


@experiment
def quickstart() -> fdl.Config[Experiment]:
    """Generates synthetic crops, then trains a ResNet-18 from scratch at 48 px on two CPU cores.

    python launch.py --exp=quickstart

    Measured: 94.8 % test top-1 on typefaces unseen in training, in 144 s on two cores of a Xeon at 2.8 GHz, seed 0.
    """
    config = common.base()
    config.data.root = "data/quickstart"
    config.data.generate = fdl.Partial(
        ensure_synthetic, numbers=NUMBERS, train=3400, val=300, test=600, size_px=64, imbalance=3.0, seed=0
    )
    config.data.size_px = (48, 48)
    config.data.batch_size = 32
    config.module.network.weights = None
    config.module.network.normalization = "per_image"
    config.module.optimizer.lr = 1e-3
    config.module.augment = common.mild_augment()
    config.trainer.epochs = 3
    config.trainer.callbacks.ema.decay = 0.97
    config.trainer.callbacks.early_stopping = None
    return config
