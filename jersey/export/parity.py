"""Whether an ONNX file reads what torch reads, crop by crop.

Shapes: N crops, K classes, H W the network's input size.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from jersey.data.decode import BadImage, decode
from jersey.data.problems import summarize_bad
from jersey.inference.onnx_model import OnnxModel

log = logging.getLogger(__name__)

BATCH_SIZES = (1, 2, 7, 64)
TIE = 1e-4  # two logits this close may swap places by rounding alone


@dataclass(frozen=True)
class Reference:
    """Validation crops (uint8, fitted), their class indices and files, and torch's logits: what a file is held to."""

    crops_NCHW: Tensor
    labels_N: Tensor
    files: Sequence[Path]
    logits_NK: np.ndarray

    @classmethod
    @torch.inference_mode()
    def of(cls, network: nn.Module, crops_NCHW: Tensor, labels_N: Tensor, files: Sequence[Path]) -> "Reference":
        """Has a network on the CPU, in evaluation mode, read the crops."""
        logits_NK = torch.cat([network(part) for part in crops_NCHW.split(64)]).numpy()
        return cls(crops_NCHW, labels_N, files, logits_NK)


@dataclass(frozen=True)
class ParityResult:
    """How onnxruntime and torch compare on the same crops.

    Attributes:
        crops: how many were compared, at every batch size.
        accuracy: top-1 of onnxruntime, fed the files one by one.
        max_logit_difference: largest absolute difference of any logit.
        ties: crops whose top two logits lie within `TIE` in torch and swapped places.
        disagreements: crops whose top-1 differs otherwise.
    """

    crops: int
    accuracy: float
    max_logit_difference: float
    ties: list[str]
    disagreements: list[str]

    @property
    def share(self) -> float:
        """Of the crops, those without a disagreement at any batch size."""
        return 1 - len(self.disagreements) / self.crops


def check_parity(model: OnnxModel, reference: Reference, *, batch_sizes: Sequence[int] = BATCH_SIZES) -> ParityResult:
    """Holds a file against torch's logits on every crop, at each batch size.

    One at a time, the crops are handed over as they lie on disk, at their own size: what a consumer does. A file that
    has gone since the training began is compared as it was decoded then. A file of one size gets fitted crops.
    """
    expected_NK, files, crops_NCHW = reference.logits_NK, reference.files, reference.crops_NCHW.numpy()
    from_files_NK = model.logits(crops_NCHW, batch_size=1) if model.is_static else _from_files(model, files, crops_NCHW)
    in_batches = [model.logits(crops_NCHW, batch_size=size) for size in batch_sizes if size > 1]
    difference = 0.0
    differing: set[int] = set()
    for got_NK in (from_files_NK, *in_batches):
        difference = max(difference, float(np.abs(got_NK - expected_NK).max()))
        differing.update(np.flatnonzero(got_NK.argmax(axis=1) != expected_NK.argmax(axis=1)).tolist())
    top_two_N2 = np.sort(expected_NK, axis=1)[:, -2:]
    tied_N = top_two_N2[:, 1] - top_two_N2[:, 0] < TIE
    legible_N = reference.labels_N.numpy() >= 0
    right_N = from_files_NK.argmax(axis=1) == reference.labels_N.numpy()
    return ParityResult(
        crops=len(files),
        accuracy=float(right_N[legible_N].mean()),
        max_logit_difference=difference,
        ties=[str(files[i]) for i in sorted(differing) if tied_N[i]],
        disagreements=[str(files[i]) for i in sorted(differing) if not tied_N[i]],
    )


def _from_files(model: OnnxModel, files: Sequence[Path], crops_NCHW: np.ndarray) -> np.ndarray:
    logits, gone = [], []
    for file, crop_CHW in zip(files, crops_NCHW, strict=True):
        try:
            pixels_Chw = np.ascontiguousarray(decode(file).transpose(2, 0, 1))
        except BadImage as problem:
            gone.append(problem)
            pixels_Chw = crop_CHW
        logits.append(model.logits(pixels_Chw[None]))
    if gone:
        about = "%d files of the comparison have gone; it takes them as they were decoded: %s"
        log.warning(about, len(gone), summarize_bad(gone))
    return np.concatenate(logits)
