"""Real runs, a sweep and an audit that start together on one data root, one cache and one Aim repository."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.aim_repository import hashes_in
from helpers.launched import NO_PICTURES, Started
from helpers.repository import NUMBERS

from jersey.data.datamodule import JerseyDataModule
from jersey.synth.generate import generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EPOCHS = 3


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Started]:
    """Returns a function that starts a run by its name and more flags, on data that no run has read before."""
    root = tmp_path / "crops"
    generate(root, numbers=NUMBERS, train=48, val=12, test=12, size_px=40, imbalance=2.0, workers=1)
    sets = ("data.size_px=(32, 32)", "batch_size=16", "weights=None", f"epochs={EPOCHS}", f"data.root={root}")
    flags = ["--exp=resnet18_baseline", "--fiddler=cpu", *NO_PICTURES, *(f"--fdl_set={each}" for each in sets)]
    starts = iter(range(100))

    def started(name: str, *more: str) -> Started:
        folder = tmp_path / f"start-{next(starts)}"
        folder.mkdir()
        return Started([*flags, *more, f"--run={name}", f"--workdir={tmp_path / 'runs'}"], folder)

    return started


def wait_for(path: Path, run: Started) -> None:
    while not path.exists():
        assert run.is_running(), run.ended(timeout_s=1).stderr
        time.sleep(0.02)


def test_runs_share_cache_and_aim_and_refuse_to_share_a_name(start: Callable[..., Started], tmp_path: Path) -> None:
    folders = {name: tmp_path / "runs" / "resnet18_baseline" / name for name in ("one", "two")}
    one, two = start("one"), start("two")
    wait_for(folders["one"] / "status.json", one)
    again = start("one").ended(timeout_s=200)
    assert again.returncode == 2, again.stderr
    assert again.stderr.splitlines()[-1].startswith(f"error: the run {folders['one']} is in use by another process")

    wait_for(folders["two"] / "checkpoints" / "last.ckpt", two)
    two.kill()  # while it has its folder and its Aim run open
    killed_hash = (folders["two"] / "aim_hash").read_text()
    two = start("two")
    for run in (one, two):
        ended = run.ended(timeout_s=280)
        assert ended.returncode == 0, ended.stderr
        assert "Aim stops" not in ended.stderr
    assert "resuming" in ended.stderr

    assert sorted(hashes_in(tmp_path / "runs")) == sorted(
        (folder / "aim_hash").read_text() for folder in folders.values()
    )
    assert (folders["two"] / "aim_hash").read_text() == killed_hash
    decoded = sorted((tmp_path / "crops" / ".decoded").glob("*[0-9a-f].npy"))
    assert [file.name.partition("-")[0] for file in decoded] == ["test", "train", "val"]


def test_two_runs_a_sweep_and_an_audit_may_all_start_at_once(start: Callable[..., Started], tmp_path: Path) -> None:
    """They find neither decoded crops nor an Aim repository; one of them creates each, and all use it."""
    root, runs = tmp_path / "crops", tmp_path / "runs" / "resnet18_baseline"
    more = ("--fdl_set=epochs=1", "--fdl_set=profile=False")
    together = [start("one", *more), start("two", *more), start("try", *more, "--sweep=seed=1,2,3,4", "--jobs=2")]
    together.append(Started([str(root)], tmp_path, "jersey.data.audit"))
    for each in together:
        ended = each.ended(timeout_s=500)
        assert ended.returncode == 0, ended.stderr
        assert "Aim stops" not in ended.stderr

    folders = [runs / name for name in ("one", "two", *(f"try-seed={seed}" for seed in range(1, 5)))]
    assert sorted(path for path in runs.iterdir() if path.is_dir()) == sorted(folders)
    assert hashes_in(tmp_path / "runs") == sorted((folder / "aim_hash").read_text() for folder in folders)
    one, two, *swept = [(folder / "predictions_test.csv").read_bytes() for folder in folders]
    assert one == two  # they have one seed
    assert one not in swept

    data = JerseyDataModule(str(root), seed=0, size_px=(32, 32))
    data.setup()
    decoded = sorted((root / ".decoded").glob("*[0-9a-f].npy"))
    assert [file.name.partition("-")[0] for file in decoded] == ["test", "train", "val"]
    for file, split in zip(decoded, ("test", "train", "val"), strict=True):
        np.testing.assert_array_equal(np.load(file), data.decoded[split].images_NCHW)
