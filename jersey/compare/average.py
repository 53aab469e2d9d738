"""Averages the weights of cross-validated networks, and exports the average if it is better on the test split.

The average of networks that were fine-tuned from the same weights is often more accurate than each of them, and costs
no more than one (Wortsman et al. 2022, https://arxiv.org/abs/2203.05482). Networks that started from random weights
cannot be averaged, because the same weight has another role in each.

Most of the networks were trained on any crop of train and val, so only the test split can compare. Temperature,
thresholds and frame correlation are fitted on the predictions of each network on its own validation crops.
"""

# Shapes: N crops of a split, K classes.

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jersey import config as configs
from jersey.compare.statistics import accuracy_gain
from jersey.core.labels import Labels
from jersey.core.tables import percent
from jersey.data.datamodule import JerseyDataModule
from jersey.data.split import Split
from jersey.evaluation.calibration import Predictions, calibrate
from jersey.evaluation.metrics import Evaluation, evaluate
from jersey.evaluation.tracklets import fit_correlation
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.onnx_file import export_onnx
from jersey.export.parity import Reference
from jersey.export.pipeline import producers, split_tracklets
from jersey.lint.checks import load
from jersey.models.network import Network
from jersey.runs.folder import LABELS
from jersey.runs.provenance import read_starts

log = logging.getLogger(__name__)

EXPORTED = "model.onnx"


@dataclass(frozen=True)
class Fold:
    """The network of a fold.

    Attributes:
        name: name of the run.
        network: network with its best weights.
        val: its evaluation on the validation split of the fold.
        test: its evaluation on the test split.
        split: rows of the validation split.
    """

    name: str
    network: Network
    val: Evaluation
    test: Evaluation
    split: Split


def export_average(folders: Sequence[Path], out: Path) -> str:
    """Writes `model.onnx` if the average is better than the best fold, and returns a sentence about the result.

    Args:
        folders: folders of finished runs of one experiment, one for each fold.
        out: folder for the file, which exists.

    Raises:
        UserError: a run cannot be read, or two have different labels.
        ExportError: the file disagrees with torch.
    """
    (out / EXPORTED).unlink(missing_ok=True)
    labels = Labels.load(folders[0] / LABELS)
    folds: list[Fold] = []
    for position, folder in enumerate(folders, 1):
        labels.require_same(Labels.load(folder / LABELS), here=f"the run {folders[0]}", there=f"the run {folder}")
        name, config = load(folder)
        experiment = configs.build(config)
        data = experiment.data(seed=experiment.seed)
        data.setup()
        if "test" not in data.splits:
            return "average of the networks: not made, because without a test split nothing tells whether it is better"
        log.info("evaluating the network of fold %d of %d: %s", position, len(folders), folder)
        network = experiment.best_module(folder).network
        val, test = evaluate(network, data.val_dataloader()), evaluate(network, data.test_dataloader())
        folds.append(Fold(folder.name, network, val, test, data.splits["val"]))
    network = folds[0].network
    network.load_state_dict(average([fold.network.state_dict() for fold in folds]))
    test = evaluate(network, data.test_dataloader())
    single = max(folds, key=lambda fold: fold.val.metrics["acc_top1"])
    gain = accuracy_gain(_correct(single.test), _correct(test))
    result = (
        f"average of the networks: {percent(test.metrics['acc_top1'])} on test, against "
        f"{percent(single.test.metrics['acc_top1'])} of {single.name}, which has the highest val top-1 (gain "
        f"{100 * gain.gain:+.1f} points, 95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    )
    if gain.gain <= 0:
        return f"{result}; not better, so it is not exported"
    origin = {"experiment": name, "run": out.name, "commit": read_starts(folders[0])[-1]["commit"]}
    _export(network, test, folds, data, out / EXPORTED, origin)
    return f"{result}; exported as {out / EXPORTED}"


def average(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of each weight; integers, which are counters, are those of the first state."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def _correct(evaluation: Evaluation) -> np.ndarray:
    """Returns whether each legible crop is predicted correctly, bool [N], in the order of the split."""
    return (evaluation.logits_NK.argmax(dim=1) == evaluation.labels_N).numpy()


def _export(
    network: Network,
    test: Evaluation,
    folds: Sequence[Fold],
    data: JerseyDataModule,
    path: Path,
    origin: Mapping[str, str],
) -> None:
    """Calibrates and exports the average, and compares it with torch on the test crops."""
    out_of_fold = Predictions(
        np.concatenate([fold.val.predictions.logits_NK for fold in folds]),
        np.concatenate([fold.val.predictions.labels_N for fold in folds]),
    )
    calibration = calibrate(out_of_fold, test.predictions)
    temperature = calibration.temperature
    calibrated = [(replace(fold.val, temperature=temperature), fold.split) for fold in folds]
    tracklets = [tracklet for val, split in calibrated for tracklet in split_tracklets(val, split)]
    settings = ExportSettings(
        labels=data.labels,
        size_px=data.size_px,
        resize_mode=data.resize_mode,
        temperature=temperature,
        frame_correlation=fit_correlation(tracklets),
    )
    module, crops = ExportModule(network, settings), data.decoded["test"]
    metadata = {
        **origin,
        "weights": "average of runs",
        "runs": json.dumps([fold.name for fold in folds]),
        "test_scores": json.dumps(test.metrics),
        "producers": producers(),
        **calibration.metadata,
    }
    reference = Reference.of(module.network, crops.images_NCHW, crops.labels_N, data.splits["test"].paths)
    export_onnx(module, path, reference=reference, metadata=metadata)
