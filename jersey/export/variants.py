"""Other forms of model.onnx, with the same inputs, outputs and facts; each is offered only where it holds.

A variant gives other answers than the network now and then, so it has to earn its place twice: by torch's top-1 on
nearly all validation crops, and by being faster than the float32 file at batch 1, here, on the CPU; "static", which is
for runtimes that cannot take crops of any size, by the first alone. One that does not is not written, and the report
says why. Scores among a variant's facts are those of the float32 weights.

Shapes: N crops, C H W of a fitted crop.
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
from jersey.core.timing import Ratio, interleaved_times, speedup
from jersey.evaluation.ranked import evenly_spaced
from jersey.export.export_module import ExportModule
from jersey.export.onnx_file import write_onnx
from jersey.export.parity import ParityResult, Reference, check_parity
from jersey.inference.onnx_model import OnnxModel

log = logging.getLogger(__name__)

VariantName = Literal["static", "fp16", "int8"]

# An answer that changes moves the accuracy by one crop at most, so with 0.99 by a point at most: less than the
# accuracy itself is known to, until there are thousands of crops (3,500 at 90 %).
MIN_AGREEMENT = 0.99
MIN_SPEEDUP = 1.05  # in three of four pairs: of two files alike, one is ahead in half of them
CALIBRATION_CROPS = 256
ROUNDS = 21
BATCH_SIZES = (1, 64)


@dataclass(frozen=True)
class Variant:
    """What became of a variant that was asked for.

    Attributes:
        name: which.
        file: its name in the folder of the float32 file.
        refused: why it was not written; empty when it was.
        agreement: of it with torch, on the validation crops; None when it could not even be made.
        speedup: how many times as fast as the float32 file it is, one crop at a time.
        size_bytes: of the file.
    """

    name: VariantName
    file: str
    refused: str
    agreement: ParityResult | None = None
    speedup: Ratio | None = None
    size_bytes: int = 0

    def facts(self) -> dict[str, str | int | float]:
        """For the tracker, by name."""
        facts: dict[str, str | int | float] = {"refused": self.refused}
        if self.agreement and self.speedup:
            facts |= {"val_agreement": self.agreement.share, "val_acc_top1": self.agreement.accuracy}
            facts |= {"speedup": self.speedup.median, "bytes": self.size_bytes}
        return {f"{self.name}_{key}": value for key, value in facts.items()}

    @property
    def cells(self) -> tuple[str, ...]:
        """For people: file, top-1 as torch, accuracy, speed, size, and whether it was written."""
        measured: tuple[str, ...] = ("-",) * 4
        if self.agreement:
            shares = f"{self.agreement.share:.2%}", f"{self.agreement.accuracy:.2%}"
            measured = (*shares, str(self.speedup), f"{self.size_bytes / 1e6:,.1f} MB")
        return (self.file, *measured, self.refused or "written")


def export_variants(
    names: Sequence[VariantName],
    module: ExportModule,
    path: Path,
    reference: Reference,
    calibration_NCHW: Tensor,
    min_agreement: float = MIN_AGREEMENT,
) -> list[Variant]:
    """Makes each variant beside the float32 file, measures it, and leaves it there if it holds.

    Args:
        names: which, in the order in which they are told.
        module: what the float32 file was made from.
        path: of the float32 file, whose facts the variants take over. "model.onnx" gives "model.int8.onnx".
        reference: what to compare with.
        calibration_NCHW: uint8, fitted crops of the train split, as `calibration_rows` chooses them.
        min_agreement: share of the crops on which a variant must have torch's top-1.
    """
    return [_offer(name, module, path, reference, calibration_NCHW, min_agreement) for name in names]


def _offer(
    name: VariantName,
    module: ExportModule,
    path: Path,
    reference: Reference,
    calibration_NCHW: Tensor,
    min_agreement: float,
) -> Variant:
    target, measured = path.with_suffix(f".{name}{path.suffix}"), dict[str, Any]()
    target.unlink(missing_ok=True)  # one of an earlier export belongs to another float32 file
    log.info("making %s and comparing it with torch on every validation crop", target)
    with TemporaryDirectory() as folder:
        candidate = Path(folder) / target.name
        try:
            float32 = OnnxModel(path)
            _write(name, module, float32, candidate, calibration_NCHW)
            model = OnnxModel(candidate)
            agreement = check_parity(model, reference, batch_sizes=BATCH_SIZES)
            ratio = _speedup(float32, model, reference.crops_NCHW[:1])
            refused = _refusal(agreement, ratio, min_agreement, 0.0 if name == "static" else MIN_SPEEDUP)
            measured = {"agreement": agreement, "speedup": ratio, "size_bytes": candidate.stat().st_size}
        except Exception as error:  # an extra that fails must not cost the run, whose network is already there
            refused = f"it could not be made ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        if refused:
            log.warning("%s is not offered: %s", target, refused)
        else:
            with atomic_write(target) as final:
                shutil.copyfile(candidate, final)
    return Variant(name, target.name, refused, **measured)


def _write(name: VariantName, module: ExportModule, float32: OnnxModel, path: Path, calibration_NCHW: Tensor) -> None:
    facts = {**float32.metadata, "variant": name}
    if name == "static":
        facts.pop("vocabulary", None)
        write_onnx(module.changed(is_static=True), path, facts)
    elif name == "fp16":
        write_onnx(module.changed(is_half=True), path, facts)
    else:
        from jersey.export.int8 import write_int8  # 0.3 s that every command would take longer to start

        write_int8(float32.path, path, facts, calibration_NCHW=calibration_NCHW.numpy())


def _speedup(float32: OnnxModel, variant: OnnxModel, crop_1CHW: Tensor) -> Ratio:
    crop = crop_1CHW.numpy()
    times_s = interleaved_times(
        {"float32": lambda: float32.logits(crop), "variant": lambda: variant.logits(crop)}, rounds=ROUNDS
    )
    return speedup(times_s["float32"], times_s["variant"])


def _refusal(agreement: ParityResult, ratio: Ratio, min_agreement: float, min_speedup: float) -> str:
    """Why a variant is not worth having; empty when it is."""
    reasons = []
    if agreement.share < min_agreement:
        reasons.append(
            f"its top-1 is torch's on {agreement.share:.2%} of {agreement.crops:,} validation crops, and "
            f"{min_agreement:.2%} are wanted"
        )
    if ratio.low < min_speedup:
        reasons.append(
            f"one crop at a time it is {ratio} times as fast as float32, and {min_speedup} in three of four pairs "
            "is wanted"
        )
    return "; ".join(reasons)


def calibration_rows(labels_N: Tensor, most: int = CALIBRATION_CROPS) -> Tensor:
    """Rows of a split, about equally many of each class and one at least, spread over the crops of the class."""
    classes = labels_N.unique().tolist()
    each = max(1, most // len(classes))
    return cat([evenly_spaced((labels_N == k).nonzero()[:, 0], each) for k in classes])
