"""Run folders: only a config, the files that `jersey.compare` reads, or a whole real run."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import fiddle as fdl

from jersey import config as configs
from jersey.cli.commands import config_files, description_of
from jersey.core.tables import write_csv
from jersey.lint.checks import check, load
from jersey.runs.folder import RunFolder, open_run

HEADER = ("file", "size_bytes", "label", "predicted", "confidence", "label_probability", "label_rank")


def run_folder(
    folder: Path,
    predicted: Sequence[str],
    *,
    true: Sequence[str],
    config: str = "lr = 0.001",
    seed: int = 0,
    stage: str = "finished",
    train: Mapping[str, int] | None = None,
) -> Path:
    """Creates a run that predicted these numbers for crops `test/<label>/<index>.jpg` with the labels `true`."""
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"stage": stage, "epochs": 1}), encoding="utf-8")
    (folder / "config.txt").write_text(f"seed = {seed}\n{config}\n", encoding="utf-8")
    rows = [
        (f"test/{label}/{index}.jpg", 1000 + index, label, number, 0.5, 0.5, 1)
        for index, (label, number) in enumerate(zip(true, predicted, strict=True))
    ]
    write_csv(folder / "predictions_test.csv", HEADER, rows)
    if train is not None:
        write_csv(folder / "dataset.csv", ("label", "train", "val", "test"), [(n, c, 0, 0) for n, c in train.items()])
    return folder


def config_folder(config: fdl.Buildable, experiment: str, folder: Path) -> Path:
    """Writes the config files of a run."""
    for name, text in config_files(experiment, config).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def repeating_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns the parser of a command that repeats the run of a folder, with changes of its config."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the run to repeat, such as runs/quickstart/RUN")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="change of its config, such as trainer.epochs=2; may be given several times",
    )
    return parser


def run_again(folder: Path, changes: Sequence[str], workdir: Path, name: str) -> RunFolder:
    """Repeats the run of a folder under another name, with overrides as `--fdl_set` takes them."""
    experiment, config = load(folder)
    for change in changes:
        configs.apply_override(config, change)
    check(config)
    return full_run(config, experiment, workdir, name)


def full_run(config: fdl.Buildable, experiment: str, workdir: Path, name: str = "run") -> RunFolder:
    """Runs a config as `launch.py` does, but in this process: fit, test, export, report, with Aim."""
    files = config_files(experiment, config)
    folder = open_run(workdir, experiment, name, config_files=files)
    description = description_of(experiment, files.get("config_diff.txt", ""))
    run = fdl.build(config).run
    run(folder, aim_repo=workdir / ".aim", flat_config=configs.flatten(config), description=description)
    return folder
