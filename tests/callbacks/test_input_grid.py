"""The sample grid in a real fit: it shows what the network gets, and training is the same without it."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.small_run import small_data, small_module, small_trainer, watch_grids
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor

from jersey.augment.mixing import CutMix, Mix, MixUp
from jersey.callbacks.grids import SampleGrid

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


class Witness(Callback):
    """Keeps what the network was given in training, by (epoch, batch), with the labels."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        def keep(_: Any, inputs: tuple[Tensor]) -> None:
            self.seen[trainer.current_epoch, batch_idx] = (inputs[0].clone(), batch["labels"])

        self._hook = module.network.register_forward_pre_hook(keep)

    def on_train_batch_end(self, *_: Any) -> None:
        self._hook.remove()


@pytest.mark.parametrize(
    ("is_augmented", "mix"), [(True, None), (False, None), (True, CutMix(alpha=1.0)), (False, MixUp(alpha=1.0))]
)
def test_the_pictured_pixels_are_those_the_network_gets(
    crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_augmented: bool, mix: Mix | None
) -> None:
    data, witness, grids = small_data(crops_root), Witness(), watch_grids(monkeypatch)
    module = small_module(data, is_augmented=is_augmented)
    module.mix = mix
    is_changed = is_augmented or mix is not None
    trainer = small_trainer(tmp_path, witness, SampleGrid(crops=9, every_epochs=2), epochs=4)
    trainer.fit(module, datamodule=data)
    assert len(witness.seen) == 4 * 3
    assert len(grids) == 2
    for epoch, (section,) in zip((0, 2), grids.values(), strict=True):
        images_BCHW, labels_B = witness.seen[epoch, 0]
        assert (len(section.tiles), section.out_of) == (9, 16)
        assert ("unchanged" in section.heading) != is_changed
        for tile, image_CHW, label in zip(section.tiles, images_BCHW, labels_B.tolist(), strict=False):
            shown_CHW = torch.from_numpy(tile.images[-1]).permute(2, 0, 1)
            assert (shown_CHW - image_CHW.float()).abs().max() <= 0.51
            assert len(tile.images) == (2 if is_changed else 1)
            assert tile.caption[0] == data.labels.names[label]
            stored_NCHW = data.decoded["train"].images_NCHW[data.decoded["train"].labels_N == label]
            first_CHW = torch.from_numpy(tile.images[0]).permute(2, 0, 1)
            assert (stored_NCHW == first_CHW).flatten(1).all(dim=1).any()
    assert Image.open(tmp_path / "samples_train.png").format == "PNG"


def test_by_default_only_the_first_epoch_is_drawn(
    crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, grids = small_data(crops_root), watch_grids(monkeypatch)
    small_trainer(tmp_path, SampleGrid(), epochs=2).fit(small_module(data), datamodule=data)
    assert len(grids) == 1
    assert "0" in next(iter(grids))


def test_training_is_the_same_without_it(crops_root: Path, tmp_path: Path) -> None:
    states = []
    for callbacks in ([], [SampleGrid(every_epochs=1)]):
        data = small_data(crops_root)
        module = small_module(data)
        torch.manual_seed(5)
        small_trainer(tmp_path, *callbacks, epochs=2).fit(module, datamodule=data)
        states.append(module.state_dict() | {"generator": torch.get_rng_state()})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_other_ranks_draw_nothing(crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(L.pytorch.utilities.rank_zero_only, "rank", 1)
    data = small_data(crops_root)
    small_trainer(tmp_path, SampleGrid()).fit(small_module(data), datamodule=data)
    assert not list(tmp_path.glob("*.png"))
