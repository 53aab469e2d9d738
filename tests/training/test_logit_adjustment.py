"""Trainings with logit adjustment on imbalanced crops: the counts in the loss, the checkpoint and the evaluation."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.countdown import rows_of
from helpers.repository import NUMBERS
from helpers.small_run import fitted, tiny_data, tiny_module

from jersey.data.datamodule import JerseyDataModule
from jersey.synth.generate import generate
from jersey.training.losses import LogitAdjustedLoss

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> JerseyDataModule:
    root = tmp_path_factory.mktemp("long_tail") / "crops"
    generate(root, numbers=NUMBERS, train=48, val=13, test=11, size_px=32, imbalance=4.0, workers=1)
    return tiny_data(root)


def test_module_passes_the_counts_of_its_data_to_the_loss(data: JerseyDataModule) -> None:
    module = tiny_module(data, loss=LogitAdjustedLoss(tau=0.5))
    counts_K = torch.tensor([data.splits["train"].labels.count(name) for name in data.labels.names])
    assert len(counts_K.unique()) > 1
    torch.testing.assert_close(module.log_prior_K, 0.5 * counts_K.log())
    assert not tiny_module(data).log_prior_K.any()


def test_evaluation_has_no_adjustment_and_a_checkpoint_no_counts(data: JerseyDataModule, tmp_path: Path) -> None:
    module = tiny_module(data, loss=LogitAdjustedLoss(tau=1.0))
    checkpoint = fitted(tmp_path, data, module, epochs=1)
    assert checkpoint["state_dict"].keys() == tiny_module(data).state_dict().keys()
    evaluation = module.evaluations["val"]
    expected = F.cross_entropy(evaluation.logits_NK.double(), evaluation.labels_N).item()
    (row,) = rows_of(tmp_path)
    assert float(row["val/loss"]) == pytest.approx(expected, rel=1e-5)
    train = module.loss(evaluation.logits_NK, evaluation.labels_N, torch.ones(len(data.labels))).item()
    assert train != pytest.approx(expected, rel=0.01)
