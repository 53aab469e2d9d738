"""The shared parts of callbacks: the hook after an evaluation, copies to the host, and the places of images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch import Tensor

from jersey.core.atomic import atomic_write
from jersey.core.labels import SplitName
from jersey.core.tables import write_csv
from jersey.data.datamodule import JerseyDataModule
from jersey.data.split import Paths, relative_name
from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.ranked import RankedPredictions
from jersey.training.module import JerseyModule


@dataclass(frozen=True)
class HostCopy:
    """A tensor on its way from the device to the host, for which no step waits.

    Attributes:
        value: tensor on the host, valid after its arrival.
        arrival: event of its arrival; None if it was computed on the host.
    """

    value: Tensor
    arrival: torch.cuda.Event | None

    @classmethod
    def of(cls, tensor: Tensor) -> "HostCopy":
        """Starts the copy of a tensor."""
        tensor = tensor.detach()
        if not tensor.is_cuda:
            return cls(tensor, None)
        copied = torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        return cls(copied, arrival)

    @property
    def has_arrived(self) -> bool:
        """Whether the value is valid."""
        return self.arrival is None or self.arrival.query()

    def wait(self) -> None:
        """Waits for the arrival."""
        if self.arrival is not None:
            self.arrival.synchronize()


@dataclass(frozen=True)
class EvaluatedSplit:
    """A split at a point of the run: its evaluation, its crops, and the places for tables and images of it.

    After a validation the module may hold the raw weights again, while the logits came from the EMA weights.

    Attributes:
        trainer: trainer, which knows the data and the run folder.
        module: module, which holds the evaluations.
        subset: name of the split; "train" may have no evaluation.
    """

    trainer: Trainer
    module: JerseyModule
    subset: SplitName

    @property
    def evaluation(self) -> Evaluation:
        """The latest evaluation of the split."""
        return self.module.evaluations[self.subset]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of the classes, in order."""
        return self.module.labels.names

    @property
    def ranked(self) -> RankedPredictions:
        """The predictions of the evaluation, ranked by confidence."""
        return RankedPredictions(self.evaluation, self.names)

    @property
    def paths(self) -> Paths:
        """The file of each crop of the split."""
        return data_of(self.trainer).splits[self.subset].paths

    def file(self, row: int) -> str:
        """Returns the path of a row of the split relative to the data root, as every table names it."""
        return relative_name(self.paths[row], data_of(self.trainer).root)

    @property
    def images_NCHW(self) -> Tensor:
        """The decoded and resized crops of the split, uint8."""
        return data_of(self.trainer).decoded[self.subset].images_NCHW

    @property
    def title(self) -> str:
        """The title of an image: "val, epoch 1 of 30" during fit, else "test"."""
        epoch, epochs = self.trainer.current_epoch + 1, self.trainer.max_epochs
        return f"{self.subset}, epoch {epoch} of {epochs}" if self.is_in_fit else self.subset

    @property
    def is_in_fit(self) -> bool:
        """Whether the split was evaluated during training."""
        return self.trainer.state.fn == TrainerFn.FITTING

    def write(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Writes a table to `<name>_<subset>.csv`, which replaces an earlier one."""
        write_csv(Path(self.trainer.default_root_dir) / f"{name}_{self.subset}.csv", header, rows)

    def save_and_track(self, image: Image.Image, name: str) -> None:
        """Writes an image to `<name>_<subset>.png`, which replaces an earlier one, and adds it to Aim."""
        save(self.trainer, image, f"{name}_{self.subset}")
        # A validation outside fit repeats an epoch that is already tracked.
        if self.is_in_fit or self.subset == "test":
            # In fit, Lightning logs an epoch's metrics at the step before the current global step.
            step = max(self.trainer.global_step - self.is_in_fit, 0)
            track(self.trainer, self.module, image, name, step=step, subset=self.subset)


class AfterEvaluation(Callback):
    """Base class of callbacks that process an evaluated split, after every validation and after the test.

    All logits of the split are collected by then, so nothing needs the network again. `on_split_evaluated` is called on
    rank zero only, and not after a sanity check.
    """

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        """Processes an evaluated split; each callback implements it."""
        raise NotImplementedError

    @rank_zero_only
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.on_split_evaluated(EvaluatedSplit(trainer, module_of(pl_module), "val"))

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_split_evaluated(EvaluatedSplit(trainer, module_of(pl_module), "test"))


def module_of(module: LightningModule) -> JerseyModule:
    """Returns the module with its own type, which Lightning's hooks do not declare."""
    return cast(JerseyModule, module)


def data_of(trainer: Trainer) -> JerseyDataModule:
    """Returns the data module that was passed to `fit` or `test`."""
    return cast(JerseyDataModule, trainer.datamodule)  # type: ignore[attr-defined]  # Lightning sets it


def save(trainer: Trainer, image: Image.Image, name: str) -> None:
    """Writes an image to `<name>.png` in the run folder and replaces an earlier one."""
    with atomic_write(Path(trainer.default_root_dir) / f"{name}.png") as temporary:
        image.save(temporary, format="PNG")


def track(
    trainer: Trainer, module: LightningModule, image: Image.Image, name: str, *, step: int, subset: str | None = None
) -> None:
    """Adds an image to Aim, if the run uses it, and replaces an earlier one of the same name and step.

    Args:
        trainer: trainer, which knows the epoch.
        module: module, which knows the run state.
        image: image of this step.
        name: name of the sequence of images.
        step: optimizer step.
        subset: split that the image shows; None for the whole run.
    """
    module_of(module).run_state.log_image(name, image, step=step, epoch=trainer.current_epoch, subset=subset)
