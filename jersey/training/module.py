"""The LightningModule: the training step, the evaluation of a split, and the metadata of a checkpoint.

The logits of each of the three splits are collected on the device and evaluated once, at the end of an epoch. Callbacks
read `evaluations`, so nothing runs the network over a split a second time.

Shapes: B batch, N crops of the split, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from jersey.augment.base import Augment
from jersey.augment.mixing import MIXING, Mix
from jersey.core.distributed import all_gather_interleaved, rank_counters, rank_slice
from jersey.core.errors import UserError
from jersey.core.labels import SPLITS, Labels, SplitName
from jersey.core.seeding import derived_generator, seed_global_generators
from jersey.data.loader import Batch
from jersey.data.sampler import class_weights
from jersey.evaluation.calibration import fit_temperature
from jersey.evaluation.metrics import Collector, Evaluation
from jersey.models.network import Network
from jersey.models.weights import versioned
from jersey.runs.checkpoints import CHECKPOINT_FORMAT
from jersey.runs.state import RunState
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.sam import SAM, accumulation_error

NETWORK = 2  # a counter beside `MIXING`, so that the network's random numbers differ from those of the mixing
CompileMode = Literal["default", "reduce-overhead", "max-autotune"]


def log_exactly(module: L.LightningModule, scores: Mapping[str, float]) -> None:
    """Logs scores by name as float64 tensors, because Lightning would round Python floats to single precision."""
    module.log_dict({name: torch.tensor(score, dtype=torch.float64) for name, score in scores.items()})


class JerseyModule(L.LightningModule):
    """Trains and evaluates a `Network`.

    Args:
        labels: label map of K classes.
        class_counts: number of train crops of each class.
        seed: seed of augmentation and mixing.
        network: factory, called with `labels`.
        optimizer: factory, called with the network and `may_fuse`; see `jersey.training.optimizers`.
        schedule: factory of per-step schedulers, called with the optimizer and `total_steps`.
        loss: module that is called with logits, targets and class weights; see `jersey.training.losses`.
        augment: augmentation of training batches; None for none.
        mix: mixing of the crops of a training batch after augmentation; None for none. Mixed crops have no single
            label, so the train split then has a loss and no scores.
        sam: sharpness-aware minimization of every optimizer step; None for plain steps.
        class_weight_power: exponent p of the loss weights `count^-p`; 0 for equal weights.
        compile_network: mode of torch.compile, which pays off on a GPU and in long runs; None does not compile.
        allow_weights_and_sampler: whether loss weights beside a balanced sampler are intended (`jersey.lint.checks`).

    Attributes:
        run_state: state that the parts of the run share.
        evaluations: latest evaluation of each split.
        temperature: temperature that the latest validation fitted, with which every split is evaluated.
    """

    class_weights_K: Tensor

    def __init__(
        self,
        *,
        labels: Labels,
        class_counts: Sequence[int],
        seed: int,
        network: Callable[..., Network],
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        loss: nn.Module,
        augment: Augment | None = None,
        mix: Mix | None = None,
        sam: SAM | None = None,
        class_weight_power: float = 0.0,
        compile_network: CompileMode | None = None,
        allow_weights_and_sampler: bool = False,
    ) -> None:
        super().__init__()
        self.run_state = RunState()
        self.labels = labels
        self.seed = seed
        self.network_factory = network
        self.network = network(labels=labels)
        if compile_network:
            # Compiling in place keeps the names in checkpoints, and copies (EMA, export) are not compiled.
            self.network.compile(mode=compile_network)
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        if isinstance(loss, LogitAdjustedLoss):
            loss.set_class_counts(class_counts)
        self.augment = augment
        self.mix = mix
        self.sam = sam
        self.register_buffer("class_weights_K", class_weights(class_counts, power=class_weight_power), persistent=False)
        self.evaluations: dict[str, Evaluation] = {}
        self.temperature = 1.0
        self._collectors = {split: Collector() for split in SPLITS}
        self._losses: list[Tensor] = []

    @property
    def log_prior_K(self) -> Tensor:
        """The `LogitAdjustedLoss.log_prior_K` of the loss; zeros for another loss."""
        if isinstance(self.loss, LogitAdjustedLoss):
            return self.loss.log_prior_K
        return torch.zeros_like(self.class_weights_K)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images_BCHW, targets = self.prepare_batch(batch, batch_idx)
        # For dropout and stochastic depth, which some backbones have; both passes of SAM drop the same units.
        seed_global_generators(self.seed, self.current_epoch, batch_idx, NETWORK, *rank_counters())
        logits_BK = self.network(images_BCHW)
        loss = self.loss(logits_BK, targets, self.class_weights_K)
        if self.sam is None or not self.sam.in_ascent_pass:  # the ascent pass uses temporary weights
            self._losses.append(loss.detach())
            if self.mix is None:
                self._collectors["train"].add(logits_BK, batch)
        return loss

    def prepare_batch(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Augments and mixes a batch. Repeated calls return equal tensors, as the seed is derived from the index.

        Args:
            batch: batch on the device.
            batch_idx: index of the batch in the current epoch.

        Returns:
            The images, [B, 3, H, W], and the targets: class indices [B], or with `mix` fractions of labels [B, K + 1].
        """
        images_BCHW, labels_B = batch["images"], batch["labels"]
        if self.augment is not None:
            images_BCHW = self.augment(images_BCHW, self._generator(self.device, batch_idx))
        if self.mix is None:
            return images_BCHW, labels_B
        generator = self._generator(torch.device("cpu"), batch_idx, MIXING)
        return self.mix(images_BCHW, labels_B, generator, num_classes=len(self.labels))

    def _generator(self, device: torch.device, *counters: int) -> torch.Generator:
        # Each process has its own crops and its own random numbers.
        return derived_generator(device, self.seed, self.current_epoch, *counters, *rank_counters())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._collectors["val"].add(self._evaluate(batch), batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._collectors["test"].add(self._evaluate(batch), batch)

    def _evaluate(self, batch: Batch) -> Tensor:
        # The exported network computes in single precision, so this makes an epoch's score that of its ONNX file.
        with torch.autocast(self.device.type, enabled=False):
            return self.network(batch["images"])

    @property
    def _epoch_losses(self) -> Tensor:
        return torch.stack([loss.to(self.device) for loss in self._losses])  # losses of a checkpoint are on the CPU

    def on_train_epoch_end(self) -> None:
        objective = self.trainer.strategy.reduce(self._epoch_losses.mean(), reduce_op="mean").item()
        self._losses.clear()
        # The training loss is the optimizer's objective (weights, smoothing, logit adjustment); val and test have plain
        # cross entropy.
        scores = self._scores("train") if self.mix is None else {}
        log_exactly(self, scores | {"train/loss": objective})

    def on_validation_epoch_end(self) -> None:
        scores = self._scores("val")
        if self.trainer.state.fn == TrainerFn.FITTING:  # another validation repeats an epoch that is already logged
            log_exactly(self, scores)

    def on_test_epoch_end(self) -> None:
        log_exactly(self, self._scores("test"))

    def _scores(self, split: SplitName) -> dict[str, float]:
        evaluation = self._collectors[split].evaluation()
        if split == "val":
            self.temperature = fit_temperature(evaluation.logits_NK.numpy(), evaluation.labels_N.numpy())
        self.evaluations[split] = replace(evaluation, temperature=self.temperature)
        return {f"{split}/{name}": score for name, score in self.evaluations[split].metrics.items()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.sam is not None and (error := accumulation_error(self.trainer.accumulate_grad_batches)):
            raise UserError(error)
        plugin = self.trainer.precision_plugin
        # With a loss scale, gradients are unscaled before clipping; a fused optimizer would unscale them afterwards.
        has_loss_scale = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer, scheduler = self.optimizer_and_schedule(steps, may_fuse=not has_loss_scale)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimizer_and_schedule(self, total_steps: int, *, may_fuse: bool = True) -> tuple[Optimizer, LRScheduler]:
        """Builds the optimizer and its schedule, without a trainer.

        Args:
            total_steps: optimizer steps of the whole run.
            may_fuse: whether one kernel may update all weights.
        """
        optimizer = self.optimizer(self.network, may_fuse=may_fuse)
        return optimizer, self.schedule(optimizer, total_steps=total_steps)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips the norm of all gradients.

        Lightning's method rejects fused optimizers under autocast, even without a loss scale.
        """
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        if self.sam is not None and optimizer_closure is not None:
            optimizer_closure = self.sam.wrap_closure(self.network, optimizer_closure)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["jersey"] = {
            "format": CHECKPOINT_FORMAT,
            "labels": list(self.labels.names),
            "labels_sha256": self.labels.sha256,
            "network": self.network.settings,
            "size_px": list(self.trainer.datamodule.size_px),  # type: ignore[attr-defined]  # Lightning sets it
            "eval_weights": self.run_state.eval_weights,
            "val": self.evaluations["val"].metrics if "val" in self.evaluations else {},
        }
        if self._losses:  # the checkpoint is inside an epoch
            checkpoint["jersey_epoch"] = {"losses": all_gather_interleaved(self._epoch_losses)}
            if train := self._collectors["train"]:
                checkpoint["jersey_epoch"]["train"] = train.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stored = Labels(tuple(checkpoint["jersey"]["labels"]))
        self.labels.require_same(stored, here="the data set", there="the checkpoint")
        checkpoint["state_dict"] = versioned(checkpoint["state_dict"], self)
        if epoch := checkpoint.get("jersey_epoch"):
            self._losses = list(rank_slice(epoch["losses"]))
            if "train" in epoch:
                self._collectors["train"].load_state_dict(epoch["train"])
