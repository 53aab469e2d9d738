"""The callback in a real fit and test of a module whose predictions are known."""

import csv
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from jersey.callbacks.tables import ConfusionMatrix
from jersey.core.labels import Labels
from jersey.evaluation.metrics import Evaluation
from jersey.plots.matrices import confusion_matrix
from jersey.runs.aim import AimTracker
from jersey.runs.state import RunState, join_all

VAL_LABELS_N = torch.tensor([0, 1, 2, 2])
TEST_LABELS_N = torch.tensor([2, 2, 2, 0])
READ_N = torch.tensor([0, 1, 1, 2])


class Recorder(AimTracker):
    """Keeps images instead of giving them to Aim."""

    def __init__(self, folder: Path) -> None:
        super().__init__(repo=folder / ".aim", experiment="e", run_name="r", hash_file=folder / "aim_hash")
        self.images: list[tuple[str, tuple[int, int], dict[str, Any]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_image(self, name: str, image: Image.Image, **where: Any) -> None:
        self.images.append((name, image.size, where))


class KnownPredictions(L.LightningModule):
    """Says READ_N whatever it is shown, as `JerseyModule` would hand it over."""

    def __init__(self) -> None:
        super().__init__()
        self.run_state = RunState()
        self.layer = torch.nn.Linear(1, 1)
        self.labels = Labels(("0", "00", "8"))
        self.evaluations: dict[str, Evaluation] = {}

    def setup(self, stage: str) -> None:
        join_all(self.trainer.loggers, self.run_state)

    def _evaluated(self, labels_N: torch.Tensor) -> Evaluation:
        return Evaluation(torch.nn.functional.one_hot(READ_N, 3).float(), labels_N, torch.arange(4))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.layer(batch[0]).mean()

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None: ...

    def on_validation_epoch_end(self) -> None:
        # Drawing in the sanity check would find nothing here, and fail.
        if not self.trainer.sanity_checking:
            self.evaluations["val"] = self._evaluated(VAL_LABELS_N)

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None: ...

    def on_test_epoch_end(self) -> None:
        self.evaluations["test"] = self._evaluated(TEST_LABELS_N)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


@pytest.fixture
def loader() -> DataLoader[tuple[torch.Tensor, ...]]:
    return DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)


@pytest.fixture
def trainer(tmp_path: Path, recorder: Recorder) -> L.Trainer:
    return L.Trainer(
        default_root_dir=tmp_path,
        logger=recorder,
        callbacks=[ConfusionMatrix()],
        max_epochs=2,
        num_sanity_val_steps=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def test_each_validation_and_the_test_are_drawn_once(
    trainer: L.Trainer, loader: DataLoader[Any], recorder: Recorder
) -> None:
    module = KnownPredictions()
    trainer.fit(module, loader, loader)
    trainer.validate(module, loader, verbose=False)
    trainer.test(module, loader, verbose=False)
    assert [(name, where) for name, _, where in recorder.images] == [
        ("confusion_matrix", {"step": 1, "epoch": 0, "subset": "val"}),
        ("confusion_matrix", {"step": 3, "epoch": 1, "subset": "val"}),
        ("confusion_matrix", {"step": 4, "epoch": 2, "subset": "test"}),
    ]
    folder = Path(trainer.default_root_dir)
    for name in ("val", "test"):
        assert Image.open(folder / f"confusion_matrix_{name}.png").format == "PNG"
    assert recorder.images[-1][1] == Image.open(folder / "confusion_matrix_test.png").size


def test_the_picture_is_that_of_the_collected_predictions(trainer: L.Trainer, loader: DataLoader[Any]) -> None:
    trainer.validate(KnownPredictions(), loader, verbose=False)
    counts_KK = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 1, 1]]).numpy()
    expected = confusion_matrix(counts_KK, ["0", "00", "8"], title="val")
    drawn = Image.open(Path(trainer.default_root_dir) / "confusion_matrix_val.png")
    assert drawn.tobytes() == expected.tobytes()


def test_counts_of_the_test_as_a_table(trainer: L.Trainer, loader: DataLoader[Any]) -> None:
    trainer.test(KnownPredictions(), loader, verbose=False)
    path = Path(trainer.default_root_dir) / "confusion_matrix_test.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[1:] == ["0", "00", "8"]
    assert rows == [["0", "0", "0", "1"], ["00", "0", "0", "0"], ["8", "1", "2", "0"]]


def test_other_ranks_draw_nothing(
    trainer: L.Trainer, loader: DataLoader[Any], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(L.pytorch.utilities.rank_zero_only, "rank", 1)
    module = KnownPredictions()
    trainer.validate(module, loader, verbose=False)
    trainer.test(module, loader, verbose=False)
    assert recorder.images == []
    assert list(Path(trainer.default_root_dir).iterdir()) == []


def test_works_without_a_tracker(tmp_path: Path, trainer: L.Trainer, loader: DataLoader[Any]) -> None:
    trainer.loggers = []
    trainer.test(KnownPredictions(), loader, verbose=False)
    assert (tmp_path / "confusion_matrix_test.png").exists()
