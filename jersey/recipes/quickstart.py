"""The experiment for a first run, which needs nothing but this repository."""

import fiddle as fdl

from jersey.config import experiment
from jersey.experiment import Experiment
from jersey.recipes.reader import resnet18_finetune
from jersey.synth.generate import ensure_synthetic

NUMBERS = ("23", "0", "7", "00", "11", "4")


@experiment
def quickstart() -> fdl.Config[Experiment]:
    """Generates synthetic crops, then fine-tunes the pretrained reader on them.

    python launch.py --exp=quickstart
    """
    config = resnet18_finetune()
    config.data.root = config.data.generated_root = "data/quickstart"
    config.data.generate = fdl.Partial(
        ensure_synthetic, numbers=NUMBERS, train=600, val=300, test=600, size_px=64, imbalance=3.0, seed=0
    )
    config.trainer.epochs = 3
    return config
