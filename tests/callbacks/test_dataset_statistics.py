"""The table and the picture of a data set against its files."""

import csv
from pathlib import Path

import lightning as L
import numpy as np
import pytest
from helpers.real_fit import Recorder, data_of, module_of, trainer_in
from PIL import Image

from jersey.callbacks.data_statistics import DatasetStatistics
from jersey.plots.class_bars import dataset_bars

SPLITS = ("train", "val", "test")


def table(folder: Path) -> list[list[str]]:
    with (folder / "dataset.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_row_a_number_as_the_folders_have_it(crops_root: Path, tmp_path: Path) -> None:
    """A name that is in no folder, and is no number, has a row too; batches that training leaves out count."""
    names = ("01", "A7", "00", "0")
    data = data_of(crops_root, labels=names, sampler_power=1.0)
    module = module_of(data)
    trainer_in(tmp_path, module, DatasetStatistics(), epochs=1, limit_batches=1).fit(module, datamodule=data)
    header, *rows = table(tmp_path)
    assert header == ["number", *SPLITS]
    assert [row[0] for row in rows] == list(names)
    for name, *counts in rows:
        assert [int(count) for count in counts] == [len(list((crops_root / s / name).glob("*"))) for s in SPLITS]
    assert len({count for row in rows for count in row[1:]}) > 2, (
        "the data set of the test is too even to show a mix-up"
    )


def test_the_picture_is_that_of_the_table_and_goes_to_aim_at_the_very_start(crops_root: Path, tmp_path: Path) -> None:
    data = data_of(crops_root)
    recorder = Recorder(tmp_path)
    for epochs in (1, 2):  # a run and its continuation
        module = module_of(data)
        trainer = trainer_in(tmp_path, module, DatasetStatistics(), recorder=recorder, epochs=epochs, limit_batches=1)
        last = tmp_path / "last.ckpt"
        trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
        trainer.save_checkpoint(last)
    _, *rows = table(tmp_path)
    counts_SK = np.array([[int(count) for count in row[1:]] for row in rows]).T
    expected = dataset_bars(counts_SK, [row[0] for row in rows], splits=SPLITS, title=str(crops_root))
    assert Image.open(tmp_path / "dataset.png").tobytes() == expected.tobytes()
    assert [(name, where) for name, _, where in recorder.images] == 2 * [
        ("dataset", {"step": 0, "epoch": 0, "subset": None})
    ]
    assert recorder.images[0][1].tobytes() == expected.tobytes()


def test_other_ranks_write_nothing(crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of(crops_root)
    trainer = trainer_in(tmp_path, module_of(data), epochs=1)
    trainer.datamodule = data  # type: ignore[attr-defined]  # as `fit` sets it
    monkeypatch.setattr(L.pytorch.utilities.rank_zero_only, "rank", 1)
    DatasetStatistics().on_fit_start(trainer, module_of(data))
    assert not list(tmp_path.glob("dataset*"))
