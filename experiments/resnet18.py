"""ResNet-18 on your own crops."""

import fiddle as fdl

from experiments import common
from jersey.config import experiment
from jersey.experiment import Experiment


@experiment
def resnet18_baseline() -> fdl.Config[Experiment]:
    """ResNet-18 from ImageNet weights at 224 px, AdamW at 1e-4.

    The one to compare with.

        python launch.py --exp=resnet18_baseline --fdl_set=root=/my/crops
    """
    return common.base()
