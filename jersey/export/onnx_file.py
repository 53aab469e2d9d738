"""Writes the network as one ONNX file, which is kept only if onnxruntime agrees with torch on real crops.

Input `input`: uint8 RGB [batch,3,height,width] of any size; the graph resizes it by the code that resizes train crops.
Outputs: `logits` float32 [batch,K], `probabilities` float32 [batch,K], and with the compositional head
`open_vocabulary_probabilities` float32 [batch,110] of every string of at most two digits.

Shapes: N crops, K classes, H W the network's input size.
"""

import copy
import linecache
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from jersey.core.atomic import atomic_write
from jersey.core.model_file import with_checksum
from jersey.export.export_module import ExportModule
from jersey.export.parity import ParityResult, Reference, check_parity
from jersey.inference.onnx_model import OnnxModel
from jersey.models.folding import fold_batch_norm

PROBABILITY_TOLERANCE = 1e-4  # max absolute difference between onnxruntime and torch, well above rounding errors


class ExportError(RuntimeError):
    """The ONNX file disagrees with the network, and was not written."""


def export_onnx(module: ExportModule, path: Path, *, reference: Reference, metadata: Mapping[str, str]) -> ParityResult:
    """Writes `path` if it predicts the network's top-1 class on every crop.

    Args:
        module: graph to export.
        path: file to write.
        reference: crops with torch's logits.
        metadata: metadata to add to those of the module.

    Returns:
        The agreement with torch.

    Raises:
        ExportError: the file and the network disagree.
    """
    with atomic_write(path) as temporary:
        write_onnx(module, temporary, metadata)
        model = OnnxModel(temporary)
        parity = check_parity(model, reference)
        if parity.disagreements:
            raise ExportError(
                f"the ONNX file disagrees with torch on {len(parity.disagreements)} of {parity.crops} crops, so "
                f"{path} was not written: {'; '.join(parity.disagreements[:5])}"
            )
        _check_probabilities(model, module.settings.temperature, reference)
    return parity


def _check_probabilities(model: OnnxModel, temperature: float, reference: Reference) -> None:
    """Raises ExportError if the probabilities of the first crops differ from torch's."""
    sample = slice(None, 64)
    expected_NK = torch.from_numpy(reference.logits_NK[sample] / temperature).softmax(dim=1).numpy()
    got_NK = model.output("probabilities", reference.crops_NCHW[sample].numpy())
    if not np.allclose(got_NK, expected_NK, atol=PROBABILITY_TOLERANCE):
        difference = np.abs(got_NK - expected_NK).max()
        raise ExportError(f"the probabilities differ from torch's by up to {difference:.3g}, so no file was written")


def write_onnx(module: ExportModule, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes one self-contained file without a parity check; batch normalization is folded into the convolutions.

    Args:
        module: graph to export.
        path: file to write.
        metadata: metadata to add to those of the module.
    """
    axes = {0: "batch"} if module.settings.is_static else {0: "batch", 2: "height", 3: "width"}
    # The example has two crops of another size than H W, because the exporter could specialize on one crop or on H W.
    height_px, width_px = module.settings.size_px
    example_BChw = torch.zeros((2, 3, height_px + 3 * (2 in axes), width_px + 5 * (3 in axes)), dtype=torch.uint8)
    folded = copy.deepcopy(module)
    fold_batch_norm(folded.network.backbone, folded.network.settings)
    dynamic = {axis: torch.export.Dim(name) for axis, name in axes.items()}
    with warnings.catch_warnings(), _evict_caches():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            folded,
            (example_BChw,),
            dynamo=True,
            input_names=["input"],
            output_names=module.outputs,
            dynamic_shapes={"input": dynamic},
            verbose=False,
        )
    assert program is not None
    assert program.exported_program is not None
    _evict_symbolic_results(program.exported_program)
    save_with_metadata(program.model_proto, path, {**module.metadata, **metadata})


@contextmanager
def _evict_caches() -> Iterator[None]:
    """Removes what torch keeps of each export: source code for tracebacks, and results of operators."""
    sources = getattr(getattr(torch.fx.graph_module, "_loader", None), "eval_cache", {})
    known = set(sources)
    try:
        yield
    finally:
        FakeTensorMode.cache_clear()
        for name in set(sources) - known:
            del sources[name]
            linecache.cache.pop(name, None)


def _evict_symbolic_results(program: torch.export.ExportedProgram) -> None:
    """Removes 1 MB of operator results with symbolic sizes; a cycle through C++ keeps the rest of the sizes' state."""
    values = (node.meta.get("val") for node in program.graph.nodes)
    for value in values:
        if isinstance(value, FakeTensor) and value.fake_mode.shape_env is not None:
            value.fake_mode.shape_env.fake_tensor_cache.clear()
            return


def save_with_metadata(model: onnx.ModelProto, path: Path, metadata: Mapping[str, str]) -> None:
    """Checks the model, replaces its metadata, and writes it with its checksum."""
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(with_checksum(model.SerializeToString()))
