"""The network as one ONNX file, called finished only after onnxruntime has agreed with torch on real crops.

Input `input`: uint8 RGB [batch,3,height,width] of any size (fitted to the training size inside the graph, by the
lines that fitted the training crops). Output `logits`: float32 [batch,K].

Shapes: N crops, K classes, H W the network's input size.
"""

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from jersey.atomic import replacing
from jersey.data.bad_images import listed
from jersey.data.decode import decode
from jersey.data.fit import FitMode, fit
from jersey.data.image_file import BadImage
from jersey.inference.onnx_model import OnnxModel
from jersey.labels import Labels
from jersey.models.network import Network

log = logging.getLogger(__name__)

BATCH_SIZES = (1, 2, 7, 64)
TIE = 1e-4  # two logits this close may swap places by rounding alone


class DeployedNetwork(nn.Module):
    """The network with the fit in front: uint8 [B,3,h,w] of any size to logits [B,K]."""

    def __init__(self, network: nn.Module, *, size_px: tuple[int, int], fit_mode: FitMode) -> None:
        super().__init__()
        self.network = network
        self.size_px = size_px
        self.fit_mode: FitMode = fit_mode

    def forward(self, input: Tensor) -> Tensor:  # the parameter's name is the graph's input name
        height_px, width_px = self.size_px
        return self.network(fit(input, height_px=height_px, width_px=width_px, mode=self.fit_mode))


@dataclass(frozen=True)
class Agreement:
    """How onnxruntime and torch compare on the same crops.

    Args:
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


class ExportError(RuntimeError):
    """The ONNX file does not do what the network does; none was left behind."""


def export_onnx(
    network: Network,
    path: Path,
    *,
    labels: Labels,
    size_px: tuple[int, int],
    fit_mode: FitMode,
    metadata: Mapping[str, str],
    crops_NCHW: Tensor,
    labels_N: Tensor,
    files: Sequence[Path],
) -> Agreement:
    """Writes `path` if, and only if, the file gives the network's top-1 on every crop.

    Args:
        network: the weights to ship; it is not changed.
        path: of the ONNX file.
        labels: put into the metadata as `labels_mapping`, with their hash.
        size_px: height and width the network takes.
        fit_mode: how crops were fitted to that size.
        metadata: further facts for the file.
        crops_NCHW: uint8, fitted, to compare on.
        labels_N: their class indices.
        files: where those crops came from.

    Raises:
        ExportError: the file and the network disagree.
    """
    deployed = deployed_copy(network, size_px=size_px, fit_mode=fit_mode)
    facts = {
        "labels_mapping": labels.to_json(),
        "labels_sha256": labels.sha256,
        "input_height_px": str(size_px[0]),
        "input_width_px": str(size_px[1]),
        "fit_mode": fit_mode,
        **metadata,
    }
    with replacing(path) as temporary:
        write_onnx(deployed, temporary, facts)
        agreement = compare(torch_logits(deployed, crops_NCHW), OnnxModel(temporary), crops_NCHW, labels_N, files)
        if agreement.disagreements:
            raise ExportError(
                f"the ONNX file disagrees with torch on {len(agreement.disagreements)} of {agreement.crops} crops, so "
                f"{path} was not written: {'; '.join(agreement.disagreements[:5])}"
            )
    return agreement


def deployed_copy(network: Network, *, size_px: tuple[int, int], fit_mode: FitMode) -> DeployedNetwork:
    """The network as it is shipped; the one that is given stays as it is."""
    return DeployedNetwork(copy.deepcopy(network).cpu().float(), size_px=size_px, fit_mode=fit_mode).eval()


def write_onnx(deployed: DeployedNetwork, path: Path, facts: Mapping[str, str]) -> None:
    """Writes one file that holds everything, with batch normalisation folded into the convolutions (by torch)."""
    # Two crops of another size than the network's: a batch of one, or that size, could be baked into the graph.
    height_px, width_px = deployed.size_px
    example_BChw = torch.zeros((2, 3, height_px + 3, width_px + 5), dtype=torch.uint8)
    dynamic = {axis: torch.export.Dim(name) for axis, name in ((0, "batch"), (2, "height"), (3, "width"))}
    # What torch would remember of an export serves no other, and stays as long as the process: 1.5 MB each time.
    with warnings.catch_warnings(), torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        warnings.simplefilter("ignore")  # the exporter's remarks about its own internals
        program = torch.onnx.export(
            deployed,
            (example_BChw,),
            dynamo=True,
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes={"input": dynamic},
            verbose=False,
        )
    assert program is not None
    save_with_facts(program.model_proto, path, facts)


def save_with_facts(model: onnx.ModelProto, path: Path, facts: Mapping[str, str]) -> None:
    """Writes a sound model with these facts as its metadata, and no others."""
    del model.metadata_props[:]
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def torch_logits(deployed: DeployedNetwork, crops_NCHW: Tensor) -> np.ndarray:
    """What torch says of fitted crops, [N,K]."""
    with torch.inference_mode():
        return torch.cat([deployed.network(part) for part in crops_NCHW.split(64)]).numpy()


def compare(
    expected_NK: np.ndarray,
    model: OnnxModel,
    crops_NCHW: Tensor,
    labels_N: Tensor,
    files: Sequence[Path],
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Agreement:
    """Holds the file against torch's logits on every crop, at each batch size.

    One at a time, the crops are handed over as they lie on disk, at their own size: what a consumer does. A file that
    has gone since the training began is compared as it was decoded then.
    """
    from_files_NK = _logits_of_files(model, files, crops_NCHW)
    in_batches = [model.logits(crops_NCHW.numpy(), batch_size=size) for size in batch_sizes if size > 1]
    difference = 0.0
    differing: set[int] = set()
    for got_NK in (from_files_NK, *in_batches):
        difference = max(difference, float(np.abs(got_NK - expected_NK).max()))
        differing.update(np.flatnonzero(got_NK.argmax(axis=1) != expected_NK.argmax(axis=1)).tolist())
    top_two_N2 = np.sort(expected_NK, axis=1)[:, -2:]
    tied_N = top_two_N2[:, 1] - top_two_N2[:, 0] < TIE
    return Agreement(
        crops=len(files),
        accuracy=float((from_files_NK.argmax(axis=1) == labels_N.numpy()).mean()),
        max_logit_difference=difference,
        ties=[str(files[i]) for i in sorted(differing) if tied_N[i]],
        disagreements=[str(files[i]) for i in sorted(differing) if not tied_N[i]],
    )


def _logits_of_files(model: OnnxModel, files: Sequence[Path], crops_NCHW: Tensor) -> np.ndarray:
    logits, gone = [], []
    for file, crop_CHW in zip(files, crops_NCHW.numpy(), strict=True):
        try:
            pixels_Chw = np.ascontiguousarray(decode(file).transpose(2, 0, 1))
        except BadImage as problem:
            gone.append(problem)
            pixels_Chw = crop_CHW
        logits.append(model.logits(pixels_Chw[None]))
    if gone:
        log.warning(
            "%d files of the comparison have gone; it takes them as they were decoded: %s", len(gone), listed(gone)
        )
    return np.concatenate(logits)
