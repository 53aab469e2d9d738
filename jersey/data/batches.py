"""The batches of a split, each gathered in one call, on the device where they are used.

A split that fits into the GPU's memory beside the training is copied there once, and a batch is one indexing kernel
there. Any other is gathered into pinned memory, from which the GPU fetches it while it computes the batch before. There
are no workers: nothing is left for them to do.

Shapes: N crops of the split, B of a batch, H W size.
"""

import math
from collections.abc import Iterator
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Sampler

SHARE_OF_GPU = 0.25  # of the memory that is free when training starts; the rest is for activations


class Batch(TypedDict):
    """What every step takes: uint8 [B,3,H,W], int64 [B], and rows in the split, int64 [B]."""

    images: Tensor
    labels: Tensor
    indices: Tensor


class DecodedSplit:
    """A split in memory.

    Args:
        images_NCHW: uint8 [N,3,H,W].
        labels_N: int64 [N].
    """

    def __init__(self, images_NCHW: Tensor, labels_N: Tensor) -> None:
        self.images_NCHW = images_NCHW
        self.labels_N = labels_N

    def __len__(self) -> int:
        return len(self.labels_N)

    def batch(self, indices_B: Tensor) -> Batch:
        """The crops of these rows, on the device of the split."""
        return {"images": self.images_NCHW[indices_B], "labels": self.labels_N[indices_B], "indices": indices_B}

    def on(self, device: torch.device) -> "DecodedSplit":
        """The split on a device, as far as its images fit there; else as it is."""
        if device.type != "cuda" or self.images_NCHW.nbytes > SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
            return self
        return DecodedSplit(self.images_NCHW.to(device), self.labels_N.to(device))


class Batches:
    """What Lightning takes for a DataLoader.

    Args:
        split: where the crops are.
        sampler: gives their rows; Lightning tells it the epoch.
        batch_size: B.
        device: where the batches are wanted.
        drop_last: leave out a last batch of fewer crops.
    """

    batch_sampler = None  # Lightning asks

    def __init__(
        self,
        split: DecodedSplit,
        sampler: Sampler[int],
        *,
        batch_size: int,
        device: torch.device,
        drop_last: bool = False,
    ) -> None:
        self.split = split.on(device)
        self.sampler = sampler
        self.batch_size = batch_size
        self.device = device
        self.drop_last = drop_last

    def __len__(self) -> int:
        batches = len(self.split) / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def __iter__(self) -> Iterator[Batch]:
        # One copy an epoch: indices that lay on the host would make the GPU wait for every batch.
        order_N = torch.tensor(list(self.sampler)).to(self.split.images_NCHW.device)
        for indices_B in order_N.split(self.batch_size)[: len(self)]:
            batch = self.split.batch(indices_B)
            yield batch if batch["images"].device == self.device else self._fetched(batch)

    def _fetched(self, batch: Batch) -> Batch:
        images, labels, indices = (
            value.pin_memory().to(self.device, non_blocking=True)
            for value in (batch["images"], batch["labels"], batch["indices"])
        )
        return {"images": images, "labels": labels, "indices": indices}
