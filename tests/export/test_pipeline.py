"""The export with illegible crops and tracklets in the data: the results match the exported file."""

import json
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch
from helpers.illegible_crops import EACH, NUMBERS, network, opened, write_crops
from helpers.small_run import small_trainer, tiny_module

from jersey.data.datamodule import JerseyDataModule
from jersey.evaluation import calibration
from jersey.evaluation.metrics import Evaluation
from jersey.export import pipeline
from jersey.export.pipeline import ExportResult, export_run, split_tracklets
from jersey.inference.onnx_model import OnnxModel
from jersey.inference.tracklet import pool_frames
from jersey.runs.folder import RunFolder, open_run
from jersey.runs.provenance import Origin

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> JerseyDataModule:
    return opened(write_crops(tmp_path_factory.mktemp("crops"), "folders"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return open_run(tmp_path_factory.mktemp("runs"), "tiny", "run", config_files={"config.txt": ""})


@pytest.fixture(scope="module")
def exported(data: JerseyDataModule, folder: RunFolder) -> ExportResult:
    torch.manual_seed(0)
    module = tiny_module(data, network=network)
    trainer = small_trainer(folder.path, epochs=3)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    results = {"eval_weights": "raw", "origin": Origin(), **module.evaluations}
    results.pop("train")
    with pytest.MonkeyPatch.context() as patch:  # a checkout that is not installed has no version
        patch.setattr(pipeline, "PRODUCERS", ("torch", "not-an-installed-package"))
        patch.setattr(calibration, "PRECISIONS", (0.1, 0.3))  # which a network of three epochs reaches
        return export_run(module.network, data, folder, **results, variants=(), min_agreement=1.0)


@pytest.fixture
def probabilities_NK(exported: ExportResult, folder: RunFolder, data: JerseyDataModule) -> np.ndarray:
    """Probabilities of all test crops, by the exported file."""
    return OnnxModel(folder.onnx).output("probabilities", data.decoded["test"].images_NCHW.numpy())


def test_predictions_on_illegible_crops_are_incorrect(
    folder: RunFolder, data: JerseyDataModule, probabilities_NK: np.ndarray
) -> None:
    labels_N = data.decoded["test"].labels_N.numpy()
    assert (labels_N < 0).sum() == EACH["test"][1]
    for each in OnnxModel(folder.onnx).thresholds:
        assert each.confidence is not None
        accepted_N = probabilities_NK.max(axis=1) >= each.confidence
        correct_N = probabilities_NK.argmax(axis=1) == labels_N
        assert each.test_coverage == pytest.approx(accepted_N[labels_N >= 0].mean())
        assert each.test_precision == (pytest.approx(correct_N[accepted_N].mean()) if accepted_N.any() else None)


def test_tracklet_accuracy_matches_pooled_predictions_of_the_file(
    exported: ExportResult, data: JerseyDataModule, probabilities_NK: np.ndarray
) -> None:
    split = data.splits["test"]
    legible = EACH["test"][0] * len(NUMBERS)
    one, three = exported.tracklet_accuracy
    assert (one.frames, one.windows) == (1, legible)
    assert one.correct == (probabilities_NK.argmax(axis=1) == data.decoded["test"].labels_N.numpy()).sum()
    assert (three.frames, three.windows) == (3, len(NUMBERS))
    correct = 0
    for label, number in enumerate(NUMBERS):
        rows = [row for row, tracklet in enumerate(split.tracklets) if tracklet == f"{number}/p0"]
        assert len(rows) == 3
        correct += int(pool_frames(probabilities_NK[rows]).argmax() == label)
    assert three.correct == correct


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.usefixtures("exported")
def test_the_metadata_has_the_scores_of_both_splits(split: str, folder: RunFolder, data: JerseyDataModule) -> None:
    model, crops = OnnxModel(folder.onnx), data.decoded[split]
    correct_N = model.logits(crops.images_NCHW.numpy()).argmax(axis=1) == crops.labels_N.numpy()
    scores = json.loads(model.metadata[f"{split}_scores"])
    assert scores["acc_top1"] == pytest.approx(correct_N[crops.labels_N.numpy() >= 0].mean())


@pytest.mark.usefixtures("exported")
def test_the_calibration_is_plotted_on_test(folder: RunFolder) -> None:
    assert [path.name for path in folder.path.glob("calibration_*")] == [pipeline.calibration_figure("test")]


def test_a_crop_without_a_tracklet_is_in_none_and_the_others_stay_in_theirs(data: JerseyDataModule) -> None:
    split, labels_N = data.splits["val"], data.decoded["val"].labels_N
    legible_N = labels_N >= 0
    evaluation = Evaluation(
        logits_NK=torch.eye(len(NUMBERS))[labels_N[legible_N]],
        labels_N=labels_N[legible_N],
        indices_N=legible_N.nonzero()[:, 0],
        illegible_logits_UK=torch.zeros(int((~legible_N).sum()), len(NUMBERS)),
        illegible_indices_U=(~legible_N).nonzero()[:, 0],
    )
    row = split.labels.index(NUMBERS[0])
    without = (*split.tracklets[:row], "", *split.tracklets[row + 1 :])
    whole, fewer, none = (
        split_tracklets(evaluation, replace(split, tracklets=names))
        for names in (split.tracklets, without, ("",) * len(split))
    )
    frames = [sum(len(each.probabilities_FK) for each in tracklets) for tracklets in (whole, fewer, none)]
    assert frames == [legible_N.sum(), legible_N.sum() - 1, 0]


@pytest.mark.usefixtures("exported")
def test_the_metadata_has_the_frame_correlation_and_package_versions(folder: RunFolder) -> None:
    model = OnnxModel(folder.onnx)
    assert model.frame_correlation is not None
    versions = json.loads(model.metadata["producers"])
    assert versions == {"torch": version("torch"), "not-an-installed-package": "not installed"}
