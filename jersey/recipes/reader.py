"""The reader, a network for all numbers of one or two digits trained on synthetic crops, and fine-tuning from it."""

import fiddle as fdl

from jersey.callbacks.ema import EMA
from jersey.callbacks.freezing import FreezeBatchNorm
from jersey.config import experiment
from jersey.experiment import Experiment
from jersey.recipes import common
from jersey.synth.generate import ensure_synthetic
from jersey.training.optimizers import sgd
from jersey.training.schedules import one_cycle

SIZE_PX = 64
NUMBERS = ("00", *map(str, range(100)))


@experiment
def reader() -> fdl.Config[Experiment]:
    """Trains a ResNet-18 at 64 px on widely varied synthetic crops of all 101 numbers and illegible ones.

    python launch.py --exp=reader --fdl_set=data.generate.fonts=data/fonts
    """
    config = common.base()
    config.data.root = config.data.generated_root = "data/reader"
    config.data.generate = fdl.Partial(
        ensure_synthetic,
        numbers=NUMBERS,
        train=151_500,
        val=2_020,
        test=4_040,
        size_px=160,
        imbalance=1.0,
        seed=0,
        illegible=0.05,
        style="varied",
        fonts=None,
    )
    config.data.size_px = (SIZE_PX, SIZE_PX)
    config.data.batch_size = 256
    config.data.sampler_power = 0.0
    config.module.network.weights = None
    config.module.network.normalization = "per_image"
    config.module.optimizer.lr = 3e-3
    config.module.schedule = fdl.Partial(one_cycle, warmup_frac=0.2)
    config.module.augment = common.mild_augment()
    config.trainer.epochs = 8
    config.trainer.callbacks.ema = fdl.Config(EMA, half_life_epochs=0.15, every_steps=4)
    config.trainer.callbacks.early_stopping = None
    return config


@experiment
def resnet18_finetune() -> fdl.Config[Experiment]:
    """Fine-tunes the pretrained reader on your own crops at 64 px.

    python launch.py --exp=resnet18_finetune --fdl_set=root=/my/crops
    """
    config = common.base()
    config.data.size_px = (SIZE_PX, SIZE_PX)
    config.data.batch_size = 32
    config.module.network.weights = "reader"
    config.module.network.normalization = "per_image"
    # AdamW moves every weight by its learning rate, even where the loss is small; SGD moves it by the gradient.
    config.module.optimizer = fdl.Partial(sgd, lr=0.1, momentum=0.9, weight_decay=0.0)
    config.module.augment = common.mild_augment()
    config.trainer.epochs = 10
    config.trainer.callbacks.freeze_batch_norm = fdl.Config(FreezeBatchNorm)
    config.trainer.callbacks.ema = fdl.Config(EMA, half_life_epochs=3.0, ramp=False, every_steps=4)
    config.trainer.callbacks.early_stopping = None
    return config
