"""The real `launch.py` in its own process: what it prints, how it fails, and that a run is never overwritten."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
from helpers.countdown import rows_of
from helpers.repository import NUMBERS, REPOSITORY
from PIL import Image

from jersey import config as configs
from jersey.cli.commands import config_files

Launch = Callable[..., subprocess.CompletedProcess[str]]
TINY = (
    "--exp=resnet18_baseline",
    "--fiddler=cpu",
    "--fdl_set=data.size_px=(32,32)",
    "--fdl_set=batch_size=16",
    "--fdl_set=weights=None",
)


def error_of(result: subprocess.CompletedProcess) -> str:
    """Returns the line of a user error, which is the last line of the output."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_a_fresh_process_has_everything_it_needs(tmp_path: Path) -> None:
    """The other tests fork their processes from one that has imported torch."""
    command = [sys.executable, str(REPOSITORY / "launch.py"), "--exp=quickstart", "--print_config"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\ntrainer.epochs = " in result.stdout


def test_help_shows_the_purpose_and_an_example_of_every_flag(launch: Launch) -> None:
    text = " ".join(launch("--help").stdout.split())
    names = re.findall(
        r'flags\.DEFINE_\w+\(\s*"(\w+)"', (REPOSITORY / "jersey/cli/launch.py").read_text(encoding="utf-8")
    )
    assert {"exp", "fdl_set", "diff_effects", "sweep", "workdir"} <= set(names)
    for name in names:
        assert re.search(
            rf"--(\[no\])?{name}: (<\S+: )?\[(select|change|show|sweep|search|run)\] [^]]*e\.g\. [^]]*--{name}\b", text
        )


def test_print_config_applies_fiddlers_before_overrides_and_starts_nothing(launch: Launch, tmp_path: Path) -> None:
    flags = ("--fdl_set=epochs=3", "--fiddler=smoke", "--fdl_set=root=/my crops/00", "--fdl_set=labels=0,00,01")
    result = launch("--exp=quickstart", "--print_config", *flags)
    assert result.returncode == 0, result.stderr
    lines = {"trainer.epochs = 3", "trainer.limit_batches = 2", "data.root = '/my crops/00'"}
    assert lines | {"data.labels = ('0', '00', '01')"} <= set(result.stdout.splitlines())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), ("--exp", "quickstart")),
        (("--exp=resnet18_basline",), ("resnet18_basline", "resnet18_baseline")),
        (("--exp=quickstart", "--epochs=3"), ("epochs",)),
        (("--exp=quickstart", "lr=1"), ("'lr=1'",)),
        (("--exp=quickstart", "--fdl_set=lr=fast"), ("module.optimizer.lr", "fast", "float")),
        (("--exp=quickstart", "--fdl_set=checkpoints.monitor=val/loss"), ("trainer.callbacks.checkpoints.mode=min",)),
        (("--exp=quickstart", "--fdl.learning_rate=1"), ("learning_rate", "module.optimizer.lr")),
        (("--exp=quickstart", "--fiddler=smok"), ("smok", "smoke")),
        (("--exp=quickstart", "--config=here"), ("--exp", "--config")),
        (("--config=/no/such/run",), ("/no/such/run",)),
        (("--exp=quickstart", "--diff_effects"), ("--diff_effects", "--diff")),
        (("--exp=quickstart", "--diff_format=markdown"), ("--diff_format", "--diff")),
        (("--exp=quickstart", "--diff=resnet18_basline"), ("resnet18_basline", "resnet18_baseline")),
        (("--exp=quickstart", "--jobs=2"), ("--jobs has no effect without --sweep or --search or --folds",)),
        (("--exp=quickstart", "--sweep=seed=1,2", "--print_config"), ("--print_config", "--sweep")),
        (("--exp=quickstart", "--search=seed=1,2", "--trials=2", "--diff=reader"), ("--diff", "--search")),
        (("--exp=quickstart", "--search=seed=1,2", "--trials=2", "--sweep=lr=1,2"), ("--sweep", "--search")),
        (("--exp=quickstart", "--search=seed=1,2"), ("--search", "--trials")),
        (
            ("--exp=quickstart", "--search=seed=1,2", "--trials=2", "--workdir=/dev/null"),
            ("cannot create the folder /dev/null/quickstart/search-", "--workdir"),
        ),
        (("--exp=quickstart", "--sweep=lr=1e-4,fast"), ("module.optimizer.lr", "fast")),
        (("--exp=quickstart", "--run=../else"), ("--run=../else",)),
        (("--exp=resnet18_baseline", "--fdl_set=root=/no/such/folder"), ("/no/such/folder", "root")),
    ],
)
def test_a_wrong_flag_is_an_error_of_one_sentence(
    launch: Launch, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    sentence = error_of(launch(*flags))
    assert all(word in sentence for word in words), sentence


def empty_the_split(root: Path) -> None:
    shutil.rmtree(root / "val")
    (root / "val" / "0").mkdir(parents=True)


def leave_one_class(root: Path) -> None:
    for number in NUMBERS[1:]:
        shutil.rmtree(root / "train" / number)


def add_an_unknown_label(root: Path) -> None:
    (root / "val" / "01").rename(root / "val" / "1")


def break_an_image(root: Path) -> None:
    (root / "test" / "00" / "broken.png").write_bytes(b"\x89PNG")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (empty_the_split, ("val", "empty")),
        (leave_one_class, ("two classes", "0")),
        (add_an_unknown_label, ("val", "1")),
        (break_an_image, ("broken.png",)),
    ],
)
def test_wrong_data_is_an_error_of_one_sentence(
    launch: Launch, crops_root: Path, tmp_path: Path, damage: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    root = tmp_path / "crops"
    shutil.copytree(crops_root, root)
    damage(root)
    sentence = error_of(launch(*TINY, f"--fdl_set=root={root}"))
    assert all(word in sentence for word in words), sentence


def test_a_failed_download_of_weights_is_an_error_with_a_remedy(
    launch: Launch, crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no_weights"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    sentence = error_of(launch(*TINY[:-1], f"--fdl_set=root={crops_root}"))
    assert "resnet18" in sentence
    assert "module.network.weights=" in sentence


def test_a_config_with_a_forbidden_name_is_refused_before_any_import(launch: Launch, tmp_path: Path) -> None:
    """A module on the path would create a file when imported."""
    (tmp_path / "foreign.py").write_text("open('imported', 'w').close()\n\ndef part():\n    return 1\n")
    saved = configs.to_json(configs.get_experiment("quickstart")(), "quickstart")
    saved = re.sub(r"\s+", " ", saved)
    known = '"module": "jersey.training.trainer", "name": "callback_dict"'
    assert known in saved
    text = saved.replace(known, '"module": "foreign", "name": "part"')
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert "foreign" in error_of(launch("--config=config.json"))
    assert not (tmp_path / "imported").exists()


def test_a_run_of_an_older_version_is_refused_with_a_remedy(launch: Launch, tmp_path: Path) -> None:
    config = configs.get_experiment("quickstart")()
    folder = tmp_path / "runs" / "quickstart" / "old"
    folder.mkdir(parents=True)
    for name, text in config_files("quickstart", config).items():
        (folder / name).write_text(text.replace("jersey.training.module", "jersey.module"), encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for flags in ((f"--config={folder}",), ("--exp=quickstart", f"--diff={folder}"), ("--exp=quickstart", "--run=old")):
        sentence = error_of(launch(*flags))
        assert "no module jersey.module" in sentence
        assert sentence.endswith("run the experiment again, or use the commit in the run's provenance.json")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
def test_one_batch_is_memorized(launch: Launch, crops_root: Path, tmp_path: Path) -> None:
    flags = (*TINY, "--fiddler=overfit_batch", "--fdl_set=epochs=12", "--fdl_set=lr=1e-3", "--run=one")
    result = launch(*flags, f"--fdl_set=root={crops_root}")
    assert result.returncode == 0, result.stderr
    scores = [float(row["train/acc_top1"]) for row in rows_of(tmp_path / "runs" / "resnet18_baseline" / "one")[:-1]]
    assert scores[0] < scores[-1] == 1.0


@pytest.mark.slow
def test_a_run_starts_with_an_audit_and_continues(launch: Launch, crops_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "crops"
    shutil.copytree(crops_root, root)
    shutil.copy(next((root / "train" / "00").iterdir()), root / "val" / "00" / "again.jpg")
    result = launch(*TINY, "--fiddler=smoke", "--fdl_set=profile=False", "--run=one", f"--fdl_set=root={root}")
    assert result.returncode == 0, result.stderr
    assert "warning: split_leakage: 00 in train and val" in result.stderr
    assert "no effect" not in result.stderr, "the fiddler causes no warning"
    folder = tmp_path / "runs" / "resnet18_baseline" / "one"
    assert "val/00/again.jpg" in (folder / "audit.txt").read_text(encoding="utf-8")
    assert not (folder / "model_info.json").exists()
    assert "peak memory" not in (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_writes_all_files_and_is_never_overwritten(launch: Launch, crops_root: Path, tmp_path: Path) -> None:
    flags = (*TINY, "--run=one", "--fdl_set=epochs=2", "--fdl_set=clip_norm=0.0", f"--fdl_set=root={crops_root}")
    result = launch(*flags)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert "warning: no effect: trainer.clip_norm=0.0" in result.stderr
    folder = tmp_path / "runs" / "resnet18_baseline" / "one"
    first, *_, last = result.stderr.splitlines()
    assert first == f"run folder: {folder}"
    assert last.endswith(f"see {folder / 'report.html'}")
    names = "config.txt config.json config.py config_diff.txt provenance.json labels_mapping.json metrics.csv"
    names += " steps.csv model.onnx report.html report.md confusion_matrix_val.png confusion_matrix_test.png"
    names += " checkpoints/best.ckpt checkpoints/last.ckpt"
    for name in names.split():
        assert (folder / name).stat().st_size > 0, name
    for image in folder.glob("*.png"):
        with Image.open(image) as opened:
            opened.verify()
    assert (tmp_path / "runs" / ".aim").is_dir()
    assert json.loads((folder / "labels_mapping.json").read_text())["labels"] == list(NUMBERS)
    assert [row["epoch"] for row in rows_of(folder)] == ["0", "1", "1"]

    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}

    before = written()
    again = launch(*flags)
    assert again.returncode == 0
    assert "finished" in again.stderr
    sentence = error_of(launch(*flags, "--fdl_set=lr=0.5"))
    assert "module.optimizer.lr was 0.0001, now 0.5" in sentence
    assert written() == before


@pytest.mark.slow
def test_a_start_that_failed_leaves_nothing_so_the_advised_command_works_under_the_same_name(
    launch: Launch, crops_root: Path, tmp_path: Path
) -> None:
    flags = [*TINY[:-1], "--fiddler=smoke", f"--fdl_set=root={crops_root}", "--run=first"]
    for wrong in ("weights=norun", "root=nowhere", "data.batch_size=5000"):
        error = error_of(launch(*flags, "--fdl_set=weights=None", f"--fdl_set={wrong}"))
        assert wrong.partition("=")[2] in error
        assert not [path for path in tmp_path.rglob("*") if path.name in ("first", ".aim", "runs")]
    kept = tmp_path / "runs" / "resnet18_baseline" / "first"
    kept.mkdir(parents=True)
    (kept / "notes.txt").write_text("mine", encoding="utf-8")
    error_of(launch(*flags, "--fdl_set=weights=norun"))
    assert (kept / "notes.txt").exists()
    shutil.rmtree(kept)
    result = launch(*flags, "--fdl_set=weights=None", "--fdl_set=profile=False")
    assert result.returncode == 0, result.stderr
    assert (kept / "model.onnx").exists()
    error_of(launch(*flags, "--fdl_set=weights=norun"))  # another config of a run with checkpoints
    assert (kept / "model.onnx").exists()
