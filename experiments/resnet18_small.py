"""ResNet-18 from scratch on small crops, and what each of its ingredients brings.

"Seen" are shares of the test crops of the drawn benchmark set after five epochs (`--fiddler=benchmark`): of all 43
numbers, and of the ten rarest. Several seeds are told as mean and standard deviation; see BUILD_NOTES.md.
"""

import fiddle as fdl
from torchvision.transforms import v2

from experiments import common
from jersey.augment.base import Augment
from jersey.augment.per_sample import PerSample
from jersey.callbacks.ema import EMA
from jersey.config import experiment
from jersey.data.supplement import SyntheticSupplement
from jersey.experiment import Experiment
from jersey.models.heads import linear_head
from jersey.training.schedules import one_cycle, warmup_cosine

SIZE_PX = 64


@experiment
def resnet18_small() -> fdl.Config[Experiment]:
    """ResNet-18 from scratch at 64 px: each crop's own statistics, compositional head, balance, one cycle to 3e-3, EMA.

    python launch.py --exp=resnet18_small --fdl_set=root=/my/crops

    Seen with seeds 0, 1, 2: 83.8 ± 0.1 %; rare 76.2 ± 1.0 %; of eight unseen numbers 80.9 ± 3.3 %.
    """
    config = common.base()
    config.data.size_px = (SIZE_PX, SIZE_PX)
    config.module.network.weights = None
    config.module.network.normalization = "per_image"
    config.module.optimizer.lr = 3e-3
    config.module.schedule = fdl.Partial(one_cycle, warmup_frac=0.3)
    config.module.augment = common.mild_augment()
    config.trainer.callbacks.ema = fdl.Config(EMA, half_life_epochs=0.35, every_steps=4)
    return config


@experiment
def resnet18_small_plain() -> fdl.Config[Experiment]:
    """The usual recipe: cross entropy, uniform sampling, AdamW 1e-3 with a cosine, torchvision's augmentation.

    python launch.py --exp=resnet18_small_plain --fiddler=benchmark

    Seen with seeds 0, 1, 2: 41.2 ± 2.8 %; rare 1.5 ± 1.7 %.
    """
    config = resnet18_small()
    config.data.sampler_power = 0.0
    config.module.network.normalization = "imagenet"
    config.module.network.head = fdl.Partial(linear_head)
    config.module.optimizer.lr = 1e-3
    config.module.schedule = fdl.Partial(warmup_cosine, warmup_frac=0.2)
    config.module.loss.label_smoothing = 0.0
    config.module.augment = plain_augment()
    config.trainer.callbacks.ema = None
    return config


def plain_augment() -> fdl.Config[Augment]:
    """What most references take, with milder crops; they still destroy a label in twenty.

    `jersey.evaluation.label_preservation` measures that.
    """
    return fdl.Config(
        Augment,
        crop=fdl.Config(PerSample, fdl.Config(v2.RandomResizedCrop, size=SIZE_PX, scale=(0.6, 1.0))),
        jitter=fdl.Config(PerSample, fdl.Config(v2.ColorJitter, brightness=0.3, contrast=0.3, saturation=0.3)),
    )


@experiment
def resnet18_small_imagenet_statistics() -> fdl.Config[Experiment]:
    """With the mean and deviation of ImageNet for every crop, instead of the crop's own.

    python launch.py --exp=resnet18_small_imagenet_statistics --fiddler=benchmark

    Seen with seed 0: 62.3 %; rare 47.8 %.
    """
    config = resnet18_small()
    config.module.network.normalization = "imagenet"
    return config


@experiment
def resnet18_small_no_ema() -> fdl.Config[Experiment]:
    """Without averaging the weights.

    python launch.py --exp=resnet18_small_no_ema --fiddler=benchmark

    Seen with seed 0, and in the raw weights of `resnet18_small` with seeds 1, 2: 84.2 ± 0.3 %; rare 76.1 ± 1.7 %.
    """
    config = resnet18_small()
    config.trainer.callbacks.ema = None
    return config


@experiment
def resnet18_small_no_balance() -> fdl.Config[Experiment]:
    """With every crop drawn equally often.

    python launch.py --exp=resnet18_small_no_balance --fiddler=benchmark

    Seen with seed 0: 63.6 %; rare 34.5 %.
    """
    config = resnet18_small()
    config.data.sampler_power = 0.0
    return config


@experiment
def resnet18_small_linear_head() -> fdl.Config[Experiment]:
    """With a holistic head: numbers are classes that share nothing.

    python launch.py --exp=resnet18_small_linear_head --fiddler=benchmark

    Seen with seeds 0, 1, 2: 83.2 ± 0.9 %; rare 72.4 ± 1.4 %; of unseen numbers none, by construction.
    """
    config = resnet18_small()
    config.module.network.head = fdl.Partial(linear_head)
    return config


@experiment
def resnet18_small_plain_augment() -> fdl.Config[Experiment]:
    """With the augmentation that most references take.

    python launch.py --exp=resnet18_small_plain_augment --fiddler=benchmark

    Seen with seeds 0, 1, 2: 82.0 ± 1.4 %; rare 74.2 ± 2.0 %.
    """
    config = resnet18_small()
    config.module.augment = plain_augment()
    return config


@experiment
def resnet18_small_extra_data() -> fdl.Config[Experiment]:
    """With drawn crops for numbers that have fewer than 60.

    python launch.py --exp=resnet18_small_extra_data --fiddler=benchmark

    Seen with seed 0: 91.9 %; rare 93.0 %. The benchmark set is drawn in the same way, so real crops will gain less.
    """
    config = resnet18_small()
    config.data.supplement = fdl.Config(
        SyntheticSupplement, folder="data/supplement", min_per_class=60, size_px=SIZE_PX, seed=2
    )
    return config
