"""From a root folder to batches: index, label map, decoding once, and the loaders of the three splits.

Every split takes the same deterministic way (decode, fit, keep as uint8); nothing here is random but the order
of the train crops. Augmentation is not here at all: the training step calls it, on the device.

A batch is {"images": uint8 [B,3,H,W], "labels": int64 [B], "indices": int64 [B]}, the last one the row in the split.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from jersey.data.balance import BalancedSampler
from jersey.data.decode import decode_all
from jersey.data.fit import FitMode, fit
from jersey.data.index import SPLITS, Split, label_map, missing_labels, read_splits
from jersey.errors import UserError
from jersey.synth.rare import RareNumbers

log = logging.getLogger(__name__)


class Batch(TypedDict):
    """What every loader yields and every step takes."""

    images: Tensor
    labels: Tensor
    indices: Tensor


class DecodedSplit(Dataset[Batch]):
    """A split in memory; a whole batch is gathered in one call.

    Args:
        images_NCHW: uint8 [N,3,H,W].
        labels_N: int64 [N].
    """

    def __init__(self, images_NCHW: Tensor, labels_N: Tensor) -> None:
        self.images_NCHW = images_NCHW
        self.labels_N = labels_N

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getitems__(self, indices: list[int]) -> Batch:
        indices_B = torch.tensor(indices)
        return {"images": self.images_NCHW[indices_B], "labels": self.labels_N[indices_B], "indices": indices_B}


class JerseyDataModule(L.LightningDataModule):
    """The crops under one root, in three splits with one label map.

    Args:
        root: folder with `train/`, `val/` and `test/`, in either layout (see `jersey.data.index`).
        seed: of the train order.
        size_px: height and width of the network's input.
        fit_mode: how crops of other shapes are brought to that size.
        batch_size: crops a training step.
        eval_batch_size: crops a validation or test step.
        sampler_power: 0 for a plain shuffle, up to 1 for equally frequent classes.
        labels: the label map's names in order; None takes those of the train split.
        overfit_batch: every training batch holds the same crops, to see whether they can be learnt by heart.
        draw: called with the root before it is read, to make a data set that is not there yet.
        rare: draws more train crops of rare numbers.

    Raises:
        UserError: whatever is wrong with the files, from `setup`.
    """

    def __init__(
        self,
        root: str,
        *,
        seed: int,
        size_px: tuple[int, int] = (224, 224),
        fit_mode: FitMode = "stretch",
        batch_size: int = 64,
        eval_batch_size: int = 256,
        sampler_power: float = 0.0,
        labels: tuple[str, ...] | None = None,
        overfit_batch: bool = False,
        draw: Callable[[Path], None] | None = None,
        rare: RareNumbers | None = None,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.seed = seed
        self.size_px = size_px
        self.fit_mode: FitMode = fit_mode
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.sampler_power = sampler_power
        self.pinned_labels = labels
        self.overfit_batch = overfit_batch
        self.draw = draw
        self.rare = rare
        self.splits: dict[str, Split] = {}
        self.decoded: dict[str, DecodedSplit] = {}

    def prepare_data(self) -> None:
        if self.draw is not None:
            self.draw(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Reads and decodes all splits at the first call; later calls (one a Lightning stage) find it done."""
        if self.decoded:
            return
        self.splits = read_splits(self.root)
        if self.rare is not None:
            self.rare.draw(self.splits["train"])
            self.splits["train"] = self.rare.added_to(self.splits["train"])
        self.labels = label_map(self.splits, self.pinned_labels)
        for name in SPLITS:
            if absent := missing_labels(self.splits[name], self.labels):
                log.warning("%s has no crops of %s; its scores say nothing about them", name, ", ".join(absent))
        self.decoded = {name: self._decode(self.splits[name]) for name in SPLITS}
        self.train_sampler = BalancedSampler(
            self.decoded["train"].labels_N.tolist(),
            power=self.sampler_power,
            seed=self.seed,
            repeated=self.batch_size if self.overfit_batch else None,
        )

    @property
    def class_counts(self) -> list[int]:
        """Train crops of each class, in label order."""
        counts = self.splits["train"].counts()
        return [counts.get(name, 0) for name in self.labels.names]

    def _decode(self, split: Split) -> DecodedSplit:
        images = decode_all(split.paths, transform=self._fit_array, description=f"decoding {split.name}")
        class_indices = [self.labels.class_to_idx[name] for name in split.labels]
        return DecodedSplit(torch.stack(images), torch.tensor(class_indices))

    def _fit_array(self, image_hwC: np.ndarray) -> Tensor:
        image_Chw = torch.from_numpy(image_hwC).permute(2, 0, 1)
        height_px, width_px = self.size_px
        if image_Chw.shape[1:] == (height_px, width_px):
            return image_Chw.contiguous()  # what `fit` would return, without its arithmetic
        return fit(image_Chw[None], height_px=height_px, width_px=width_px, mode=self.fit_mode)[0]

    def _loader(self, name: str, sampler: Sampler[int], batch_size: int, *, drop_last: bool = False) -> DataLoader:
        return DataLoader(
            self.decoded[name],
            sampler=sampler,
            batch_size=batch_size,
            drop_last=drop_last,
            collate_fn=_whole_batch,
            pin_memory=torch.cuda.is_available(),
        )

    def train_dataloader(self) -> DataLoader:
        size = len(self.decoded["train"])
        if size < self.batch_size:
            raise UserError(
                f"data.batch_size={self.batch_size} is more than the {size} train crops in {self.root}; lower it"
            )
        # A last batch of one or two crops would give batch normalisation a useless estimate.
        return self._loader("train", self.train_sampler, self.batch_size, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._eval_loader("test")

    def _eval_loader(self, name: str) -> DataLoader:
        return self._loader(name, SequentialSampler(self.decoded[name]), self.eval_batch_size)


def _whole_batch(batch: Any) -> Batch:
    """`DecodedSplit.__getitems__` has already put the batch together."""
    return batch
