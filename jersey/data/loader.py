"""The batches of a split, each gathered in one call, on the device where they are used.

A split that fits into the GPU's memory beside the training is copied there once. Any other is gathered into pinned
memory, from which the GPU fetches it while it computes the batch before. There are no workers: nothing is left for
them to do. Of several processes each takes its share of every batch, crop for crop.

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

PADDING = -1  # in place of a row: a crop that counts for nothing, so that all processes have as many batches
SHARE_OF_GPU = 0.25  # of the memory that is free when training starts; the rest is for activations


class Batch(TypedDict):
    """What every step takes: uint8 [B,3,H,W], class indices or ILLEGIBLE_INDEX, and rows or PADDING, int64 [B]."""

    images: Tensor
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True)
class InMemorySplit:
    """A split in memory: images uint8, and class indices or ILLEGIBLE_INDEX, int64."""

    images_NCHW: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return len(self.labels_N)

    def batch(self, indices_B: Tensor) -> Batch:
        """The crops of these rows, on the device of the split; any crop for PADDING."""
        return {"images": self.images_NCHW[indices_B], "labels": self.labels_N[indices_B], "indices": indices_B}

    def on(self, device: torch.device) -> "InMemorySplit":
        """The split on a device if its images fit there; else as it is."""
        if device.type != "cuda" or self.images_NCHW.nbytes > SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
            return self
        return InMemorySplit(self.images_NCHW.to(device), self.labels_N.to(device))


class BatchLoader:
    """What Lightning takes for a DataLoader.

    Args:
        split: where the crops are.
        sampler: gives their rows; Lightning tells it the epoch.
        batch_size: B of all processes together; a multiple of `processes` with `drop_last`.
        device: where the batches are wanted.
        drop_last: leave out a last batch of fewer crops.
        rank: of this process.
        processes: how many there are.
    """

    batch_sampler = None  # Lightning asks

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
        self.own_batch_size = math.ceil(batch_size / processes)
        self.device = device
        self.drop_last = drop_last
        self.rank = rank
        self.processes = processes
        self._given = 0  # batches of this epoch
        self._resumed: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        """How far the epoch has come; Lightning keeps it in every checkpoint."""
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Lets the epoch of the checkpoint, should it come, begin where it had stopped."""
        self._resumed = state_dict

    def __len__(self) -> int:
        if self.drop_last:
            return len(self.split) // self.batch_size
        return math.ceil(math.ceil(len(self.split) / self.processes) / self.own_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # One copy an epoch: indices that lay on the host would make the GPU wait for every batch.
        rows_N = own_rows(torch.tensor(list(self.sampler)), rank=self.rank, processes=self.processes)
        batches = rows_N.to(self.split.images_NCHW.device).split(self.own_batch_size)[: len(self)]
        self._given = 0
        if self._resumed and self._resumed["epoch"] == self._epoch:
            self._given = self._resumed["given"]
        self._resumed = None
        for indices_B in batches[self._given :]:
            batch = self.split.batch(indices_B)
            self._given += 1
            if batch["images"].device != self.device:
                on_host = batch["images"], batch["labels"], batch["indices"]
                there = [value.pin_memory().to(self.device, non_blocking=True) for value in on_host]
                batch = {"images": there[0], "labels": there[1], "indices": there[2]}
            yield batch

    @property
    def _epoch(self) -> int:
        return getattr(self.sampler, "epoch", 0)


def own_rows(order_N: Tensor, *, rank: int, processes: int) -> Tensor:
    """One process's rows of an order: every `processes`-th from that of its rank on, padded to as many in each."""
    return F.pad(order_N, (0, -len(order_N) % processes), value=PADDING)[rank::processes]


def uneven_share(batch_size: int, processes: int) -> str | None:
    """What is wrong with sharing a train batch between so many processes; None where nothing is."""
    is_enough = batch_size >= 2 * processes  # batch normalization has no variance of one crop
    if processes == 1 or (batch_size % processes == 0 and is_enough):
        return None
    shared = f"data.batch_size={batch_size} is shared by {processes} processes"
    return f"{shared}; make it a multiple of {processes}, {2 * processes} or more"
