"""The prediction grid in a real fit and test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_run import small_data, small_module, small_trainer, watch_grids
from PIL import Image

from jersey.callbacks.base import Scored
from jersey.callbacks.grids import PredictionGrid
from jersey.evaluation.metrics import Evaluation

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


@pytest.mark.parametrize("crops", [2, 100])
def test_tiles_are_the_crops_they_speak_of(
    crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crops: int
) -> None:
    data, grids = small_data(crops_root), watch_grids(monkeypatch)
    module, trainer = small_module(data), small_trainer(tmp_path, PredictionGrid(crops=crops), epochs=1, test_batches=2)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    assert len(grids) == 2
    for subset, (title, sections) in zip(("val", "test"), grids.items(), strict=True):
        evaluation = module.evaluations[subset]
        assert len(evaluation.labels_N) == {"val": 12, "test": 10}[subset], "two batches of five"
        read_N = evaluation.logits_NK.argmax(dim=1)
        wrong = int((read_N != evaluation.labels_N).sum())
        right, total = len(read_N) - wrong, len(read_N)
        assert title.startswith(subset)
        assert f"{right} of {total}" in title
        assert [section.out_of for section in sections] == [right, wrong, total]
        assert [len(section.tiles) for section in sections] == [min(crops, count) for count in (right, wrong, total)]
        images_NHW3 = data.decoded[subset].images_NCHW.permute(0, 2, 3, 1).numpy()
        for section, kind in zip(sections, ("right", "wrong", "both"), strict=True):
            for tile in section.tiles:
                (row,) = [i for i, image_HW3 in enumerate(images_NHW3) if np.array_equal(image_HW3, tile.images[0])]
                read, label = data.labels.names[read_N[row]], data.splits[subset].labels[row]
                assert tile.caption[0].endswith(f" {read}")
                assert tile.caption[1].endswith(f" {label}")
                assert tile.is_marked == (read != label)
                assert kind == "both" or tile.is_marked == (kind == "wrong")
    for name in ("val", "test"):
        assert Image.open(tmp_path / f"predictions_{name}.png").format == "PNG"


def test_crops_are_found_by_their_row_in_the_split(
    crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, grids, callback = small_data(crops_root), watch_grids(monkeypatch), PredictionGrid()
    module, trainer = small_module(data), small_trainer(tmp_path, callback)
    trainer.test(module, datamodule=data, verbose=False)
    grids.clear()
    rows = torch.tensor([7, 0, 11])
    labels_N = data.decoded["test"].labels_N[rows]
    module.evaluations["test"] = Evaluation(3 * torch.eye(3)[labels_N], labels_N, rows)
    callback.evaluated(Scored(trainer, module, "test"))
    ((right, _, _),) = grids.values()
    shown_NHW3 = np.stack([tile.images[0] for tile in right.tiles])
    expected_NCHW = data.decoded["test"].images_NCHW[rows]
    np.testing.assert_array_equal(shown_NHW3, expected_NCHW.permute(0, 2, 3, 1).numpy())
