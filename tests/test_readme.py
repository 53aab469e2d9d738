"""Every command and program of the README, run as it stands there but for its paths and its length."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from helpers.planted_model import file_of, planted_model
from helpers.readme import BLOCKS, COMMANDS, QUICK_START, README, commands, run
from helpers.repository import NUMBERS, REPOSITORY
from helpers.run_folders import run_folder

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# A smaller run of the same kind, for the commands whose length or download is not the point.
SHORT = ("--fiddler=smoke", "--fdl_set=data.size_px=(32,32)", "--fdl_set=weights=None")

TEST = [command for command in COMMANDS if command.endswith("uv run pytest")]  # this very run


def test_every_command_is_run_below() -> None:
    parts = (
        "--print_config",
        "--list",
        "--fiddler",
        "root=/my/crops",
        "jersey.data.audit",
        "jersey.synth",
        "aim up",
        "--diff",
        "--sweep",
        "--config",
        "jersey.cli",
        "jersey.compare",
        "jersey.bench",
        "torchrun",
        "jersey.inference",
    )
    run_below = {command for part in parts for command in commands(part)}
    assert set(COMMANDS) == run_below | set(QUICK_START) | set(TEST)


@pytest.mark.parametrize("command", [*commands("--print_config"), *commands("--list")])
def test_commands_that_print(command: str, tmp_path: Path) -> None:
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 5


def test_the_difference_is_the_one_shown(tmp_path: Path) -> None:
    (command,) = commands("--diff")
    result = run(command, tmp_path)
    assert result.returncode == 1, result.stderr
    shown = next(text for kind, text in BLOCKS if not kind and "trainer.epochs" in text)
    assert result.stdout.strip() == shown.strip()


def test_a_run_is_repeated_from_its_config_to_the_same_weights(crops_root: Path, tmp_path: Path) -> None:
    flags = (*SHORT, "--fiddler=cpu", f"--fdl_set=root={crops_root}", "--run=first")
    result = run("uv run launch.py --exp=resnet18_baseline", tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    (command,) = commands("--config")
    result = run(command.replace("quickstart/RUN", "resnet18_baseline/first"), tmp_path, "--run=second")
    assert result.returncode == 0, result.stderr
    first, second = (
        torch.load(tmp_path / "runs" / "resnet18_baseline" / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("first", "second")
    )
    for kind in ("state_dict", "current_model_state"):
        assert all(torch.equal(first[kind][name], second[kind][name]) for name in first[kind])


def test_a_sweep_has_a_command_for_each_run(tmp_path: Path) -> None:
    told, printed = commands("--sweep")
    result = run(printed.partition(" > ")[0], tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 6
    assert printed.startswith(told)


@pytest.mark.parametrize("command", [each for each in commands("--fiddler") if each not in commands("=benchmark")])
def test_commands_that_try_something_out(command: str, tmp_path: Path) -> None:
    drawn = [f"--fdl_set=draw.{split}=60" for split in ("train", "val", "test")]
    result = run(command, tmp_path, *(drawn if "--exp=quickstart" in command else []))
    assert result.returncode == 0, result.stderr


def test_the_recipe_that_is_measured_trains(crops_root: Path, tmp_path: Path) -> None:
    (command,) = commands("=benchmark")
    result = run(command, tmp_path, *SHORT, f"--fdl_set=root={crops_root}", "--fdl_set=draw=None")
    assert result.returncode == 0, result.stderr


def test_two_sides_of_runs_are_compared(tmp_path: Path) -> None:
    (command,) = commands("jersey.compare")
    for side, pattern in enumerate(re.findall(r"runs/\S+", command)):
        folders = [pattern.replace("*", f"seed={seed}") for seed in range(2)]
        for seed, folder in enumerate(folders):
            read = ["23" if index % 5 else str((index + side) % 7) for index in range(300)]
            run_folder(tmp_path / folder, read, true=["23"] * 300, seed=seed)
        command = command.replace(pattern, " ".join(folders))
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "no difference shown" in result.stdout


def test_what_augmentation_destroys_is_counted(tmp_path: Path) -> None:
    (command,) = commands("jersey.cli.label_preservation")
    folder = tmp_path / "runs" / "quickstart" / "RUN"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(configs.to_json(configs.get_experiment("quickstart")(), "quickstart"))
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stderr
    assert {"geometry", "colour"} <= {line.split()[0] for line in result.stdout.splitlines()}


def test_epochs_are_timed_beside_the_usual_ways(crops_root: Path, tmp_path: Path) -> None:
    (command,) = commands("jersey.bench.epoch")
    config = configs.get_experiment("quickstart")()
    config.data.root, config.data.draw, config.data.batch_size = str(crops_root), None, 16
    folder = tmp_path / "runs" / "quickstart" / "RUN"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(configs.to_json(config, "quickstart"), encoding="utf-8")
    result = run(command, tmp_path, "--rounds=2", "--batches=2")
    assert result.returncode == 0, result.stderr
    assert {"jersey", "torchvision"} <= json.loads(result.stdout.splitlines()[-1])["rows"][0]["training"].keys()


def test_several_processes_of_one_machine_and_of_two(crops_root: Path, tmp_path: Path) -> None:
    alone, of_two_machines = commands("torchrun")
    few = ("--fdl_set=accelerator=cpu", f"--fdl_set=root={crops_root}", *SHORT)
    for folder in ("alone", "shared"):
        (tmp_path / folder).mkdir()
    result = run(alone.replace("=8", "=2"), tmp_path / "alone", *few)
    assert result.returncode == 0, result.stderr
    shared = tmp_path / "shared"
    here = of_two_machines.replace("=8", "=1").replace("HOST", "127.0.0.1")
    with ThreadPoolExecutor() as machines:
        there = here.replace("--node_rank=0", "--node_rank=1")
        results = list(machines.map(lambda command: run(command, shared, *few), (here, there)))
    assert [each.returncode for each in results] == [0, 0], results
    for folder in ("alone", "shared"):
        (report,) = (tmp_path / folder).glob("runs/resnet18_baseline/big/report.md")
        assert "2 processes" in report.read_text(encoding="utf-8")


def files_of_a_run() -> set[str]:
    """As the README's table names them: `..._test.png` and `last.ckpt` go on like the first of their row."""
    names = set()
    for row in re.findall(r"^\| (`.*?`) \|", README[README.index("## What a run leaves") :], flags=re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        folder, stem = first.rpartition("/")[0], first.rpartition("_")[0]
        others = [other.replace("...", stem) for other in others]
        names |= {first, *(f"{folder}/{other}" if folder else other for other in others)}
    return names


def test_own_crops_a_model_for_the_program_and_a_repository_for_aim(crops_root: Path, tmp_path: Path) -> None:
    for command in commands("root=/my/crops"):
        result = run(command.replace("/my/crops", str(crops_root)), tmp_path, *SHORT)
        assert result.returncode == 0, result.stderr
    (model,) = tmp_path.glob("runs/resnet18_baseline/*/model.onnx")
    left = {path.relative_to(model.parent).as_posix() for path in model.parent.rglob("*") if path.is_file()}
    assert left - {".lock"} == files_of_a_run()
    (tmp_path / "model.onnx").write_bytes(model.read_bytes())
    (tmp_path / "crop.jpg").write_bytes(next((crops_root / "test" / "00").iterdir()).read_bytes())
    program = next(text for kind, text in BLOCKS if kind == "python" and "onnxruntime" in text)
    said = subprocess.run(
        [sys.executable, "-c", program, "crop.jpg"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert said.stdout.split()[1] in NUMBERS
    (command,) = commands("aim up")
    check_aim_answers(command, tmp_path)


def check_aim_answers(command: str, cwd: Path) -> None:
    words = [str(Path(sys.executable).parent / "aim"), *shlex.split(command)[3:], "--port", "43917"]
    process = subprocess.Popen(words, cwd=cwd, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen("http://127.0.0.1:43917/api/projects/", timeout=5) as answer:
                    assert "path" in json.load(answer)
                return
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(1)
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its server is a child that would stay
        process.wait(timeout=30)


def test_the_example_of_a_variant_is_an_experiment() -> None:
    program = next(text for kind, text in BLOCKS if kind == "python" and "@experiment" in text)
    head = (
        "import fiddle as fdl\nfrom experiments.resnet18 import resnet18_baseline\n"
        "from jersey import config\nfrom jersey.config import experiment\nfrom jersey.experiment import Experiment\n"
        "from jersey.lint.checks import check\n"
    )
    tail = "\nbuilt = config.get_experiment('resnet18_weights')()\ncheck(built)\nfdl.build(built)\n"
    subprocess.run([sys.executable, "-c", head + program + tail], cwd=REPOSITORY, timeout=200, check=True)


def test_the_example_of_a_transform_is_a_change_of_a_config() -> None:
    program = next(text for kind, text in BLOCKS if kind == "python" and "RandAugment" in text)
    head = (
        "import fiddle as fdl\nimport torch\nfrom torchvision.transforms import v2\nimport experiments\n"
        "from jersey import config as configs\nfrom jersey.augment.per_sample import PerSample\n"
        "config = configs.get_experiment('resnet18_small')()\n"
    )
    tail = "\nimages = torch.zeros(2, 3, 32, 32)\nfdl.build(config.module.augment)(images, torch.Generator())\n"
    subprocess.run([sys.executable, "-c", head + program + tail], cwd=REPOSITORY, timeout=200, check=True)


def laid_out(folder: Path) -> None:
    """A model and crops as the commands that read them name them."""
    planted_model(folder / "model.onnx")
    file_of(folder / "crop.jpg", "23", size_px=(16, 16))
    for track, number in (("a", "00"), ("b", "23")):
        for frame in range(3):
            file_of(folder / "crops" / track / f"{frame}.png", number)
            file_of(folder / "tracks" / track / f"{frame}.png", number)
    file_of(folder / "more" / "one.jpg", "10")


def test_crops_are_read(tmp_path: Path) -> None:
    laid_out(tmp_path)
    as_table, answered, tracklets = commands("jersey.inference")
    result = run(as_table, tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1 + 7
    result = run(answered, tmp_path)
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == ["00"] * 3 + ["23"] * 3
    result = run(tracklets, tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1 + 2


def test_a_crop_is_read_by_a_program(tmp_path: Path) -> None:
    laid_out(tmp_path)
    program = next(text for kind, text in BLOCKS if kind == "python" and "Predictor" in text)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", program]
    said = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=True
    )
    assert said.stdout.strip() == "23"


def test_an_audit_of_own_crops(crops_root: Path, tmp_path: Path) -> None:
    (command,) = commands("jersey.data.audit")
    result = run(command.replace("/my/crops", str(crops_root)), tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "72 images, 0 errors" in result.stdout


def test_drawing_crops(tmp_path: Path) -> None:
    (command,) = commands("jersey.synth")
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stderr
    numbers = {path.name for path in (tmp_path / "drawn" / "train").iterdir()}
    assert numbers == {"0", "00", "7", "10", "11", "12", "13", "14", "15"}


def test_pictures_and_files_it_names_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (REPOSITORY / path).stat().st_size > 0
