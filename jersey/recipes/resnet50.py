"""The ResNet-50 baseline on your own crops."""

import fiddle as fdl

from jersey.config import experiment
from jersey.experiment import Experiment
from jersey.recipes.resnet18 import resnet18_baseline


@experiment
def resnet50_baseline() -> fdl.Config[Experiment]:
    """Fine-tunes a ResNet-50 with ImageNet weights at 224 px with AdamW at 5e-5.

    python launch.py --exp=resnet50_baseline --fdl_set=root=/my/crops
    """
    config = resnet18_baseline()
    config.module.network.architecture = "resnet50"
    config.module.optimizer.lr = 5e-5
    return config
