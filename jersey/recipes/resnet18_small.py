"""ResNet-18 from scratch on small crops.

"Measured" is test accuracy on the synthetic benchmark set after five epochs (`--fiddler=benchmark`): over all 43
numbers, and over the ten rarest. Results of several seeds are given as mean ± standard deviation.
"""

import fiddle as fdl

from jersey.callbacks.ema import EMA
from jersey.config import experiment
from jersey.experiment import Experiment
from jersey.recipes import common
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.schedules import one_cycle

SIZE_PX = 64


@experiment
def resnet18_small() -> fdl.Config[Experiment]:
    """Trains a ResNet-18 from scratch at 64 px: per-image normalization, compositional head, one cycle to 3e-3, EMA.

    The classes are balanced half by sampling and half by logit adjustment.

    python launch.py --exp=resnet18_small --fdl_set=root=/my/crops

    Measured with seeds 0, 1, 2: 87.5 ± 0.9 %; rare 85.3 ± 1.6 %; on eight unseen numbers 76.8 ± 2.5 %.
    """
    config = common.base()
    config.data.size_px = (SIZE_PX, SIZE_PX)
    config.module.network.weights = None
    config.module.network.normalization = "per_image"
    config.module.optimizer.lr = 3e-3
    config.module.schedule = fdl.Partial(one_cycle, warmup_frac=0.3)
    config.module.loss = fdl.Config(LogitAdjustedLoss, tau=0.5, label_smoothing=0.05)
    config.module.augment = common.mild_augment()
    config.trainer.callbacks.ema = fdl.Config(EMA, half_life_epochs=0.35, every_steps=4)
    return config
