"""The table of recipes, from real runs on a small version of the benchmark set."""

from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import numpy as np
import pytest
import torch
from helpers.run_folders import full_run

from jersey import config as configs
from jersey.compare.recipes import RARE, RecipeScore, recipe_table, score
from jersey.compare.runs import read_run
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.data.decode import decode
from jersey.data.index import read_splits
from jersey.experiment import load_best_weights
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import load
from jersey.models.parts import NUMBERS as ALL_NUMBERS
from jersey.synth.benchmark import UNSEEN, UNSEEN_NUMBERS
from jersey.synth.generate import generate

pytestmark = pytest.mark.slow

NUMBERS = ("20", "38", *RARE)
SIZE_PX = 32


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmark") / "root"
    generate(root, numbers=NUMBERS, train=480, val=24, test=120, size_px=SIZE_PX, workers=1)
    generate(root / UNSEEN, numbers=UNSEEN_NUMBERS, train=8, val=8, test=80, size_px=SIZE_PX, seed=1, workers=1)
    return root


def finished(experiment: str, root: Path, workdir: Path, *, epochs: int) -> Path:
    config = configs.get_experiment(experiment)()
    config.data.root = str(root)
    config.data.size_px = (SIZE_PX, SIZE_PX)
    config.data.batch_size = 16
    config.module.augment = None
    config.trainer.epochs = epochs
    config.module.optimizer.lr = 1e-3
    config.trainer.accelerator = "cpu"
    for name in ("grad_cam", "progress", "input_grid", "prediction_grid", "training_curves"):
        setattr(config.trainer.callbacks, name, None)
    config.profile = False
    return full_run(config, experiment, workdir).path


@pytest.fixture(scope="module")
def compositional(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished("resnet18_small", root, tmp_path_factory.mktemp("runs"), epochs=6)


def accuracy_of(folder: Path, root: Path, numbers: tuple[str, ...]) -> float:
    """Computes the accuracy on crops of these numbers by the exported file."""
    model, test = OnnxModel(folder / "model.onnx"), read_splits(root)["test"]
    correct = []
    for path, number in zip(test.paths, test.labels, strict=True):
        if number in numbers:
            logits_1K = model.logits(decode(path).transpose(2, 0, 1)[None])
            correct.append(model.labels.names[logits_1K.argmax()] == number)
    return float(np.mean(correct))


def test_scores_match_the_exported_file(compositional: Path, root: Path) -> None:
    scored = score(read_run(compositional))
    assert scored.all == pytest.approx(accuracy_of(compositional, root, NUMBERS))
    assert scored.rare == pytest.approx(accuracy_of(compositional, root, RARE))
    assert 0 < scored.all != scored.rare > 0  # so the comparison is not trivial


def test_open_vocabulary_scores_match_single_predictions(compositional: Path, root: Path) -> None:
    module = configs.build(load(compositional)[1]).module(
        labels=Labels.from_names(NUMBERS), class_counts=[1] * len(NUMBERS), seed=0
    )
    load_best_weights(module, compositional / "checkpoints" / "best.ckpt")
    module.eval()
    accuracy = {}
    for name, folder in (("open", root), ("unseen", root / UNSEEN)):
        test = read_splits(folder)["test"]
        crops = [torch.from_numpy(decode(path)).permute(2, 0, 1)[None] for path in test.paths]
        with torch.inference_mode():
            predictions = [ALL_NUMBERS[module.network.open_vocabulary_logits(crop).argmax()] for crop in crops]
        accuracy[name] = np.mean([each == label for each, label in zip(predictions, test.labels, strict=True)])
    scored = score(read_run(compositional))
    assert (scored.open, scored.unseen) == pytest.approx((accuracy["open"], accuracy["unseen"]))
    assert scored.open > 0  # the accuracy on the few unseen numbers may be 0 after so short a run


def test_a_linear_head_predicts_no_unseen_number(root: Path, tmp_path: Path) -> None:
    scored = score(read_run(finished("resnet18_small_linear_head", root, tmp_path, epochs=1)))
    assert (scored.unseen, scored.open) == (0, 0)
    assert scored.all > 0


def test_the_table_has_mean_and_standard_deviation_and_the_best_first() -> None:
    worse = [RecipeScore(all=0.5, rare=0.25, unseen=0.0, open=0.0)]
    better = [
        RecipeScore(all=0.8, rare=0.5, unseen=0.1, open=0.75),
        RecipeScore(all=0.9, rare=0.5, unseen=0.3, open=0.75),
    ]
    head, first, second = recipe_table({"worse": worse, "better": better}).splitlines()
    assert head.split() == ["runs", "all", "rare", "unseen", "open"]
    assert " ".join(first.split()) == "better 2 85.0 ± 7.1 50.0 ± 0.0 20.0 ± 14.1 75.0 ± 0.0"
    assert second.split() == ["worse", "1", "50.0", "25.0", "0.0", "0.0"]


def test_runs_on_other_data_raise_an_error(compositional: Path, root: Path) -> None:
    (root / UNSEEN).rename(root / "elsewhere")
    try:
        with pytest.raises(UserError, match="benchmark set"):
            score(read_run(compositional))
    finally:
        (root / "elsewhere").rename(root / UNSEEN)
