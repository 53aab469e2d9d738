"""Changes that cut across experiments, for `--fiddler`."""

import fiddle as fdl
from fiddle import selectors

from jersey.augment.mixing import Mix
from jersey.config import fiddler
from jersey.experiment import Experiment
from jersey.models import heads
from jersey.synth.benchmark import ensure_benchmark


@fiddler
def smoke(config: fdl.Config[Experiment], batches: int = 2) -> None:
    """One tiny epoch, to see that everything runs."""
    config.trainer.epochs = 1
    config.trainer.limit_batches = batches
    config.data.batch_size = 8
    config.data.eval_batch_size = 8


@fiddler
def overfit_batch(config: fdl.Config[Experiment]) -> None:
    """Trains on one batch again and again, unchanged: train/acc_top1 must reach 1, or learning itself is broken."""
    config.data.overfit_batch = True
    config.module.augment = None
    selectors.select(config, Mix, check_nonempty=False).replace(None)  # mixed crops have no train/acc_top1
    config.module.loss.label_smoothing = 0.0
    config.trainer.callbacks.early_stopping = None


@fiddler
def cpu(config: fdl.Config[Experiment]) -> None:
    """Leaves a GPU alone."""
    config.trainer.accelerator = "cpu"


@fiddler
def bf16(config: fdl.Config[Experiment]) -> None:
    """Trains in bfloat16 autocast, whatever the machine."""
    config.trainer.precision = "bf16-mixed"


@fiddler
def deterministic(config: fdl.Config[Experiment]) -> None:
    """The same weights from the same seed on a GPU too; slower."""
    config.trainer.deterministic = True


@fiddler
def compile(config: fdl.Config[Experiment], mode: str = "default") -> None:
    """Lets torch.compile translate the network: a slow first step, then faster ones on a GPU."""
    config.module.compile_network = mode


@fiddler
def no_ema(config: fdl.Config[Experiment]) -> None:
    """Validates, keeps and exports the raw weights."""
    config.trainer.callbacks.ema = None


@fiddler
def from_scratch(config: fdl.Config[Experiment]) -> None:
    """Starts from random weights, which need no download."""
    config.module.network.weights = None


@fiddler
def class_weights(config: fdl.Config[Experiment], power: float = 0.5) -> None:
    """Balances the classes by weights in the loss instead of by sampling."""
    config.data.sampler_power = 0.0
    config.module.class_weight_power = power


@fiddler
def linear_head(config: fdl.Config[Experiment]) -> None:
    """Takes labels as classes that share nothing, for labels that are no numbers."""
    config.module.network.head = fdl.Partial(heads.linear_head)


@fiddler
def benchmark(config: fdl.Config[Experiment], epochs: int = 5) -> None:
    """Trains for few epochs on the drawn set that recipes are compared on, in place of your crops."""
    config.data.root = "data/benchmark"
    config.data.generate = fdl.Partial(ensure_benchmark, size_px=64, seed=0)
    config.trainer.epochs = epochs
    config.trainer.callbacks.early_stopping = None
