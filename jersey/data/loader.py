"""Serves the batches of a split, each gathered by one indexing operation, on the device where they are used.

A split that fits into the GPU's memory beside the training is copied there once. The batches of any other split are
gathered into pinned memory and copied while the GPU computes the previous batch. There are no workers, because nothing
is left for them to do. Each of n processes takes every n-th crop of every batch.

Shapes: N crops of the split, B of a batch, H W size.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Sampler

PADDING = -1  # row index of a crop that only gives all processes equal batches, and is excluded from every metric
GPU_FRACTION = 0.25  # of the GPU memory that is free when training starts; the rest is for activations


class Batch(TypedDict):
    """The input of a training or evaluation step.

    Attributes:
        images: crops, uint8 [B,3,H,W].
        labels: class indices or ILLEGIBLE_INDEX, int64 [B].
        indices: row indices in the split or PADDING, int64 [B].
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True)
class InMemorySplit:
    """A split in memory.

    Attributes:
        images_NCHW: crops, uint8 [N,3,H,W].
        labels_N: class indices or ILLEGIBLE_INDEX, int64 [N].
    """

    images_NCHW: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return len(self.labels_N)

    def batch(self, indices_B: Tensor) -> Batch:
        """Gathers the crops of these row indices on the device of the split; for PADDING, the last crop."""
        return {"images": self.images_NCHW[indices_B], "labels": self.labels_N[indices_B], "indices": indices_B}

    def on(self, device: torch.device) -> "InMemorySplit":
        """Returns a copy on a GPU if the images take at most GPU_FRACTION of its free memory, and itself otherwise."""
        if device.type != "cuda" or self.images_NCHW.nbytes > GPU_FRACTION * torch.cuda.mem_get_info(device)[0]:
            return self
        return InMemorySplit(self.images_NCHW.to(device), self.labels_N.to(device))


class BatchLoader:
    """Iterates over the batches of a split in memory, in place of torch's DataLoader.

    Args:
        split: images and class indices.
        sampler: sampler of row indices; Lightning calls its `set_epoch`.
        batch_size: B over all processes; a multiple of `processes` with `drop_last`.
        device: device of the batches.
        drop_last: whether a smaller last batch is dropped.
        rank: rank of this process.
        processes: number of processes.
    """

    batch_sampler = None  # Lightning reads this attribute

    def __init__(
        self,
        split: InMemorySplit,
        sampler: Sampler[int],
        *,
        batch_size: int,
        device: torch.device,
        drop_last: bool = False,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        assert not (drop_last and batch_size % processes)
        self.split = split.on(device)
        self.sampler = sampler
        self.batch_size = batch_size
        self.rank_batch_size = math.ceil(batch_size / processes)
        self.device = device
        self.drop_last = drop_last
        self.rank = rank
        self.processes = processes
        self._batches_served = 0  # in this epoch
        self._resumed: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        """Returns the position in the epoch, which Lightning saves in every checkpoint."""
        return {"epoch": self._epoch, "batches_served": self._batches_served}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Makes the epoch of the checkpoint continue where it was interrupted."""
        self._resumed = state_dict

    def __len__(self) -> int:
        if self.drop_last:
            return len(self.split) // self.batch_size
        rows_per_process = math.ceil(len(self.split) / self.processes)
        return math.ceil(rows_per_process / self.rank_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # One copy per epoch: with indices on the host the GPU would wait for every batch.
        rows_N = rank_rows(torch.tensor(list(self.sampler)), rank=self.rank, processes=self.processes)
        batches = rows_N.to(self.split.images_NCHW.device).split(self.rank_batch_size)[: len(self)]
        self._batches_served = 0
        if self._resumed and self._resumed["epoch"] == self._epoch:
            self._batches_served = self._resumed["batches_served"]
        self._resumed = None
        for indices_B in batches[self._batches_served :]:
            batch = self.split.batch(indices_B)
            self._batches_served += 1
            if batch["images"].device != self.device:
                batch = {
                    "images": self._on_device(batch["images"]),
                    "labels": self._on_device(batch["labels"]),
                    "indices": self._on_device(batch["indices"]),
                }
            yield batch

    def _on_device(self, value: Tensor) -> Tensor:
        return value.pin_memory().to(self.device, non_blocking=True)

    @property
    def _epoch(self) -> int:
        return getattr(self.sampler, "epoch", 0)


def rank_rows(order_N: Tensor, *, rank: int, processes: int) -> Tensor:
    """Returns every `processes`-th row index from `rank` on, padded so that all processes have equally many."""
    return F.pad(order_N, (0, -len(order_N) % processes), value=PADDING)[rank::processes]


def batch_size_error(batch_size: int, processes: int) -> str | None:
    """Returns an error sentence if a train batch cannot be divided between the processes, and None if it can."""
    is_enough = batch_size >= 2 * processes  # batch normalization needs two crops for a variance
    if processes == 1 or (batch_size % processes == 0 and is_enough):
        return None
    what = f"data.batch_size={batch_size} is shared by {processes} processes and must be a multiple of {processes}"
    nearest = max(2, round(batch_size / processes)) * processes
    return f"{what}, {2 * processes} or more; set --fdl_set=data.batch_size={nearest}"
