"""Changes that cut across experiments, for `--fiddler`."""

import fiddle as fdl

from jersey.config import fiddler
from jersey.experiment import Experiment


@fiddler
def smoke(config: fdl.Config[Experiment]) -> None:
    """One tiny epoch, to see that everything runs."""
    config.trainer.epochs = 1
    config.trainer.limit_batches = 2
    config.data.batch_size = 8
    config.data.eval_batch_size = 8


@fiddler
def cpu(config: fdl.Config[Experiment]) -> None:
    """Leaves a GPU alone."""
    config.trainer.accelerator = "cpu"


@fiddler
def deterministic(config: fdl.Config[Experiment]) -> None:
    """The same weights from the same seed on a GPU too; slower."""
    config.trainer.deterministic = True


@fiddler
def no_ema(config: fdl.Config[Experiment]) -> None:
    """Validates, keeps and exports the raw weights."""
    config.trainer.callbacks.ema = None


@fiddler
def compiled(config: fdl.Config[Experiment]) -> None:
    """Lets torch.compile translate the network: a slow first step, then faster ones on a GPU."""
    config.module.compile_network = True
