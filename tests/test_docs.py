"""Every command and program of README.md and docs/*.md, run as written except for paths and length."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from helpers.exported import wide_model
from helpers.fonts import write_font
from helpers.pages import (
    BLOCKS,
    COMMANDS,
    PAGES,
    QUICK_START,
    commands,
    program,
    run,
    run_afresh,
    run_program,
    shell,
)
from helpers.planted_model import file_of, planted_model
from helpers.repository import REPOSITORY
from helpers.run_folders import config_folder, run_folder
from PIL import Image
from test_vocabulary import replaced_words

from jersey.core.model_file import READER
from jersey.data.index import read_splits
from jersey.recipes.quickstart import NUMBERS, quickstart
from jersey.synth.fonts import load_typefaces

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# A shorter run without a download, for commands whose length is not tested.
SHORT = ("--fiddler=smoke", "--fiddler=cpu", "--fdl_set=data.size_px=(32,32)", "--fdl_set=weights=None")

# The commands that are parts of `.ci/run`, or start it.
CI = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
RUN_BY_CI = [
    command for command in COMMANDS if all(part in f"{CI} .ci/run pip install uv" for part in command.split(" && "))
]


# A program that uses every part of the examples in docs/contributing.md.
CONTRIBUTED = """
import torch
from jersey.lint.checks import check

config = resnet18_small_long()
config.module.network = fdl.Partial(mobilenet_classifier)
config.module.augment.gamma = fdl.Config(Gamma, half_range=0.3)
config.trainer.callbacks.error_count = fdl.Config(ErrorCount)
check(config)
images_BCHW = torch.full((4, 3, 32, 32), 100, dtype=torch.uint8)
views = fdl.build(config.module.augment)(images_BCHW, torch.Generator().manual_seed(0))
assert len({view.mean().item() for view in views}) == 4
labels = Labels(("0", "00", "23"))
assert mobilenet_classifier(labels=labels).eval()(images_BCHW).shape == (4, 3)
logits_NK = torch.eye(3)[[0, 1, 1]]
evaluation = Evaluation(logits_NK=logits_NK, labels_N=torch.tensor([0, 1, 2]), indices_N=torch.arange(3))
assert worst_recall(evaluation) == 0
"""


def output_of(result: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout


def test_every_command_is_run_below() -> None:
    parts = ("--print_config", "--list", "--fiddler", "root=/my/crops", "jersey.data.audit", "jersey.synth", "aim up")
    parts += (
        "--diff",
        "--sweep",
        "--search",
        "--folds",
        "--config",
        "jersey.cli",
        "jersey.compare",
        "jersey.bench",
        "jersey.evaluate",
        "torchrun",
    )
    parts += ("jersey.inference", "robustness", "data/fonts", "jersey.data.prepare")
    run_below = {command for part in parts for command in commands(part)}
    assert set(COMMANDS) == run_below | set(QUICK_START) | set(RUN_BY_CI)


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs the quick start, and returns the folder of its one run."""
    cwd = tmp_path_factory.mktemp("clone")
    (command,) = QUICK_START
    result = run_afresh(command, cwd)
    output_of(result)
    assert "Warning" not in result.stderr
    (folder,) = (cwd / "runs" / "quickstart").iterdir()
    (cwd / "stderr").write_text(result.stderr, encoding="utf-8")
    return folder


def on(folder: Path, part: str, *more: str) -> str:
    """Returns the output of the command that contains `part`, for the run in `folder`."""
    (command,) = commands(part)
    cwd = folder.parents[2]
    return output_of(run(command.replace("runs/quickstart/RUN", str(folder.relative_to(cwd))), cwd, *more))


def test_the_quick_start_is_correct_on_98_percent_in_unseen_typefaces(quick_start: Path) -> None:
    score = re.search(r"test top-1 ([\d.]+) %", (quick_start.parents[2] / "stderr").read_text(encoding="utf-8"))
    assert score is not None
    assert float(score[1]) >= 98


def test_its_output_and_files_use_the_words_of_the_glossary(quick_start: Path) -> None:
    files = [quick_start.parents[2] / "stderr", *(quick_start / name for name in ("report.md", "audit.txt"))]
    messages = [found for file in files for found in replaced_words(file.name, file.read_text(encoding="utf-8"))]
    for table in quick_start.glob("*.csv"):
        messages += replaced_words(table.name, table.read_text(encoding="utf-8").partition("\n")[0])
    assert not messages


def test_its_model_works_in_a_program_without_jersey(quick_start: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((quick_start / "model.onnx").read_bytes())
    crops = quick_start.parents[2] / "data" / "quickstart" / "test"
    for number in NUMBERS:
        (tmp_path / f"{number}.jpg").write_bytes(next((crops / number).iterdir()).read_bytes())
    files = [f"{number}.jpg" for number in NUMBERS]
    lines = [line.split() for line in output_of(run_program(program("onnxruntime"), tmp_path, *files)).splitlines()]
    assert [line[0] for line in lines] == files
    assert sum(file == f"{number}.jpg" for file, number, *_ in lines) > len(NUMBERS) / 2


def test_its_model_has_the_same_accuracy_on_the_page_of_another_evaluation(quick_start: Path) -> None:
    shown = on(quick_start, "--out=evaluated")
    report = (quick_start.parents[2] / "evaluated" / "report.md").read_text(encoding="utf-8")
    (headline,) = (line for line in report.splitlines() if line.startswith("**Test accuracy"))
    assert headline in (quick_start / "report.md").read_text(encoding="utf-8")
    assert "evaluated/report.html" in shown


def test_its_model_is_compared_with_another_and_passes_the_gate(quick_start: Path) -> None:
    other = quick_start.parents[2] / "other.onnx"
    other.write_bytes((quick_start / "model.onnx").read_bytes())
    table = on(quick_start, "--min_accuracy")
    assert re.search(r"other\.onnx .* \+0\.0 +\+0\.0 to \+0\.0 +1\.000$", table, flags=re.MULTILINE)


def test_label_preservation_of_its_augmentation_is_measured(quick_start: Path) -> None:
    lines = on(quick_start, "jersey.cli.label_preservation").splitlines()
    assert {"geometry", "color"} <= {line.split()[0] for line in lines}


def test_its_epochs_are_timed_beside_reference_loaders(quick_start: Path) -> None:
    numbers = json.loads(on(quick_start, "jersey.bench.epoch", "--rounds=2", "--batches=2").splitlines()[-1])
    assert {"jersey", "torchvision"} <= numbers["rows"][0]["training"].keys()


def test_its_run_is_in_aim(quick_start: Path) -> None:
    (command,) = commands("aim up")
    words = [str(Path(sys.executable).parent / "aim"), *shlex.split(command)[3:], "--port", "43917"]
    process = subprocess.Popen(words, cwd=quick_start.parents[2], start_new_session=True, stdout=subprocess.DEVNULL)
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
        os.killpg(process.pid, signal.SIGTERM)  # its server is a child process that would remain
        process.wait(timeout=30)


def files_of_a_run() -> set[str]:
    """Returns the files in docs/runs.md; `..._test.png` and `last.ckpt` complete the first file of their row."""
    names = set()
    for row in re.findall(r"^\| (`.*?`) \|", PAGES["docs/runs.md"], flags=re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        folder, stem = first.rpartition("/")[0], first.rpartition("_")[0]
        others = [other.replace("...", stem) for other in others]
        names |= {first, *(f"{folder}/{other}" if folder else other for other in others)}
    return names


def test_a_run_on_own_crops_writes_the_listed_files_and_is_repeated_to_equal_weights(
    crops_root: Path, tmp_path: Path
) -> None:
    for command in sorted(set(commands("root=/my/crops")) - set(commands("--print_config"))):
        output_of(run(command.replace("/my/crops", str(crops_root)), tmp_path, *SHORT))
    (first,) = tmp_path.glob("runs/resnet18_baseline/*")
    written = {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()}
    diffs = {"uncommitted.diff", "uncommitted_user.diff"}  # of changes, which a clean clone does not have
    assert written - {".lock"} | diffs == files_of_a_run()
    on(first, "--config", "--run=second", "--fdl_set=profile=False")
    one, two = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        for folder in (first, first.with_name("second"))
    )
    for kind in ("state_dict", "current_model_state"):
        assert all(torch.equal(one[kind][name], two[kind][name]) for name in one[kind])


@pytest.mark.parametrize("command", [*commands("--print_config"), *commands("--list")])
def test_commands_that_print(command: str, tmp_path: Path) -> None:
    assert len(output_of(run(command, tmp_path)).splitlines()) > 5


def test_the_diff_is_the_one_on_the_page(tmp_path: Path) -> None:
    (command,) = commands("--diff")
    shown = next(text for kind, text in BLOCKS if not kind and "trainer.epochs" in text)
    assert output_of(run(command, tmp_path), code=1).strip() == shown.strip()


def test_a_sweep_has_a_command_for_each_run(tmp_path: Path) -> None:
    started, printed = commands("--sweep")
    assert len(output_of(run(printed.partition(" > ")[0], tmp_path)).splitlines()) == 6
    assert printed.startswith(started)


def test_each_crop_of_the_folds_is_predicted_once(tmp_path: Path) -> None:
    (command,) = commands("--folds")
    few = [f"--fdl_set=generate.{split}=80" for split in ("train", "val", "test")]
    smoke = ("--fiddler=smoke(batches=40)", "--fdl_set=profile=False", "--folds=2", "--run=try", *few)
    shown = output_of(run(command, tmp_path, *smoke))
    assert "all crops: " in shown
    (folder,) = (tmp_path / "runs" / "quickstart").glob("try-*.folds")
    rows = (folder / "out_of_fold.csv").read_text().splitlines()[1:]
    assert len({row.split(",")[0] for row in rows}) == len(rows) == 160
    assert (folder / "labels.html").exists()
    assert output_of(run(command, tmp_path, *smoke)).splitlines()[-4:] == shown.splitlines()[-4:]


def test_a_search_names_the_best_config(tmp_path: Path) -> None:
    (command,) = commands("--search")
    few = [f"--fdl_set=generate.{split}=60" for split in ("train", "val", "test")]
    smoke = ("--fiddler=smoke", "--fdl_set=profile=False", "--trials=1", "--run=try")
    shown = output_of(run(command, tmp_path, *smoke, *few))
    assert "--config=runs/quickstart/try-000" in shown


@pytest.mark.parametrize("command", [each for each in commands("--fiddler") if each not in commands("=benchmark")])
def test_commands_with_fiddlers(command: str, tmp_path: Path) -> None:
    few = [f"--fdl_set=generate.{split}=60" for split in ("train", "val", "test")]
    output_of(run(command, tmp_path, "--fdl_set=profile=False", *(few if "--exp=quickstart" in command else [])))


def test_the_benchmark_command_trains(crops_root: Path, tmp_path: Path) -> None:
    (command,) = commands("=benchmark")
    sets = (f"--fdl_set=root={crops_root}", "--fdl_set=generate=None", "--fdl_set=profile=False")
    output_of(run(command, tmp_path, *SHORT, *sets))


def test_two_sides_of_runs_are_compared(tmp_path: Path) -> None:
    (command,) = commands("jersey.compare ")
    for side, pattern in enumerate(re.findall(r"runs/\S+", command)):
        folders = [pattern.replace("*", f"seed={seed}") for seed in range(2)]
        for seed, folder in enumerate(folders):
            predicted = ["23" if index % 5 else str((index + side) % 7) for index in range(300)]
            run_folder(tmp_path / folder, predicted, true=["23"] * 300, seed=seed)
        command = command.replace(pattern, " ".join(folders))
    assert "no difference shown" in output_of(run(command, tmp_path))


def test_accuracy_by_crops_of_each_number_is_plotted(tmp_path: Path) -> None:
    (command,) = commands("learning_curve")
    config = quickstart()
    config.data.root, config.data.crops_per_label = str(tmp_path / "crops"), 5
    for label in ("23", "7"):
        (tmp_path / "crops" / "test" / label).mkdir(parents=True)
    for index, label in enumerate(("23", "7")):
        Image.new("RGB", (40, 40)).save(tmp_path / "crops" / "test" / label / f"{index}.jpg")
    for pattern in re.findall(r"runs/\S+", command):
        folder = run_folder(tmp_path / pattern.replace("*", "RUN"), ["23", "23"], true=["23", "7"])
        config_folder(config, "quickstart", folder)
    header, _, reader, *experiments = output_of(run(command.replace("*", "RUN"), tmp_path)).splitlines()
    assert header == "| crops of each number | 0 | 5 |"
    assert reader.startswith("| pretrained reader | ")
    assert [row.split("|")[2:4] for row in experiments] == [["  ", " 50.0 "]] * 2
    assert (tmp_path / "curve.png").exists()


def test_several_processes_of_two_machines_and_of_one(crops_root: Path, tmp_path: Path) -> None:
    """One machine finds the run that two have finished; `tests/training/test_distributed.py` trains on one."""
    alone, of_two_machines = commands("torchrun")
    few = (f"--fdl_set=root={crops_root}", "--fdl_set=profile=False", *SHORT)
    here = of_two_machines.replace("=8", "=1").replace("HOST", "127.0.0.1")
    with ThreadPoolExecutor() as machines:
        there = here.replace("--node_rank=0", "--node_rank=1")
        for result in machines.map(lambda command: run(command, tmp_path, *few), (here, there)):
            output_of(result)
    (report,) = tmp_path.glob("runs/resnet18_baseline/big/report.md")
    assert "2 processes" in report.read_text(encoding="utf-8")
    result = run(alone.replace("=8", "=2"), tmp_path, *few)
    output_of(result)
    assert result.stderr.count("big is finished") == 1


VARIANT = (
    "import fiddle as fdl\nfrom jersey import config\nfrom jersey.lint.checks import check\n",
    "\nbuilt = config.get_experiment('resnet18_weights')()\ncheck(built)\nfdl.build(built)\n",
)
TRANSFORM = (
    "import fiddle as fdl\nimport torch\nfrom torchvision.transforms import v2\n"
    "from jersey.augment.per_sample import PerSample\n"
    "from jersey.recipes.resnet18_small import resnet18_small\nconfig = resnet18_small()\n",
    "\nimages = torch.zeros(2, 3, 32, 32)\nfdl.build(config.module.augment)(images, torch.Generator())\n",
)


@pytest.mark.parametrize(("part", "around"), [("@experiment", VARIANT), ("RandAugment", TRANSFORM)])
def test_an_example_of_a_config_change_builds(part: str, around: tuple[str, str], tmp_path: Path) -> None:
    before, after = around
    output_of(run_program(before + program(part) + after, tmp_path))


def test_commands_and_a_program_read_crops(tmp_path: Path) -> None:
    planted_model(tmp_path / "model.onnx")
    file_of(tmp_path / "crop.jpg", "23", size_px=(16, 16))
    file_of(tmp_path / "more" / "one.jpg", "10")
    for tracklet, number in (("a", "00"), ("b", "23")):
        for place in (f"{folder}/{tracklet}/{frame}.png" for folder in ("crops", "tracks") for frame in range(3)):
            file_of(tmp_path / place, number)
    as_jsonl, as_table, tracklets = (
        output_of(run(command, tmp_path)).splitlines() for command in commands("inference model.onnx")
    )
    assert len(as_table) == 1 + 7
    assert [json.loads(line)["number"] for line in as_jsonl] == ["00"] * 3 + ["23"] * 3
    assert len(tracklets) == 1 + 2
    assert output_of(run_program(program("Predictor"), tmp_path)).strip() == "23"


def test_the_pretrained_reader_reads_labels_and_describes_itself(crops_root: Path, tmp_path: Path) -> None:
    (tmp_path / "crops").symlink_to(crops_root / "test")
    file_of(tmp_path / "more" / "one.jpg", "10")
    of_both, of_crops, draft = (output_of(run(command, tmp_path)) for command in commands("inference crops/"))
    assert (len(of_both.splitlines()), len(of_crops.splitlines())) == (1 + 13, 1 + 12)
    assert "draft.jsonl: 12 rows" in draft
    (command,) = commands("inference /my/crops")
    for split in ("train", "val", "test"):
        shutil.copytree(crops_root / split, tmp_path / "set" / split / "images")
        output_of(run(command.replace("/my/crops/train", f"set/{split}"), tmp_path))
    assert read_splits(tmp_path / "set")["train"].paths
    scores, *thresholds = output_of(run_program(program("model.thresholds"), tmp_path)).splitlines()
    assert {"acc_top1"} <= json.loads(scores).keys()
    assert len(thresholds) == 3


def test_a_run_becomes_the_pretrained_reader(crops_root: Path, tmp_path: Path) -> None:
    (command,) = commands("package_reader")
    folder = tmp_path / "runs" / "reader" / "RUN"
    for path in (folder, tmp_path / "jersey" / "inference"):
        path.mkdir(parents=True)
    config = quickstart()
    config.data.root = str(crops_root)
    wide_model(config_folder(config, "reader", folder) / "model.onnx")
    printed = json.loads(output_of(run(command, tmp_path)))
    assert (tmp_path / "jersey" / "inference" / "reader.onnx").stat().st_size == printed["bytes"]


def test_an_audit_of_own_crops(crops_root: Path, tmp_path: Path) -> None:
    first, *others = commands("jersey.data.audit")
    assert "72 images, 0 errors" in output_of(run(first.replace("/my/crops", str(crops_root)), tmp_path))
    (with_reader,) = others
    reader = READER if READER.exists() else planted_model(tmp_path / "model.onnx", labels=("0", "00", "7"))
    command = with_reader.replace("/my/crops", str(crops_root)).replace("--reader", f"--reader={reader}")
    assert "72 images, 0 errors" in output_of(run(command, tmp_path))
    assert "<h1>Labels to review in" in (tmp_path / "review.html").read_text(encoding="utf-8")


def test_crops_without_splits_are_prepared(crops_root: Path, tmp_path: Path) -> None:
    for index, path in enumerate(sorted(crops_root.glob("train/*/*.jpg"))):
        target = tmp_path / "unsorted" / path.parent.name / f"game{index % 6}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    planned, written = (
        output_of(run(command.replace("/my/unsorted", "unsorted").replace("/my/crops", "crops"), tmp_path))
        for command in commands("jersey.data.prepare")
    )
    assert "leave out --dry_run to write them" in planned
    assert "6 different matches of --group" in written
    splits = read_splits(tmp_path / "crops").values()
    games = [{name.rpartition("/")[2] for name in split.tracklets} for split in splits]
    assert sum(len(split) for split in splits) == 48
    assert sum(map(len, games)) == len(set.union(*games)) == 6


def test_crops_are_generated(tmp_path: Path) -> None:
    plain, varied = commands("jersey.synth")
    for family in "ABCDEFGH":
        write_font(tmp_path / "data" / "fonts" / f"{family}.ttf", family)
    output_of(run(varied, tmp_path, "--train=60", "--val=57", "--test=57"))
    assert len(list(tmp_path.glob("varied/train/*/*.jpg"))) == 60 + 3
    output_of(run(plain, tmp_path))
    numbers = {path.name for path in (tmp_path / "generated" / "train").iterdir()}
    assert numbers == {"0", "00", "7", "10", "11", "12", "13", "14", "15"}


def test_fonts_are_fetched(tmp_path: Path) -> None:
    """The commands run on three of the listed families: with one, two and all weights."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    listed = (REPOSITORY / "docs" / "reader_fonts.txt").read_text(encoding="utf-8").splitlines()
    assert len({name.rpartition("@")[0] for name in listed}) == len(listed) == 160
    few = [name for name in listed if re.search("/(anton|arvo|barlow)@", name)]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "reader_fonts.txt").write_text("\n".join(few), encoding="utf-8")
    fetch, *copy = [command for command in commands("data/font") if "uv run" not in command]
    fetched = shell(fetch, tmp_path)
    if re.search("ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT", fetched.stderr):
        pytest.skip("npm's registry does not answer")
    for result in (fetched, *(shell(command, tmp_path) for command in copy)):
        output_of(result)
    faces = (
        "anton-latin-400",
        "arvo-latin-400",
        "arvo-latin-700",
        *(f"barlow-latin-{weight}" for weight in (400, 700, 900)),
    )
    files = sorted((tmp_path / "data" / "fonts").iterdir())
    assert [file.name for file in files] == [f"{face}-normal.woff2" for face in faces]
    assert {face.name for part in load_typefaces(tmp_path / "data" / "fonts") for face in part} == {
        file.stem for file in files
    }


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    folder = (REPOSITORY / page).parent
    prose = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)  # C++ has lambdas, which look like links
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        assert "://" in link or (folder / link).stat().st_size > 0, link


def test_damaged_input_is_counted(tmp_path: Path) -> None:
    (command,) = commands("robustness.fuzz")
    counts = json.loads(output_of(run(command.replace("=60", "=1"), tmp_path)).splitlines()[-1])
    assert counts["kinds"] > 0
    assert not counts["unexpected"]


def test_mutants_of_a_module_are_counted(tmp_path: Path) -> None:
    (command,) = commands("robustness.mutation")
    tiny = command.replace("jersey/inference/decision.py", "jersey/core/seeding.py")
    assert "1 of " in output_of(run(tiny, tmp_path, "--mutants=1")).splitlines()[-1]


def test_the_examples_of_contributing_work_together(tmp_path: Path) -> None:
    examples = "\n".join(re.findall(r"```python\n(.*?)```", PAGES["docs/contributing.md"], flags=re.DOTALL))
    output_of(run_program(examples + CONTRIBUTED, tmp_path))
