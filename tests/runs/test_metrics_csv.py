"""The metrics file: read as any user would, with the csv module."""

import math
from pathlib import Path

import lightning as L
import pytest
import torch
from helpers.countdown import Countdown, rows_of
from torch.utils.data import DataLoader, TensorDataset

from jersey.core.errors import UserError
from jersey.runs.metrics_csv import MetricsCsv


def test_train_and_val_of_an_epoch_share_a_row(tmp_path: Path) -> None:
    logger = MetricsCsv(run_dir=tmp_path)
    logger.log_metrics({"val/loss": 0.5, "epoch": 0}, step=9)
    logger.log_metrics({"train/loss": 0.75, "epoch": 0}, step=9)
    logger.log_metrics({"val/loss": 0.25, "epoch": 1}, step=19)
    assert rows_of(tmp_path) == [
        {"epoch": "0", "step": "9", "train/loss": "0.75", "val/loss": "0.5"},
        {"epoch": "1", "step": "19", "train/loss": "", "val/loss": "0.25"},
    ]


def test_values_survive_exactly(tmp_path: Path) -> None:
    values = [1 / 3, 1e-17, 123456789.123456789, math.inf, -0.0, float(torch.tensor(0.1))]
    logger = MetricsCsv(run_dir=tmp_path)
    for epoch, value in enumerate(values):
        logger.log_metrics({"x": value, "epoch": epoch}, step=epoch)
    MetricsCsv(run_dir=tmp_path).log_metrics({"x": math.nan, "epoch": 99}, step=99)
    read = [float(row["x"]) for row in rows_of(tmp_path)]
    assert read[:-1] == values
    assert math.isnan(read[-1])


def test_columns_come_sorted_after_the_keys_whenever_they_appear(tmp_path: Path) -> None:
    logger = MetricsCsv(run_dir=tmp_path)
    logger.log_metrics({"val/b": 1.0, "epoch": 0}, step=0)
    logger.log_metrics({"train/z": 1.0, "val/a": 2.0, "epoch": 1}, step=1)
    assert list(rows_of(tmp_path)[0]) == ["epoch", "step", "train/z", "val/a", "val/b"]
    assert rows_of(tmp_path)[0]["val/b"] == "1.0"


def test_metrics_without_an_epoch_join_the_next_row(tmp_path: Path) -> None:
    logger = MetricsCsv(run_dir=tmp_path)
    logger.log_metrics({"lr": 0.1}, step=0)
    logger.log_metrics({"lr": 0.05}, step=4)
    logger.log_metrics({"train/loss": 1.0, "epoch": 0}, step=5)
    logger.log_metrics({"train/loss": 1.0, "epoch": 1}, step=9)
    assert [row["lr"] for row in rows_of(tmp_path)] == ["0.05", ""]


def test_test_metrics_stand_in_one_last_row(tmp_path: Path) -> None:
    logger = MetricsCsv(run_dir=tmp_path)
    logger.log_metrics({"val/loss": 0.5, "epoch": 0}, step=9)
    logger.log_metrics({"test/loss": 0.7, "epoch": 1}, step=10)
    resumed = MetricsCsv(run_dir=tmp_path)
    resumed.log_metrics({"val/loss": 0.25, "epoch": 1}, step=19)
    resumed.log_metrics({"test/loss": 0.6, "epoch": 2}, step=20)
    assert [(row["epoch"], row["val/loss"], row["test/loss"]) for row in rows_of(tmp_path)] == [
        ("0", "0.5", ""),
        ("1", "0.25", ""),
        ("1", "", "0.6"),
    ]


def test_test_alone(tmp_path: Path) -> None:
    MetricsCsv(run_dir=tmp_path).log_metrics({"test/loss": 0.7, "epoch": 0}, step=0)
    MetricsCsv(run_dir=tmp_path).log_metrics({"test/acc": 0.6, "epoch": 0}, step=0)
    assert rows_of(tmp_path) == [{"epoch": "", "step": "", "test/acc": "0.6"}]


def test_an_epoch_done_again_replaces_its_row_and_keeps_the_others(tmp_path: Path) -> None:
    first = MetricsCsv(run_dir=tmp_path)
    for epoch in range(3):
        first.log_metrics({"val/loss": float(epoch), "epoch": epoch}, step=epoch)
    resumed = MetricsCsv(run_dir=tmp_path)
    resumed.log_metrics({"val/loss": 20.0, "epoch": 2}, step=2)
    resumed.log_metrics({"val/loss": 30.0, "epoch": 3}, step=3)
    assert [(row["epoch"], row["val/loss"]) for row in rows_of(tmp_path)] == [
        ("0", "0.0"),
        ("1", "1.0"),
        ("2", "20.0"),
        ("3", "30.0"),
    ]


@pytest.mark.parametrize(
    "content", ["not,a,metrics\n1,2,3\n", "epoch,step\nfirst,1\n", "epoch,step,x\n0,1,2,3\n", 'epoch,step\n0,"1\n']
)
def test_a_damaged_file_is_a_clear_error_and_stays_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.csv"):
        MetricsCsv(run_dir=tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == content


def test_the_callers_metrics_are_left_alone(tmp_path: Path) -> None:
    metrics = {"val/loss": 0.5, "epoch": 0.0}
    MetricsCsv(run_dir=tmp_path).log_metrics(metrics, step=1)
    assert metrics == {"val/loss": 0.5, "epoch": 0.0}


def test_lightning_fit_and_resume_give_one_row_an_epoch(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)
    for epochs in (2, 3):
        trainer = L.Trainer(
            default_root_dir=tmp_path,
            logger=MetricsCsv(run_dir=tmp_path),
            max_epochs=epochs,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        checkpoint = tmp_path / "last.ckpt"
        trainer.fit(Countdown(), loader, loader, ckpt_path=checkpoint if checkpoint.exists() else None)
        trainer.save_checkpoint(checkpoint)
    assert [tuple(row.values()) for row in rows_of(tmp_path)] == [
        ("0", "1", "0.0", "10.0"),
        ("1", "3", "1.0", "11.0"),
        ("2", "5", "2.0", "12.0"),
    ]
