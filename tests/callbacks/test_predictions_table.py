"""The table in a real fit and test, held against the files and the module, and read back by the comparison of runs."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.real_fit import data_of, module_of, trainer_in

from jersey.callbacks.base import Scored
from jersey.callbacks.tables import PredictionsTable
from jersey.compare.comparison import compare
from jersey.compare.runs import read_run
from jersey.core.labels import Labels
from jersey.evaluation.metrics import Evaluation
from jersey.runs.folder import open_run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def fitted(crops_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    workdir, data = tmp_path_factory.mktemp("runs"), data_of(crops_root, eval_batch_size=5)
    runs = []
    for seed in (0, 1):
        run = open_run(workdir, "small", f"s{seed}", documents={"config.txt": f"seed = {seed}\nlr = 0.01\n"})
        module = module_of(data)
        trainer = trainer_in(run.path, module, PredictionsTable(), epochs=1 + seed)
        trainer.fit(module, datamodule=data)
        trainer.test(module, datamodule=data, verbose=False)
        run.reached("finished")
        runs.append((run.path, module))
    return data, runs


@pytest.mark.parametrize("subset", ["val", "test"])
def test_every_crop_has_a_row_in_the_order_of_the_split(fitted: Any, subset: str) -> None:
    data, [(folder, module), _] = fitted
    rows, split, evaluation = (
        table(folder / f"predictions_{subset}.csv"),
        data.splits[subset],
        module.evaluations[subset],
    )
    assert [data.root / row["file"] for row in rows] == list(split.paths)
    assert not any("\\" in row["file"] for row in rows)
    assert [row["true number"] for row in rows] == list(split.labels)
    assert [Path(row["file"]).parent.name for row in rows] == list(split.labels), "as the files' folders say"
    assert [int(row["bytes"]) for row in rows] == [len(path.read_bytes()) for path in split.paths]
    assert [row["read as"] for row in rows] == [data.labels.names[k] for k in evaluation.logits_NK.argmax(dim=1)]


@pytest.mark.parametrize("subset", ["val", "test"])
def test_probabilities_come_back_to_the_last_bit(fitted: Any, subset: str) -> None:
    _, [(folder, module), _] = fitted
    rows, evaluation = table(folder / f"predictions_{subset}.csv"), module.evaluations[subset]
    exp_NK = evaluation.logits_NK.double().softmax(dim=1)
    assert [float(row["confidence"]) for row in rows] == exp_NK.max(dim=1).values.tolist()
    assert [float(row["probability of the truth"]) for row in rows] == [
        p_K[k].item() for p_K, k in zip(exp_NK, evaluation.labels_N, strict=True)
    ]
    for row, p_K in zip(rows, exp_NK.tolist(), strict=True):
        higher = sum(p > float(row["probability of the truth"]) for p in p_K)
        assert int(row["rank of the truth"]) == 1 + higher
        assert (row["rank of the truth"] == "1") == (row["read as"] == row["true number"])


def test_real_runs_are_compared_and_score_what_the_module_said(fitted: Any) -> None:
    _, runs = fitted
    (first, of_first), (second, of_second) = runs
    found = compare([read_run(first)], [read_run(second)], rare=0)
    for name, key in (("top-1", "acc_top1"), ("macro recall", "recall_macro")):
        assert found.gains[name].a_S.tolist() == pytest.approx([of_first.evaluations["test"].metrics[key]])
        assert found.gains[name].b_S.tolist() == pytest.approx([of_second.evaluations["test"].metrics[key]])


def write(evaluation: Evaluation, names: tuple[str, ...], *, root: Path, paths: list[Path]) -> list[dict[str, str]]:
    data = SimpleNamespace(root=root, splits={"test": SimpleNamespace(paths=paths)})
    trainer: Any = SimpleNamespace(default_root_dir=root, datamodule=data)
    module: Any = SimpleNamespace(labels=Labels(names), evaluations={"test": evaluation})
    PredictionsTable().evaluated(Scored(trainer, module, "test"))
    return table(root / "predictions_test.csv")


def test_rows_follow_the_split_when_batches_did_not_and_odd_names_survive(tmp_path: Path) -> None:
    logits_NK = torch.tensor([[9.0, 0, 0], [0, 1, 3], [2, 5, 0]])
    evaluation = Evaluation(logits_NK, torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1]))
    paths = [tmp_path / "тест" / 'no "0", ñ.png', tmp_path / "b.png", tmp_path / "c, d.png"]
    paths[1].write_bytes(b"12345")
    rows = write(evaluation, ("0", "00", "Ж7"), root=tmp_path, paths=paths)
    assert [[*list(row.values())[:4], row["rank of the truth"]] for row in rows] == [
        ['тест/no "0", ñ.png', "", "00", "Ж7", "2"],
        ["b.png", "5", "Ж7", "00", "3"],
        ["c, d.png", "", "0", "0", "1"],
    ]


def test_of_equal_logits_the_first_is_read_as_in_the_metrics(tmp_path: Path) -> None:
    evaluation = Evaluation(torch.zeros(2, 3), torch.tensor([0, 2]), torch.arange(2))
    rows = write(evaluation, ("0", "00", "7"), root=tmp_path, paths=[tmp_path / "a.png", tmp_path / "b.png"])
    assert [(row["read as"], row["rank of the truth"]) for row in rows] == [("0", "1"), ("0", "3")]
    assert evaluation.metrics["acc_top1"] == 0.5
