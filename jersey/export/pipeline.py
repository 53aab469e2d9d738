"""From the best weights of a run to its files: calibrated, exported, checked, and with all facts a reader needs."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import torch

from jersey.core.atomic import replacing
from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.data.datamodule import JerseyDataModule
from jersey.data.split import Split
from jersey.evaluation.calibration import Answers, Calibration, calibrate
from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.tracklets import ByFrames, Track, accuracy_by_frames, fit_correlation, tracks_of
from jersey.export import (
    Agreement,
    Reference,
    Variant,
    VariantName,
    deployed_copy,
    export_onnx,
    export_variants,
    torch_logits,
)
from jersey.export.variants import calibration_rows
from jersey.runs.folder import RunFolder
from jersey.training.module import JerseyModule

log = logging.getLogger(__name__)

PRODUCERS = ("torch", "onnx", "onnxscript", "onnxruntime", "jersey")


@dataclass(frozen=True)
class Shipped:
    """What became of it.

    Args:
        agreement: of the file with torch.
        calibration: of its probabilities.
        by_frames: how well tracks of the test split are read; empty without tracks.
        variants: that were asked for.
    """

    agreement: Agreement
    calibration: Calibration
    by_frames: Sequence[ByFrames]
    variants: Sequence[Variant]

    @property
    def facts(self) -> dict[str, str | int | float]:
        """For the tracker, by name."""
        facts: dict[str, str | int | float] = {
            "val_acc_top1": self.agreement.accuracy,
            "ties": len(self.agreement.ties),
            "temperature": self.calibration.temperature,
            "test_calibration_error": self.calibration.after.value,
        }
        return facts | {key: value for each in self.variants for key, value in each.facts().items()}


def ship(
    module: JerseyModule,
    data: JerseyDataModule,
    folder: RunFolder,
    *,
    best: Mapping[str, Any],
    commit: str,
    variants: Sequence[VariantName],
    least_agreement: float,
) -> Shipped:
    """Writes `model.onnx`, its variants and `calibration_test.png` into the run folder.

    Args:
        module: with its best weights, and what they said about the test split.
        data: the data set.
        folder: of the run.
        best: what the checkpoint of these weights says about itself.
        commit: of the code.
        variants: which to make.
        least_agreement: the share of validation crops on which a variant must have torch's top-1.

    Raises:
        ExportError: the file does not do what the network does.
    """
    from jersey.export.calibration_picture import calibration_picture  # matplotlib takes half a second to import

    log.info("exporting to %s and comparing it with torch on every validation crop", folder.onnx)
    train, val, test = data.decoded["train"], data.decoded["val"], module.evaluations["test"]
    deployed = deployed_copy(module.network, labels=data.labels, size_px=data.size_px, fit_mode=data.fit_mode)
    reference = Reference(
        val.images_NCHW, val.labels_N, data.splits["val"].paths, torch_logits(deployed, val.images_NCHW)
    )
    val_answers, test_answers = Answers(reference.logits_NK, val.labels_N.numpy()), _answers(test)
    calibration = calibrate(val_answers, test_answers)
    deployed.temperature = calibration.temperature
    val_tracks = _tracks(val_answers.at(calibration.temperature), data.splits["val"], range(len(val)))
    deployed.frame_correlation = fit_correlation(val_tracks)
    facts = {
        "experiment": folder.experiment,
        "run": folder.name,
        "commit": commit,
        "weights": best["scored_weights"],
        "data_sha256": data_sha256(data),
        "val_scores": json.dumps(best["val"]),
        "test_scores": json.dumps(test.metrics),
        "producers": json.dumps({name: metadata.version(name) for name in PRODUCERS}),
        **calibration.facts,
    }
    agreement = export_onnx(deployed, folder.onnx, reference=reference, metadata=facts)
    made = export_variants(
        variants,
        deployed,
        folder.onnx,
        reference=reference,
        calibration_NCHW=train.images_NCHW[calibration_rows(train.labels_N)],
        least_agreement=least_agreement,
    )
    title = f"test, {len(test.labels_N):,} crops with a number"
    with replacing(folder.path / "calibration_test.png") as path:
        calibration_picture(test_answers, calibration, title=title).save(path)
    test_tracks = _tracks(test_answers.at(calibration.temperature), data.splits["test"], _rows(test))
    return Shipped(agreement, calibration, accuracy_by_frames(test_tracks), made)


def data_sha256(data: JerseyDataModule) -> str:
    """Of the labels and the content of every image, in the order of the splits; names of files are not in it."""
    digest = hashlib.sha256()
    for name, split in data.splits.items():
        digest.update(f"{name} {len(split)}\n".encode())
        for label, content in zip(split.labels, data.pictures[name]["digest"], strict=True):
            digest.update(json.dumps(label).encode() + content.tobytes())
    return digest.hexdigest()


def _answers(evaluation: Evaluation) -> Answers:
    """To readable crops, then to unreadable ones."""
    labels_N = np.append(evaluation.labels_N.numpy(), np.full(evaluation.unreadable, ILLEGIBLE_INDEX))
    logits = [evaluation.logits_NK, evaluation.unreadable_logits_UK][: 1 + bool(evaluation.unreadable)]
    return Answers(torch.cat(logits).numpy(), labels_N)


def _rows(evaluation: Evaluation) -> list[int]:
    """Of the split, in the order of `_answers`."""
    return torch.cat([evaluation.indices_N, evaluation.unreadable_indices_U]).tolist()


def _tracks(answers: Answers, split: Split, rows: Sequence[int]) -> list[Track]:
    """Those of a split, their crops in the order of the files' paths.

    Args:
        answers: with their temperature.
        split: where the crops are.
        rows: of the split, one an answer.
    """
    if not any(split.tracks):
        return []
    order = sorted(range(len(rows)), key=lambda place: split.paths.texts[rows[place]])
    names = [split.tracks[rows[place]] for place in order]
    return tracks_of(answers.probabilities_NK[order], answers.labels_N[order], names)
