"""Folders of finished runs, as a real run leaves them, with what `jersey.compare` reads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from jersey.core.tables import write_csv

HEADER = ("file", "bytes", "true number", "read as", "confidence", "probability of the truth", "rank of the truth")


def run_folder(
    folder: Path,
    read: Sequence[str],
    *,
    true: Sequence[str],
    config: str = "lr = 0.001",
    seed: int = 0,
    stage: str = "finished",
    train: Mapping[str, int] | None = None,
) -> Path:
    """A run that has read these numbers on `test/<true number>/<index>.jpg`."""
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"stage": stage, "epochs": 1}), encoding="utf-8")
    (folder / "config.txt").write_text(f"seed = {seed}\n{config}\n", encoding="utf-8")
    rows = [
        (f"test/{number}/{index}.jpg", 1000 + index, number, said, 0.5, 0.5, 1)
        for index, (number, said) in enumerate(zip(true, read, strict=True))
    ]
    write_csv(folder / "predictions_test.csv", HEADER, rows)
    if train is not None:
        write_csv(folder / "dataset.csv", ("number", "train", "val", "test"), [(n, c, 0, 0) for n, c in train.items()])
    return folder
