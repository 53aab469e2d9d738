"""The network as one ONNX file, called finished only after onnxruntime has agreed with torch on real crops.

Input `input`: uint8 RGB [batch,3,height,width] of any size (fitted to the training size inside the graph, by the
lines that fitted the training crops). Outputs: `logits` float32 [batch,K], `probabilities` float32 [batch,K], and with
the compositional head `open_vocabulary_probabilities` float32 [batch,110] of every string of at most two digits.

Shapes: N crops, K classes, H W the network's input size.
"""

import linecache
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch

from jersey.core.atomic import atomic_write
from jersey.export.export_module import ExportModule
from jersey.export.parity import ParityResult, Reference, check_parity
from jersey.inference.onnx_model import OnnxModel, with_checksum

SAME = 1e-4  # of two probabilities


class ExportError(RuntimeError):
    """The ONNX file does not do what the network does; none was left behind."""


def export_onnx(module: ExportModule, path: Path, *, reference: Reference, metadata: Mapping[str, str]) -> ParityResult:
    """Writes `path`, with `metadata` beside the module's facts, if the file gives the network's top-1 on every crop.

    Raises:
        ExportError: the file and the network disagree.
    """
    with atomic_write(path) as temporary:
        write_onnx(module, temporary, metadata)
        model = OnnxModel(temporary)
        agreement = check_parity(model, reference)
        if agreement.disagreements:
            raise ExportError(
                f"the ONNX file disagrees with torch on {len(agreement.disagreements)} of {agreement.crops} crops, so "
                f"{path} was not written: {'; '.join(agreement.disagreements[:5])}"
            )
        _check_probabilities(model, module.settings.temperature, reference)
    return agreement


def _check_probabilities(model: OnnxModel, temperature: float, reference: Reference) -> None:
    some = slice(None, 64)
    expected_NK = torch.from_numpy(reference.logits_NK[some] / temperature).softmax(dim=1).numpy()
    got_NK = model.output("probabilities", reference.crops_NCHW[some].numpy())
    if not np.allclose(got_NK, expected_NK, atol=SAME):
        difference = np.abs(got_NK - expected_NK).max()
        raise ExportError(f"the ONNX file's probabilities are up to {difference:.3g} from torch's; it was not written")


def write_onnx(module: ExportModule, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes one unchecked file that holds everything, with batch normalization folded into the convolutions."""
    axes = {0: "batch"} if module.settings.is_static else {0: "batch", 2: "height", 3: "width"}
    # Two crops of another size than the network's: a batch of one, or that size, could be baked into the graph.
    height_px, width_px = module.settings.size_px
    example_BChw = torch.zeros((2, 3, height_px + 3 * (2 in axes), width_px + 5 * (3 in axes)), dtype=torch.uint8)
    dynamic = {axis: torch.export.Dim(name) for axis, name in axes.items()}
    # What torch would remember of an export serves no other, and stays as long as the process: 1.5 MB each time.
    with warnings.catch_warnings(), torch._dynamo.config.patch(fake_tensor_cache_enabled=False), _forgetting_code():
        warnings.simplefilter("ignore")  # the exporter's remarks about its own internals
        program = torch.onnx.export(
            module,
            (example_BChw,),
            dynamo=True,
            input_names=["input"],
            output_names=module.outputs,
            dynamic_shapes={"input": dynamic},
            verbose=False,
        )
    assert program is not None
    save_with_metadata(program.model_proto, path, {**module.facts, **metadata})


@contextmanager
def _forgetting_code() -> Iterator[None]:
    """Drops the source of the functions that torch writes for an export, kept for tracebacks: 0.2 MB each time."""
    sources = getattr(getattr(torch.fx.graph_module, "_loader", None), "eval_cache", {})
    known = set(sources)
    try:
        yield
    finally:
        for name in set(sources) - known:
            del sources[name]
            linecache.cache.pop(name, None)


def save_with_metadata(model: onnx.ModelProto, path: Path, facts: Mapping[str, str]) -> None:
    """Writes a sound model with these facts as its metadata, and no others, and its seal."""
    onnx.helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(with_checksum(model.SerializeToString()))
