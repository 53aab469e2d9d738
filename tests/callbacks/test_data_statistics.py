"""The tables and plots of a data set and of sampled epochs, compared with the files and the loader."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.looked_at import EPOCHS, LookedAt
from helpers.small_run import fitted, tiny_data, tiny_module
from PIL import Image

from jersey.callbacks.data_statistics import DatasetStatistics, SamplerDistribution
from jersey.plots.class_bars import dataset_bars, sampler_bars

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
SPLITS = ("train", "val", "test")


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_each_label_has_a_row_and_a_resumed_run_has_all_epochs(crops_root: Path, tmp_path: Path) -> None:
    """A label without a folder, even one that is not a number, has a row; batches beyond the limit are counted."""
    names = ("01", "A7", "00", "0")
    data = tiny_data(crops_root, labels=names, sampler_power=0.5)
    for folder, stops in {"whole": [None], "parts": [1, None]}.items():
        for stop_after in stops:
            callbacks = (DatasetStatistics(), SamplerDistribution())
            fitted(tmp_path / folder, data, tiny_module(data), *callbacks, stop_after=stop_after, limit_batches=1)
    header, *rows = table(tmp_path / "parts" / "dataset.csv")
    assert header == ["label", *SPLITS]
    assert [row[0] for row in rows] == list(names)
    for name, *counts in rows:
        assert [int(count) for count in counts] == [len(list((crops_root / s / name).glob("*"))) for s in SPLITS]
    assert len({count for row in rows for count in row[1:]}) > 2, "the data set is too even to show a mix-up"
    assert table(tmp_path / "parts" / "class_sampling.csv") == table(tmp_path / "whole" / "class_sampling.csv")


def test_table_counts_the_crops_that_the_loader_samples(looked_at: LookedAt) -> None:
    data = looked_at.data
    header, natural, *epochs = table(looked_at.folder / "class_sampling.csv")
    assert header == ["source", "0", "00", "01"]
    assert natural == ["data set", *map(str, data.class_counts)]
    assert [row[0] for row in epochs] == [f"epoch {epoch}" for epoch in range(EPOCHS)]
    for epoch, row in enumerate(epochs):
        data.train_sampler.set_epoch(epoch)
        labels_N = torch.cat([batch["labels"] for batch in data.train_dataloader()])
        assert [int(cell) for cell in row[1:]] == labels_N.bincount(minlength=3).tolist()


@pytest.mark.parametrize(("name", "subset"), [("dataset", None), ("class_sampling", "train")])
def test_plot_matches_the_table_and_is_tracked_once_at_the_start(
    looked_at: LookedAt, name: str, subset: str | None
) -> None:
    _, *rows = table(looked_at.folder / f"{name}.csv")
    counts = np.array([[int(cell) for cell in row[1:]] for row in rows])
    if name == "dataset":
        expected = dataset_bars(counts.T, [row[0] for row in rows], splits=SPLITS, title=str(looked_at.data.root))
    else:
        assert counts[0].tolist() != counts[1].tolist()
        title = "Sampler, epoch 0: 48 crops sampled"
        expected = sampler_bars(counts[0], counts[1], looked_at.data.labels.names, title=title)
    ((image, where),) = [(image, where) for shown, image, where in looked_at.recorder.images if shown == name]
    assert where == {"step": 0, "epoch": 0, "subset": subset}
    assert image.tobytes() == Image.open(looked_at.folder / f"{name}.png").tobytes() == expected.tobytes()
