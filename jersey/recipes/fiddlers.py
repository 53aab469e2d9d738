"""Changes that apply to any experiment, for `--fiddler`."""

import fiddle as fdl
from fiddle import selectors

from jersey.augment.mixing import Mix
from jersey.callbacks.ema import EMA
from jersey.config import fiddler
from jersey.experiment import Experiment
from jersey.models import heads
from jersey.synth.benchmark import ensure_benchmark
from jersey.training.losses import LogitAdjustedLoss


@fiddler
def smoke(config: fdl.Config[Experiment], batches: int = 2) -> None:
    """Trains for one tiny epoch, to check that everything runs."""
    config.trainer.epochs = 1
    config.trainer.limit_batches = batches
    config.data.batch_size = 8
    config.data.eval_batch_size = 8
    # In so few steps these have no effect, which would cause warnings.
    config.module.schedule.warmup_frac = 0.0
    config.trainer.callbacks.early_stopping = None
    selectors.select(config, EMA, check_nonempty=False).set(ramp=False)


@fiddler
def overfit_batch(config: fdl.Config[Experiment]) -> None:
    """Trains on the same unaugmented batch only: train/acc_top1 must reach 1, or training is broken."""
    config.data.overfit_batch = True
    config.module.augment = None
    selectors.select(config, Mix, check_nonempty=False).replace(None)  # mixed crops have no train/acc_top1
    config.module.loss.label_smoothing = 0.0
    config.trainer.callbacks.early_stopping = None


@fiddler
def cpu(config: fdl.Config[Experiment]) -> None:
    """Trains on the CPU even if there is a GPU."""
    config.trainer.accelerator = "cpu"


@fiddler
def bf16(config: fdl.Config[Experiment]) -> None:
    """Trains in bfloat16 autocast on any machine."""
    config.trainer.precision = "bf16-mixed"


@fiddler
def deterministic(config: fdl.Config[Experiment]) -> None:
    """Trains equal weights from equal seeds on a GPU too, but more slowly."""
    config.trainer.deterministic = True


@fiddler
def compile(config: fdl.Config[Experiment], mode: str = "default") -> None:
    """Compiles the network with torch.compile: the first step is slow, later ones are faster on a GPU."""
    config.module.compile_network = mode


@fiddler
def no_ema(config: fdl.Config[Experiment]) -> None:
    """Evaluates, saves and exports the raw weights instead of the EMA weights."""
    config.trainer.callbacks.ema = None


@fiddler
def from_scratch(config: fdl.Config[Experiment]) -> None:
    """Trains from random weights, which need no download."""
    config.module.network.weights = None


@fiddler
def class_weights(config: fdl.Config[Experiment], power: float = 0.5) -> None:
    """Balances the classes by weights in the loss instead of by sampling."""
    config.data.sampler_power = 0.0
    config.module.class_weight_power = power


@fiddler
def logit_adjustment(config: fdl.Config[Experiment], tau: float = 1.0) -> None:
    """Balances the classes by logit adjustment (with tau=1 the balanced softmax) instead of by sampling."""
    config.data.sampler_power = 0.0
    config.module.loss = fdl.Config(LogitAdjustedLoss, tau=tau, label_smoothing=config.module.loss.label_smoothing)


@fiddler
def linear_head(config: fdl.Config[Experiment]) -> None:
    """Treats each label as an independent class, for labels that are not numbers."""
    config.module.network.head = fdl.Partial(heads.linear_head)


@fiddler
def benchmark(config: fdl.Config[Experiment], epochs: int = 5) -> None:
    """Trains for a few epochs on the synthetic benchmark set, on which recipes are compared, instead of your crops."""
    config.data.root = config.data.generated_root = "data/benchmark"
    config.data.generate = fdl.Partial(ensure_benchmark, size_px=64, seed=0)
    config.trainer.epochs = epochs
    config.trainer.callbacks.early_stopping = None
