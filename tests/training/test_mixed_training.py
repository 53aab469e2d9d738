"""Training on mixed crops: the targets of the loss, the logged metrics, and the random numbers."""

from pathlib import Path

import pytest
import torch
from helpers.countdown import rows_of
from helpers.small_run import EPOCHS, fitted, noisy_module, tiny_data, tiny_module
from torch import Tensor

from jersey.augment.base import Augment
from jersey.augment.color import Noise
from jersey.augment.mixing import MixUp
from jersey.callbacks.training_curves import TrainingCurves
from jersey.data.datamodule import JerseyDataModule
from jersey.training.losses import FocalLoss

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


class WatchedLoss(FocalLoss):
    """A focal loss that records its targets."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Tensor] = []

    def forward(self, logits_BK: Tensor, targets: Tensor, class_weights_K: Tensor) -> Tensor:
        self.targets.append(targets)
        return super().forward(logits_BK, targets, class_weights_K)


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


def test_mixed_batches_have_fractions_and_the_train_split_has_only_a_loss(
    data: JerseyDataModule, tmp_path: Path
) -> None:
    loss = WatchedLoss()
    module = noisy_module(data, mix=MixUp(alpha=1.0, p=0.5), loss=loss)
    fitted(tmp_path, data, module, TrainingCurves(interval_s=0.0))
    assert {bool((targets_BK.max(dim=1).values < 1).any()) for targets_BK in loss.targets} == {True, False}
    rows = rows_of(tmp_path)
    assert len(rows) == EPOCHS
    assert [name for name in rows[0] if name.startswith("train/")] == ["train/loss"]
    assert all(float(row["train/loss"]) > 0 and float(row["val/acc_top1"]) >= 0 for row in rows)
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_mixing_does_not_change_the_augmentation(data: JerseyDataModule) -> None:
    """Mixing follows augmentation and has its own random numbers, so unmixed batches are as without mixing."""
    batch = next(iter(data.train_dataloader()))
    plain, rarely = noisy_module(data), noisy_module(data, mix=MixUp(alpha=1.0, p=1e-9))
    images_BCHW, targets_BK = rarely.prepare_batch(batch, 3)
    assert torch.equal(images_BCHW, plain.prepare_batch(batch, 3)[0])
    assert torch.equal(targets_BK.argmax(dim=1), batch["labels"])


def test_mixing_and_augmentation_have_different_random_streams(data: JerseyDataModule) -> None:
    class WatchedNoise(Noise):
        def forward(self, images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
            seeds.append(generator.initial_seed())
            return images_BCHW

    class WatchedMix(MixUp):
        def __call__(
            self, images_BCHW: Tensor, labels_B: Tensor, generator: torch.Generator, *, num_classes: int
        ) -> tuple[Tensor, Tensor]:
            seeds.append(generator.initial_seed())
            return super().__call__(images_BCHW, labels_B, generator, num_classes=num_classes)

    seeds: list[int] = []
    module = tiny_module(data, augment=Augment(noise=WatchedNoise(std=0.1)), mix=WatchedMix(alpha=1.0))
    for index in range(3):
        module.prepare_batch(next(iter(data.train_dataloader())), index)
    assert len(seeds) == len(set(seeds)) == 6


def test_random_numbers_depend_on_batch_seed_and_process_only(
    data: JerseyDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = next(iter(data.train_dataloader()))
    module, other = noisy_module(data, mix=MixUp(alpha=1.0)), noisy_module(data, mix=MixUp(alpha=1.0))
    other.seed = 1
    seen = [each.prepare_batch(batch, index) for each, index in ((module, 0), (module, 0), (module, 1), (other, 0))]
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    for rank in ("0", "1", "1"):
        monkeypatch.setenv("RANK", rank)
        seen.append(module.prepare_batch(batch, 0))
    different = [seen[index] for index in (0, 2, 3, 4, 5)]
    for part in (0, 1):
        assert len({tuple(each[part].flatten().tolist()) for each in different}) == 5
        assert torch.equal(seen[0][part], seen[1][part])
        assert torch.equal(seen[5][part], seen[6][part])
