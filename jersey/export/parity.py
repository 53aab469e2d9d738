"""Compares the predictions of an ONNX file with torch's, crop by crop.

Shapes: N crops, K classes, H W the network's input size.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from jersey.data.decode import BadImage, decode
from jersey.data.problems import summarize_bad
from jersey.inference.onnx_model import OnnxModel

log = logging.getLogger(__name__)

BATCH_SIZES = (1, 2, 7, 64)  # one crop, the two crops of the export, an odd number, and consumers' default
TIE = 1e-4  # two logits that differ by less may swap ranks by rounding alone


@dataclass(frozen=True)
class Reference:
    """Validation crops with torch's logits, to compare an ONNX file with.

    Attributes:
        crops_NCHW: resized crops, uint8 [N, 3, H, W].
        labels_N: class index of each label, int64; -1 for an illegible crop.
        files: image file of each crop.
        logits_NK: torch's logits, float32.
    """

    crops_NCHW: Tensor
    labels_N: Tensor
    files: Sequence[Path]
    logits_NK: np.ndarray

    @classmethod
    @torch.inference_mode()
    def of(cls, network: nn.Module, crops_NCHW: Tensor, labels_N: Tensor, files: Sequence[Path]) -> "Reference":
        """Computes the logits with a network on the CPU in evaluation mode; the other arguments are attributes."""
        logits_NK = torch.cat([network(part) for part in crops_NCHW.split(64)]).numpy()
        return cls(crops_NCHW, labels_N, files, logits_NK)


@dataclass(frozen=True)
class ParityResult:
    """The agreement of onnxruntime and torch on the same crops.

    Attributes:
        crops: number of crops, all compared at every batch size.
        accuracy: top-1 accuracy of onnxruntime on the files of the legible crops, one by one.
        max_logit_difference: max absolute difference of any logit.
        ties: files whose top two logits differ by less than `TIE` in torch and swapped ranks.
        disagreements: files whose top-1 class differs otherwise.
    """

    crops: int
    accuracy: float
    max_logit_difference: float
    ties: list[str]
    disagreements: list[str]

    @property
    def agreement(self) -> float:
        """Fraction of crops without a disagreement at any batch size."""
        return 1 - len(self.disagreements) / self.crops


def check_parity(model: OnnxModel, reference: Reference, *, batch_sizes: Sequence[int] = BATCH_SIZES) -> ParityResult:
    """Compares a model with torch's logits on every crop, at each batch size.

    At batch size 1 the image files are decoded and passed at their original size, as a consumer would do. A file that
    can no longer be read is replaced by its cached crop. A static model gets resized crops.

    Args:
        model: ONNX file.
        reference: crops with torch's logits.
        batch_sizes: batch sizes to compare at, in addition to 1.
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
    correct_N = from_files_NK.argmax(axis=1) == reference.labels_N.numpy()
    return ParityResult(
        crops=len(files),
        accuracy=float(correct_N[legible_N].mean()),
        max_logit_difference=difference,
        ties=[str(files[i]) for i in sorted(differing) if tied_N[i]],
        disagreements=[str(files[i]) for i in sorted(differing) if not tied_N[i]],
    )


def _from_files(model: OnnxModel, files: Sequence[Path], crops_NCHW: np.ndarray) -> np.ndarray:
    """Computes the logits [N,K] of the image files, one by one."""
    logits, missing = [], []
    pairs = zip(files, crops_NCHW, strict=True)
    for file, crop_CHW in tqdm(pairs, desc="comparing with torch", total=len(files), unit="crop", disable=None):
        try:
            pixels_Chw = np.ascontiguousarray(decode(file).transpose(2, 0, 1))
        except BadImage as problem:
            missing.append(problem)
            pixels_Chw = crop_CHW
        logits.append(model.logits(pixels_Chw[None]))
    if missing:
        text = "%d files can no longer be read; the comparison uses their cached crops: %s"
        log.warning(text, len(missing), summarize_bad(missing))
    return np.concatenate(logits)
