"""Exports the best weights of a run: calibration, ONNX file, parity check, metadata and variants."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

import torch

from jersey.core.atomic import atomic_write
from jersey.core.labels import SplitName
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import Split
from jersey.evaluation.calibration import Calibration, calibrate
from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.tracklets import Tracklet, TrackletScore, fit_correlation, tracklet_scores, tracklets_of
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.onnx_file import export_onnx
from jersey.export.parity import ParityResult, Reference
from jersey.export.variants import Variant, VariantName, calibration_rows, export_variants
from jersey.models.network import Network
from jersey.runs.folder import RunFolder
from jersey.runs.provenance import Origin

log = logging.getLogger(__name__)

# Packages whose versions are part of the metadata, because the graph and its logits depend on them.
PRODUCERS = ("torch", "onnx", "onnxscript", "onnxruntime", "jersey")


@dataclass(frozen=True)
class ExportResult:
    """The results of an export.

    Attributes:
        parity: agreement of model.onnx with torch on the validation crops.
        calibration: temperature, calibration errors and thresholds.
        tracklet_accuracy: accuracy on the tracklets of `split` by number of frames; empty if it has none.
        variants: outcome of each requested variant.
        split: split on which calibration and tracklets were evaluated: "test", or "val" without one.
    """

    parity: ParityResult
    calibration: Calibration
    tracklet_accuracy: Sequence[TrackletScore]
    variants: Sequence[Variant]
    split: SplitName = "test"

    @property
    def summary(self) -> dict[str, str | int | float]:
        """Values for the tracker, by name."""
        summary: dict[str, str | int | float] = {
            "val_acc_top1": self.parity.accuracy,
            "ties": len(self.parity.ties),
            "temperature": self.calibration.temperature,
            f"{self.split}_ece": self.calibration.after.value,
        }
        return summary | {key: value for each in self.variants for key, value in each.summary().items()}


def export_run(
    network: Network,
    data: JerseyDataModule,
    folder: RunFolder,
    *,
    eval_weights: str,
    val: Evaluation,
    test: Evaluation | None,
    origin: Origin,
    variants: Sequence[VariantName],
    min_agreement: float,
) -> ExportResult:
    """Writes `model.onnx`, its variants and `calibration_<split>.png` into the run folder.

    Args:
        network: network with its best weights.
        data: data set of the run.
        folder: folder of the run.
        eval_weights: kind of these weights, "raw" or "ema".
        val: evaluation of these weights on the validation split, which fits temperature and thresholds.
        test: evaluation of these weights on the test split; None without one.
        origin: code of the run.
        variants: names of the variants to export.
        min_agreement: min fraction of crops on which a variant must predict torch's top-1, such as 0.99.

    Raises:
        ExportError: the ONNX file disagrees with torch.
    """
    log.info("exporting %s and comparing it with torch on every validation crop", folder.onnx)
    train, splits = data.decoded["train"], data.splits
    module = ExportModule(
        network, ExportSettings(labels=data.labels, size_px=data.size_px, resize_mode=data.resize_mode)
    )
    val_crops, evaluated = data.decoded["val"], val if test is None else test
    split: SplitName = "val" if test is None else "test"
    reference = Reference.of(module.network, val_crops.images_NCHW, val_crops.labels_N, splits["val"].paths)
    calibration = calibrate(val.predictions, None if test is None else test.predictions)
    temperature = calibration.temperature
    val_tracklets, tracklets = split_tracklets(val, splits["val"]), split_tracklets(evaluated, splits[split])
    module = module.changed(temperature=temperature, frame_correlation=fit_correlation(val_tracklets))
    run_metadata = _run_metadata(folder, data, eval_weights=eval_weights, val=val, test=test, origin=origin)
    run_metadata |= calibration.metadata
    parity = export_onnx(module, folder.onnx, reference=reference, metadata=run_metadata)
    calibration_NCHW = train.images_NCHW[calibration_rows(train.labels_N)]
    exported = export_variants(variants, module, folder.onnx, reference, calibration_NCHW, min_agreement)
    _plot_calibration(folder, split, evaluated, calibration)
    return ExportResult(parity, calibration, tracklet_scores(tracklets, data.labels.names), exported, split)


def _run_metadata(
    folder: RunFolder,
    data: JerseyDataModule,
    *,
    eval_weights: str,
    val: Evaluation,
    test: Evaluation | None,
    origin: Origin,
) -> dict[str, str]:
    """Returns the metadata on the origin of a file."""
    return {
        "experiment": folder.experiment,
        "run": folder.name,
        "commit": origin.commit,
        "user_commit": origin.user_commit,
        "weights": eval_weights,
        "data_sha256": data.sha256,
        "val_scores": json.dumps(val.metrics),
        "test_scores": json.dumps({} if test is None else test.metrics),
        "producers": producers(),
    }


def calibration_figure(split: str) -> str:
    """Returns the name of the file with the calibration on a split."""
    return f"calibration_{split}.png"


def _plot_calibration(folder: RunFolder, split: str, evaluation: Evaluation, calibration: Calibration) -> None:
    from jersey.plots import calibration as plot  # matplotlib takes half a second to import

    with atomic_write(folder.path / calibration_figure(split)) as path:
        title = f"{split}, {len(evaluation.labels_N):,} legible crops"
        plot.calibration(evaluation.predictions, calibration, title=title).save(path)


def producers() -> str:
    """Returns the versions of `PRODUCERS` as JSON."""
    return json.dumps({name: _version(name) for name in PRODUCERS})


def _version(package: str) -> str:
    """Returns the version of a package; a checkout that is not installed has none, which must not fail the run."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def split_tracklets(evaluation: Evaluation, split: Split) -> list[Tracklet]:
    """Returns the tracklets of an evaluated split with calibrated probabilities, crops in path order."""
    if not any(split.tracklets):
        return []
    rows = torch.cat([evaluation.indices_N, evaluation.illegible_indices_U]).tolist()
    predictions = evaluation.predictions.at(evaluation.temperature)
    order = sorted(range(len(rows)), key=lambda index: split.paths.texts[rows[index]])
    names = [split.tracklets[rows[index]] for index in order]
    return tracklets_of(predictions.probabilities_NK[order], predictions.labels_N[order], names)
