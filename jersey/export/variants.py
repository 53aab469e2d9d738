"""Exports variants of model.onnx with the same inputs, outputs and metadata; each is written only if it is good enough.

A variant sometimes predicts another class than the network, so it has two conditions to meet: torch's top-1 on nearly
all validation crops, and at batch size 1 more speed than the float32 file on this CPU. "static" is for runtimes without
dynamic shapes: it takes crops of one size, has no open vocabulary, and only has to meet the first condition. The report
states why a variant was not written. The metrics in a variant's metadata are those of the float32 weights.

Shapes: N crops, C H W of a resized crop.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from torch import Tensor, cat

from jersey.core.atomic import atomic_write
from jersey.core.tables import percent
from jersey.core.timing import Ratio, interleaved_times, speedup
from jersey.evaluation.ranked import evenly_spaced
from jersey.export.export_module import ExportModule
from jersey.export.onnx_file import write_onnx
from jersey.export.parity import ParityResult, Reference, check_parity
from jersey.inference.onnx_model import OnnxModel

log = logging.getLogger(__name__)

VariantName = Literal["static", "fp16", "int8"]

# With an agreement of 0.99 the accuracy changes by at most one point. With up to 3,500 crops, that is less than half of
# the 95 % interval of an accuracy of 90 %.
MIN_AGREEMENT = 0.99
# A variant must be this many times as fast in three of four pairs of measurements. Of two equally fast files, either is
# ahead in half of the pairs.
MIN_SPEEDUP = 1.05
CALIBRATION_CROPS = 256  # five of each of 43 numbers
ROUNDS = 21  # pairs of measurements, an odd number so that one of them is the median
BATCH_SIZES = (1, 64)  # of the parity check: one crop, and consumers' default


@dataclass(frozen=True)
class Variant:
    """The outcome of the export of a variant.

    Attributes:
        name: name of the variant.
        file: file name in the folder of the float32 file.
        refused: reason why it was not written; empty if it was written.
        parity: agreement with torch on the validation crops; None if the export failed.
        speedup: speed relative to the float32 file at batch size 1; None if the export failed.
        size_bytes: size of the file; 0 if the export failed.
    """

    name: VariantName
    file: str
    refused: str
    parity: ParityResult | None = None
    speedup: Ratio | None = None
    size_bytes: int = 0

    def summary(self) -> dict[str, str | int | float]:
        """Returns values for the tracker, by name."""
        summary: dict[str, str | int | float] = {"refused": self.refused}
        if self.parity and self.speedup:
            summary |= {"val_agreement": self.parity.agreement, "val_acc_top1": self.parity.accuracy}
            summary |= {"speedup": self.speedup.median, "bytes": self.size_bytes}
        return {f"{self.name}_{key}": value for key, value in summary.items()}

    @property
    def cells(self) -> tuple[str, ...]:
        """Table cells: file, agreement with torch, accuracy, speedup, size, status."""
        measured: tuple[str, ...] = ("-",) * 4
        if self.parity:
            percentages = percent(self.parity.agreement), percent(self.parity.accuracy)
            measured = (*percentages, str(self.speedup), f"{self.size_bytes / 1e6:,.1f} MB")
        return (self.file, *measured, self.refused or "written")


def export_variants(
    names: Sequence[VariantName],
    module: ExportModule,
    path: Path,
    reference: Reference,
    calibration_NCHW: Tensor,
    min_agreement: float = MIN_AGREEMENT,
) -> list[Variant]:
    """Exports each variant next to the float32 file, and keeps it if it meets the conditions.

    Args:
        names: names of the variants.
        module: graph of the float32 file.
        path: float32 file, whose metadata the variants copy; "model.onnx" leads to "model.int8.onnx".
        reference: crops with torch's logits.
        calibration_NCHW: resized crops of the train split, uint8, as `calibration_rows` selects them.
        min_agreement: min fraction of crops on which a variant must predict torch's top-1.

    Returns:
        The outcome of each variant, in the order of `names`.
    """
    return [_export_variant(name, module, path, reference, calibration_NCHW, min_agreement) for name in names]


def _export_variant(
    name: VariantName,
    module: ExportModule,
    path: Path,
    reference: Reference,
    calibration_NCHW: Tensor,
    min_agreement: float,
) -> Variant:
    target = path.with_suffix(f".{name}{path.suffix}")
    measured: dict[str, Any] = {}
    target.unlink(missing_ok=True)  # a file of an earlier export belongs to another float32 file
    log.info("exporting %s and comparing it with torch on every validation crop", target)
    with TemporaryDirectory() as folder:
        candidate = Path(folder) / target.name
        try:
            float32 = OnnxModel(path)
            _write(name, module, float32, candidate, calibration_NCHW)
            model = OnnxModel(candidate)
            parity = check_parity(model, reference, batch_sizes=BATCH_SIZES)
            ratio = _speedup(float32, model, reference.crops_NCHW[:1])
            refused = _refusal(parity, ratio, min_agreement, 0.0 if name == "static" else MIN_SPEEDUP)
            measured = {"parity": parity, "speedup": ratio, "size_bytes": candidate.stat().st_size}
        except Exception as error:  # a variant is optional, so its failure must not fail the run
            refused = f"its export failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        if refused:
            log.warning("%s was not written: %s", target, refused)
        else:
            with atomic_write(target) as final:
                shutil.copyfile(candidate, final)
    return Variant(name, target.name, refused, **measured)


def _write(name: VariantName, module: ExportModule, float32: OnnxModel, path: Path, calibration_NCHW: Tensor) -> None:
    metadata = {**float32.metadata, "variant": name}
    if name == "static":
        metadata.pop("vocabulary", None)
        write_onnx(module.changed(is_static=True), path, metadata)
    elif name == "fp16":
        write_onnx(module.changed(is_half=True), path, metadata)
    else:
        from jersey.export.int8 import write_int8  # takes 0.3 s to import

        write_int8(float32.path, path, metadata, calibration_NCHW=calibration_NCHW.numpy())


def _speedup(float32: OnnxModel, variant: OnnxModel, crop_1CHW: Tensor) -> Ratio:
    crop = crop_1CHW.numpy()
    times_s = interleaved_times(
        {"float32": lambda: float32.logits(crop), "variant": lambda: variant.logits(crop)}, rounds=ROUNDS
    )
    return speedup(times_s["float32"], times_s["variant"])


def _refusal(parity: ParityResult, ratio: Ratio, min_agreement: float, min_speedup: float) -> str:
    """Describes the conditions that a variant does not meet; empty if it meets all."""
    reasons = []
    if parity.agreement < min_agreement:
        reasons.append(
            f"its top-1 equals torch's on {100 * parity.agreement:.2f} % of {parity.crops:,} validation crops, and at "
            f"least {100 * min_agreement:.2f} % is required"
        )
    if ratio.low < min_speedup:
        reasons.append(
            f"at batch size 1 it is {ratio} times as fast as float32, and at least {min_speedup} in three of four "
            "pairs is required"
        )
    return "; ".join(reasons)


def calibration_rows(labels_N: Tensor, max_crops: int = CALIBRATION_CROPS) -> Tensor:
    """Selects rows of a split: about equally many of each class, at least one, evenly spaced within the class.

    Args:
        labels_N: class index of each crop, int64.
        max_crops: max number of rows, unless there are more classes.

    Returns:
        Rows, int64 [M], grouped by class.
    """
    classes = labels_N.unique().tolist()
    each = max(1, max_crops // len(classes))
    return cat([evenly_spaced((labels_N == k).nonzero()[:, 0], each) for k in classes])
