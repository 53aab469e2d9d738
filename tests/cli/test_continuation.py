"""A finished run goes on: the flags that its refusal names, the weights they start from, and the lineage of the run."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.launched import NO_PICTURES
from test_launch import error_of

from jersey import config as configs
from jersey.cli.commands import config_files
from jersey.core.errors import UserError
from jersey.recipes.resnet18_small import resnet18_small
from jersey.runs.folder import open_run
from jersey.runs.provenance import record_start, record_weights

Launch = Callable[..., subprocess.CompletedProcess[str]]


def files_of(*overrides: str) -> dict[str, str]:
    config = resnet18_small()
    for override in overrides:
        configs.apply_override(config, override)
    return config_files("resnet18_small", config)


def finished(workdir: Path, *overrides: str, stage: str = "finished") -> Path:
    run = open_run(workdir, "resnet18_small", "one", config_files=files_of(*overrides))
    run.mark_stage(stage, epochs=3)
    return run.path


@pytest.mark.parametrize("taken", [(), ("one-2",)])
def test_more_epochs_of_a_finished_run_name_the_flags_of_another_run(tmp_path: Path, taken: tuple[str, ...]) -> None:
    path = finished(tmp_path / "my runs", "epochs=3")
    for name in taken:
        path.with_name(name).mkdir()
    with pytest.raises(UserError, match=r"trainer\.epochs was 3, now 10\); to train 7 more epochs from its") as caught:
        open_run(tmp_path / "my runs", "resnet18_small", "one", config_files=files_of("epochs=10"))
    flags = shlex.split(str(caught.value).partition(", add ")[2])
    assert flags == [
        f"--run=one-{2 + len(taken)}",
        f"--fdl_set=module.network.weights={path}",
        "--fdl_set=trainer.epochs=7",
    ]
    config = resnet18_small()
    for flag in flags[1:]:
        configs.apply_override(config, flag.partition("=")[2])
    assert (config.module.network.weights, config.trainer.epochs) == (str(path), 7)


@pytest.mark.parametrize(
    ("stage", "overrides"),
    [
        ("finished", ("epochs=2",)),  # fewer
        ("finished", ("epochs=9", "lr=0.5")),  # another value too
        ("test", ("epochs=9",)),  # not finished
        ("finished", ("seed=1",)),
    ],
)
def test_any_other_change_of_a_run_is_refused_as_before(stage: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    finished(tmp_path, "epochs=3", stage=stage)
    with pytest.raises(UserError, match="choose another --run, or use the same config"):
        open_run(tmp_path, "resnet18_small", "one", config_files=files_of(*overrides))


def weights_of(run: Path) -> list[dict[str, str]]:
    return json.loads((run / "provenance.json").read_text(encoding="utf-8"))[-1]["weights"]


def test_the_lineage_reaches_back_to_the_first_run_and_outlives_its_source(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("first", "second", "third")]
    for run, weights in zip(runs, ("imagenet", str(runs[0]), str(runs[1] / "checkpoints" / "best.ckpt")), strict=True):
        run.mkdir()
        record_start(run)
        record_weights(run, weights)
    sources = [each["source"] for each in weights_of(runs[2])]
    assert sources == [str(runs[1] / "checkpoints" / "best.ckpt"), str(runs[0]), "imagenet"]
    assert all(each["commit"] for each in weights_of(runs[2])[:2])
    before = weights_of(runs[2])
    (runs[1] / "provenance.json").unlink()
    record_start(runs[2])  # the run is resumed
    record_weights(runs[2], str(runs[1]))
    assert weights_of(runs[2]) == before
    record_start(runs[1])
    record_weights(runs[1], None)
    assert weights_of(runs[1]) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_named_flags_start_a_run_from_the_weights_of_the_finished_one(
    launch: Launch, crops_root: Path, tmp_path: Path
) -> None:
    flags = ["--exp=resnet18_small", f"--fdl_set=root={crops_root}", "--fiddler=smoke", "--fiddler=cpu", *NO_PICTURES]
    flags += ["--fdl_set=data.size_px=(32,32)", "--fdl_set=profile=False", "--run=one"]
    result = launch(*flags)
    assert result.returncode == 0, result.stderr
    more = shlex.split(error_of(launch(*flags, "--fdl_set=epochs=2")).partition(", add ")[2])
    result = launch(*flags, "--fdl_set=epochs=2", *more)
    assert result.returncode == 0, result.stderr
    assert re.search(r"weights of \S+/one: the backbone .*; 3 of 3 rows of the labels", result.stderr)
    first, second = ((tmp_path / "runs" / "resnet18_small" / name) for name in ("one", "one-2"))
    assert [each["source"] for each in weights_of(second)] == [str(first)]
    assert f"| initial weights | {first} (commit " in (second / "report.md").read_text(encoding="utf-8").replace(
        "\\", ""
    )
