"""The ResNet-18 baseline on your own crops."""

import fiddle as fdl

from jersey.config import experiment
from jersey.experiment import Experiment
from jersey.recipes import common


@experiment
def resnet18_baseline() -> fdl.Config[Experiment]:
    """Fine-tunes a ResNet-18 with ImageNet weights at 224 px with AdamW at 1e-4; the baseline to compare with.

    python launch.py --exp=resnet18_baseline --fdl_set=root=/my/crops
    """
    return common.base()
