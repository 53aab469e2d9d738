"""The LightningModule: one training step, one way to score a split, and what a checkpoint says about itself.

Logits are collected on the device and scored once at the end of an epoch, for all three splits alike. Callbacks
read `evaluations`, so nothing runs the network over a split a second time.

Shapes: B batch, N crops of the split, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from jersey.augment.base import Augment
from jersey.augment.mixing import MIXING, Mix
from jersey.core.distributed import all_gather_interleaved, rank_counters, rank_slice
from jersey.core.errors import UserError
from jersey.core.labels import SPLITS, Labels, SplitName
from jersey.core.seeding import derived_generator
from jersey.data.loader import Batch
from jersey.data.sampler import class_weights
from jersey.evaluation.metrics import Collector, Evaluation
from jersey.models.network import Network
from jersey.runs.state import RunState
from jersey.training.sam import SAM, accumulation_error

CompileMode = Literal["default", "reduce-overhead", "max-autotune"]


def log_exactly(module: L.LightningModule, scores: Mapping[str, float]) -> None:
    """Logs scores as tensors of double precision: Lightning would round Python's floats to single."""
    module.log_dict({name: torch.tensor(score, dtype=torch.float64) for name, score in scores.items()})


class JerseyModule(L.LightningModule):
    """Trains and scores a `Network`.

    Args:
        labels: the label map; its length is K.
        class_counts: train crops of each class.
        seed: of the augmentation.
        network: called with `labels`.
        optimizer: called with the network and `may_fuse`; see `jersey.training.optimizers`.
        schedule: called with the optimizer and `total_steps`, gives a per-step scheduler.
        loss: called with logits, labels (with `mix`: shares of labels) and class weights; see `jersey.training.losses`.
        augment: applied to training batches only; None for none.
        mix: mixes the crops of a training batch after augmentation; None for none. The train split then has a loss and
            no scores: a mixed crop is of no one number.
        sam: lets every optimizer step look uphill first; None for plain steps.
        class_weight_power: loss weights are `count^-class_weight_power`; 0 for none.
        compile_network: let torch.compile translate the network, in this mode of its; pays on a GPU and in long runs.
            None leaves the network as it is.
        allow_weights_and_sampler: tells `jersey.lint.checks` that weights and a balanced sampler at once are meant.

    Attributes:
        run_state: what the parts of the run tell each other.
        evaluations: the latest of each split that was scored.
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
        self.network = network(labels=labels)
        if compile_network:
            # In place: names in checkpoints stay, and copies (EMA, export) are not compiled.
            self.network.compile(mode=compile_network)
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        self.augment = augment
        self.mix = mix
        self.sam = sam
        self.register_buffer("class_weights_K", class_weights(class_counts, power=class_weight_power), persistent=False)
        self.evaluations: dict[str, Evaluation] = {}
        self._collectors = {split: Collector() for split in SPLITS}
        self._losses: list[Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images_BCHW, targets = self.prepare_batch(batch, batch_idx)
        logits_BK = self.network(images_BCHW)
        loss = self.loss(logits_BK, targets, self.class_weights_K)
        if self.sam is None or not self.sam.is_uphill:  # a batch's second pass is of no weights that stay
            self._losses.append(loss.detach())
            if self.mix is None:
                self._collectors["train"].add(logits_BK, batch)
        return loss

    def prepare_batch(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """What this epoch's training takes: images, and labels [B] or, with `mix`, shares of labels [B,K+1].

        It is the same at every call, as randomness is counted.
        """
        images_BCHW, labels_B = batch["images"], batch["labels"]
        if self.augment is not None:
            images_BCHW = self.augment(images_BCHW, self._generator(self.device, batch_idx))
        if self.mix is None:
            return images_BCHW, labels_B
        generator = self._generator(torch.device("cpu"), batch_idx, MIXING)
        return self.mix(images_BCHW, labels_B, generator, num_classes=len(self.labels))

    def _generator(self, device: torch.device, *counters: int) -> torch.Generator:
        # Each process has other crops, and draws other numbers for them.
        return derived_generator(device, self.seed, self.current_epoch, *counters, *rank_counters())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._collectors["val"].add(self._evaluate(batch), batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._collectors["test"].add(self._evaluate(batch), batch)

    def _evaluate(self, batch: Batch) -> Tensor:
        # In single precision, as the exported network computes: the score of an epoch is the score of its file.
        with torch.autocast(self.device.type, enabled=False):
            return self.network(batch["images"])

    @property
    def _epoch_losses(self) -> Tensor:
        return torch.stack([loss.to(self.device) for loss in self._losses])  # a checkpoint's come from the CPU

    def on_train_epoch_end(self) -> None:
        objective = self.trainer.strategy.reduce(self._epoch_losses.mean(), reduce_op="mean").item()
        self._losses.clear()
        # The training loss is what the optimizer saw (weights, smoothing); val and test have the plain one.
        scores = self._scores("train") if self.mix is None else {}
        log_exactly(self, scores | {"train/loss": objective})

    def on_validation_epoch_end(self) -> None:
        log_exactly(self, self._scores("val"))

    def on_test_epoch_end(self) -> None:
        log_exactly(self, self._scores("test"))

    def _scores(self, split: SplitName) -> dict[str, float]:
        self.evaluations[split] = self._collectors[split].evaluation()
        return {f"{split}/{name}": score for name, score in self.evaluations[split].metrics.items()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.sam is not None and (sentence := accumulation_error(self.trainer.accumulate_grad_batches)):
            raise UserError(sentence)
        plugin = self.trainer.precision_plugin
        # With a loss scale gradients are unscaled before they are clipped; a fused optimizer would do it after that.
        has_loss_scale = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer, scheduler = self.optimizer_and_schedule(steps, may_fuse=not has_loss_scale)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimizer_and_schedule(self, total_steps: int, *, may_fuse: bool = True) -> tuple[Optimizer, LRScheduler]:
        """As a run of `total_steps` optimizer steps has them; asks for no trainer."""
        optimizer = self.optimizer(self.network, may_fuse=may_fuse)
        return optimizer, self.schedule(optimizer, total_steps=total_steps)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """To a norm; Lightning's own refuses every fused optimizer under autocast, with or without a loss scale."""
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
            "labels": list(self.labels.names),
            "labels_sha256": self.labels.sha256,
            "scored_weights": self.run_state.eval_weights,
            "val": self.evaluations["val"].metrics if "val" in self.evaluations else {},
        }
        if self._losses:  # inside of an epoch
            checkpoint["jersey_epoch"] = {"losses": all_gather_interleaved(self._epoch_losses)}
            if train := self._collectors["train"]:
                checkpoint["jersey_epoch"]["train"] = train.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stored = Labels(tuple(checkpoint["jersey"]["labels"]))
        self.labels.require_same(stored, here="the data set", there="the checkpoint")
        if epoch := checkpoint.get("jersey_epoch"):
            self._losses = list(rank_slice(epoch["losses"]))
            if "train" in epoch:
                self._collectors["train"].load_state_dict(epoch["train"])
