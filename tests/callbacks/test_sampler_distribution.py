"""The table and the picture of what is drawn, against the loader."""

import csv
from pathlib import Path

import numpy as np
import torch
from helpers.real_fit import Recorder, data_of, module_of, resumed, trainer_in
from PIL import Image

from jersey.callbacks.data_statistics import SamplerDistribution
from jersey.plots.class_bars import sampler_bars


def table(folder: Path) -> list[list[str]]:
    with (folder / "sampler.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_table_holds_what_the_loader_really_draws(crops_root: Path, tmp_path: Path) -> None:
    data = data_of(crops_root, batch_size=16, sampler_power=1.0)
    module = module_of(data)
    trainer_in(tmp_path, module, SamplerDistribution(), epochs=3).fit(module, datamodule=data)
    header, natural, *epochs = table(tmp_path)
    assert header == ["drawn in", "0", "00", "01"]
    assert natural == ["data set", *map(str, data.class_counts)]
    assert [row[0] for row in epochs] == ["epoch 0", "epoch 1", "epoch 2"]
    for epoch, row in enumerate(epochs):
        data.train_sampler.set_epoch(epoch)
        labels_N = torch.cat([batch["labels"] for batch in data.train_dataloader()])
        assert len(labels_N) == 48
        assert [int(cell) for cell in row[1:]] == labels_N.bincount(minlength=3).tolist()


def test_a_resumed_run_has_all_its_epochs(crops_root: Path, tmp_path: Path) -> None:
    data = data_of(crops_root, sampler_power=0.5)
    whole = tmp_path / "whole"
    whole.mkdir()
    module = module_of(data)
    trainer_in(whole, module, SamplerDistribution(), epochs=4, limit_batches=1).fit(module, datamodule=data)
    resumed(tmp_path, data, SamplerDistribution, epochs=4, limit_batches=1)
    assert table(tmp_path) == table(whole)


def test_the_picture_of_the_first_epoch_goes_to_aim_once(crops_root: Path, tmp_path: Path) -> None:
    data = data_of(crops_root, sampler_power=1.0)
    recorder = Recorder(tmp_path)
    module = module_of(data)
    trainer = trainer_in(tmp_path, module, SamplerDistribution(), recorder=recorder, epochs=3)
    trainer.fit(module, datamodule=data)
    natural_K, drawn_K = (np.array([int(cell) for cell in row[1:]]) for row in table(tmp_path)[1:3])
    assert natural_K.tolist() != drawn_K.tolist()
    expected = sampler_bars(natural_K, drawn_K, data.labels.names, title="Sampler, epoch 0: 48 crops drawn")
    assert Image.open(tmp_path / "sampler.png").tobytes() == expected.tobytes()
    ((name, image, where),) = recorder.images
    assert (name, where) == ("sampler", {"step": 0, "epoch": 0, "subset": "train"})
    assert image.tobytes() == expected.tobytes()
