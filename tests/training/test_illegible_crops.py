"""Fits on data with illegible crops: their effect on the loss, the scores and the written files.

Shapes: N crops with a label, U illegible ones, B batch, K classes, J = K + 1.
"""

import csv
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import illegible_crops
from helpers.countdown import rows_of
from helpers.illegible_crops import EACH, NUMBERS, opened, write_crops
from helpers.several_processes import PROCESSES, side_by_side
from helpers.small_run import KillAt, Killed, assert_same_training, fitted, tiny_module, trainer_in, watch_grids
from PIL import Image

from jersey.augment.mixing import CutMix, MixUp
from jersey.callbacks.data_statistics import DatasetStatistics, SamplerDistribution
from jersey.callbacks.ema import EMA
from jersey.callbacks.grids import InputGrid, PredictionGrid
from jersey.callbacks.tables import ConfusionMatrix, DigitErrors, PerClassTable, PredictionsTable
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_INDEX
from jersey.data.audit.survey import fast_audit
from jersey.data.datamodule import JerseyDataModule
from jersey.training.losses import FocalLoss, LogitAdjustedLoss
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.sam import SAM

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
LAYOUTS = ("folders", "annotations")
CALLBACKS = (
    ConfusionMatrix,
    DatasetStatistics,
    DigitErrors,
    PerClassTable,
    PredictionGrid,
    PredictionsTable,
    InputGrid,
    SamplerDistribution,
)


@pytest.fixture(scope="module", params=LAYOUTS)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crops(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crops(tmp_path_factory.mktemp("folders"), "folders")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def score_test(folder: Path, data: JerseyDataModule, module: JerseyModule, *callbacks: Any) -> None:
    trainer_in(folder, module, *callbacks).test(module, datamodule=data, verbose=False)


def test_outputs_of_a_run_cover_numbers_and_report_illegible_crops(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, grids = opened(root), watch_grids(monkeypatch)
    module = tiny_module(data)
    fitted(tmp_path, data, module, *(make() for make in CALLBACKS), epochs=2)
    score_test(tmp_path, data, module, *(make() for make in CALLBACKS))

    for subset in ("val", "test"):
        each, illegible = EACH[subset]
        evaluation = module.evaluations[subset]
        assert evaluation.support_K.tolist() == [each] * 3
        assert evaluation.indices_N.tolist() == list(range(3 * each))
        assert evaluation.illegible_indices_U.tolist() == list(range(3 * each, 3 * each + illegible))
        assert evaluation.illegible_logits_UK.shape == (illegible, 3)
        assert 0 <= evaluation.metrics["auroc_legible"] <= 1
        predictions = table(tmp_path / f"predictions_{subset}.csv")
        assert [row["label"] for row in predictions if row["loss"]] == [
            number for number in NUMBERS for _ in range(each)
        ]
        without_label = [row for row in predictions if not row["loss"]]
        assert [row["label"] for row in without_label] == ["illegible"] * illegible
        confidences = [float(row["confidence"]) for row in without_label]
        assert confidences == pytest.approx(evaluation.illegible_confidence_U.tolist())
        errors = int((evaluation.logits_NK.argmax(dim=1) != evaluation.labels_N).sum())
        assert len(table(tmp_path / f"errors_{subset}.csv")) == errors
    assert len(table(tmp_path / "confusion_matrix_test.csv")) == 3
    assert [row["label"] for row in table(tmp_path / "per_class_test.csv")] == list(NUMBERS)

    *numbers, last = table(tmp_path / "dataset.csv")
    assert [row["label"] for row in numbers] == list(NUMBERS)
    assert last == {"label": "illegible"} | {split: str(EACH[split][1]) for split in EACH}
    natural, *epochs = table(tmp_path / "class_sampling.csv")
    assert natural == {"source": "data set"} | dict.fromkeys(NUMBERS, "16") | {"illegible": "14"}
    for epoch, row in enumerate(epochs):
        sampled_N = data.decoded["train"].labels_N[data.train_sampler.epoch_indices(epoch)]
        assert int(row["illegible"]) == int((sampled_N == ILLEGIBLE_INDEX).sum()) > 0
        assert sum(int(row[name]) for name in (*NUMBERS, "illegible")) == len(data.splits["train"])

    inputs = next(sections for title, sections in grids.items() if title.startswith("train"))
    data.train_sampler.set_epoch(0)
    shown = next(iter(data.train_dataloader()))["labels"].tolist()
    assert ILLEGIBLE_INDEX in shown
    assert [tile.caption[0] for tile in inputs[0].tiles] == [(*NUMBERS, "illegible")[label] for label in shown]
    found = next(sections for title, sections in grids.items() if title.startswith("test"))[-1]
    assert (found.heading, found.out_of, len(found.tiles)) == ("illegible, most confident first", 4, 4)
    images_UHW3 = data.decoded["test"].images_NCHW[-4:].permute(0, 2, 3, 1).numpy()
    illegible_crops_seen = {image_HW3.tobytes() for image_HW3 in images_UHW3}
    assert {tile.images[0].tobytes() for tile in found.tiles} == illegible_crops_seen
    confidences = [float(tile.caption[0].split("%")[0]) for tile in found.tiles]
    assert confidences == sorted(confidences, reverse=True)

    audit = fast_audit(data.index, data.splits, data.image_meta, skipped=data.skipped, labels=data.labels.names)
    assert audit.findings == ()
    assert "illegible" in audit.tables()
    for name in ("dataset", "class_sampling", "inputs_train", "predictions_test", "confusion_matrix_test"):
        assert Image.open(tmp_path / f"{name}.png").width > 0


def test_illegible_crops_do_not_change_the_scores_of_legible_ones(folders: Path, tmp_path: Path) -> None:
    """One network is tested on the split with and without illegible crops."""
    module = tiny_module(opened(folders))
    scores = {}
    for illegible in ("score", "drop"):
        score_test(tmp_path, opened(folders, illegible=illegible), module)
        scores[illegible] = module.evaluations["test"].metrics
    assert scores["score"].pop("auroc_legible") >= 0
    assert scores["score"] == pytest.approx(scores["drop"], rel=1e-6)


def test_both_layouts_give_the_same_weights_and_tracklets(folders: Path, tmp_path: Path) -> None:
    checkpoints = []
    for root in (folders, write_crops(tmp_path / "annotations", "annotations")):
        data = opened(root)
        checkpoints.append(fitted(tmp_path / f"fit_{root.name}", data, tiny_module(data), epochs=1))
        for split in data.splits.values():
            for path, label, tracklet in zip(split.paths, split.labels, split.tracklets, strict=True):
                assert tracklet.split("/")[-1] == f"p{int(path.stem[-2:]) // 3}"
                assert "/" not in tracklet or tracklet.split("/")[0] == (label or "illegible")
            assert ILLEGIBLE in split.labels
    assert_same_training(*checkpoints)


@pytest.mark.parametrize(
    "settings",
    [
        {"mix": MixUp(alpha=1.0), "class_weight_power": 0.5},
        {"mix": CutMix(alpha=1.0), "loss": FocalLoss(label_smoothing=0.1)},
        {"sam": SAM(rho=0.1), "loss": LogitAdjustedLoss()},
        {"class_weight_power": 1.0},
    ],
)
def test_run_killed_inside_an_epoch_ends_like_an_uninterrupted_one(
    folders: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    def fit(name: str, *callbacks: Any) -> dict[str, Any]:
        data = opened(folders)
        return fitted(tmp_path / name, data, tiny_module(data, **settings), EMA(decay=0.9), *callbacks, every_steps=1)

    whole = fit("whole")
    with pytest.raises(Killed):
        fit("parts", KillAt(9))
    assert_same_training(fit("parts"), whole)
    parts_rows, whole_rows = (rows_of(tmp_path / name) for name in ("parts", "whole"))
    for parts_row, whole_row in zip(parts_rows, whole_rows, strict=True):
        scores = {name for name in whole_row if "/" in name}
        assert {name: parts_row[name] for name in scores} == {name: whole_row[name] for name in scores}
    assert "val/auroc_legible" in whole_rows[0]
    assert ("train/auroc_legible" in whole_rows[0]) == ("mix" not in settings)


@pytest.mark.parametrize("settings", [{}, {"mix": MixUp(alpha=0.4)}, {"loss": FocalLoss(), "class_weight_power": 1.0}])
def test_training_on_illegible_crops_separates_them_by_confidence(
    folders: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    auroc, is_unconfident = {}, {}
    for illegible in ("train", "score"):
        data = opened(folders, illegible=illegible)
        optimizer = partial(adamw, lr=0.02, weight_decay=0.05)
        module = tiny_module(data, network=illegible_crops.network, optimizer=optimizer, **settings)
        fitted(tmp_path / illegible, data, module, epochs=15)
        score_test(tmp_path, data, module)
        evaluation = module.evaluations["test"]
        assert evaluation.metrics["acc_top1"] > 0.9
        auroc[illegible] = evaluation.metrics["auroc_legible"]
        is_unconfident[illegible] = bool((evaluation.illegible_confidence_U < 0.5).all())
    assert auroc["train"] > 0.95
    assert auroc["train"] > auroc["score"]
    assert is_unconfident == {"train": True, "score": False}


@pytest.mark.slow
def test_two_processes_train_like_one(folders: Path, tmp_path: Path) -> None:
    """With illegible crops, bad images, synthetic crops, and a cache that is built by this first start."""
    root, alone, together = (tmp_path / name for name in ("crops", "alone", "together"))
    shutil.copytree(folders, root)
    bad = {"train": ["0/a.png", "illegible/z.png"], "val": ["00/a.png"], "test": []}
    for split, names in bad.items():
        for name in names:
            (root / split / name).write_bytes(b"text")
    for folder in (alone, together):
        folder.mkdir()
    illegible_crops.record_fit(root, alone)
    assert side_by_side(illegible_crops.record_fit, root, together) == [0] * PROCESSES
    files = (alone / "seen.0.pt", together / "seen.0.pt", together / "seen.1.pt")
    one, *both = (torch.load(file, weights_only=True) for file in files)
    each, illegible = EACH["val"]
    for seen in (one, *both):
        assert seen["skipped"] == {split: [Path(name).name for name in names] for split, names in bad.items()}
        assert seen["train_rows"] == one["train_rows"]
        assert len(seen["train_rows"]) == 3 * EACH["train"][0] + EACH["train"][1] + 3 * 3 - 1  # the bad crop counted
        assert seen["rows"].tolist() == list(range(3 * each))
        assert seen["illegible_rows"].tolist() == seen["is_illegible"].nonzero()[:, 0].tolist()
        assert len(seen["illegible_rows"]) == illegible
        assert ILLEGIBLE_INDEX not in seen["labels"]
        torch.testing.assert_close(seen["weights"], one["weights"], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(seen["illegible_logits"], one["illegible_logits"], atol=1e-5, rtol=1e-4)
        assert seen["val"] == pytest.approx(one["val"], rel=1e-3, abs=1e-5)
        assert "auroc_legible" in seen["val"]
    decoded = [sorted((folder / "decoded").glob("*[0-9a-f].npy")) for folder in (alone, together)]
    assert [file.name.partition("-")[0] for file in decoded[1]] == ["test", "train", "val"]
    assert [file.read_bytes() for file in decoded[0]] == [file.read_bytes() for file in decoded[1]]
