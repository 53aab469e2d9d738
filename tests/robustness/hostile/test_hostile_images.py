"""A data set made to do harm: by its names, by its labels, by its links. A run ends well, or says why not."""

import csv
import getpass
import json
import os
import socket
import tempfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import fiddle as fdl
import numpy as np
import pytest
from helpers.run_folders import full_run
from helpers.watched import listening, watched
from lightning.pytorch.callbacks import Callback
from PIL import Image

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.core.labels import Labels
from jersey.runs.folder import RunFolder

LABELS = ("0", "=cmd()", "-rf", "..%2f", "../../up", "$(id)$", "<script>alert(1)</script>", "|**[x](javascript:0)`")
NAMES = (
    "$(touch owned).png",
    "--a.png",
    "=1+1.png",
    "<img src=x onerror=alert(1)>.png",
    "; rm -rf ~.png",
    "%2e.png",
)
STARTS = ("subprocess.Popen", "socket.bind", "socket.connect", "pickle.find_class")
BAD = "!bad.png"
COUNTS = {"train": 6, "val": 2, "test": 2}


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def hostile_set(root: Path) -> Path:
    """Annotated, so that labels may hold anything that can be seen; one image is a link that leaves the root.

    An image of each split is bad.
    """
    for split, count in COUNTS.items():
        folder = root / split
        folder.mkdir(parents=True)
        rows = []
        for index, label in enumerate(LABELS):
            (folder / str(index)).mkdir()
            for number, name in enumerate(NAMES[:count]):
                picture(folder / str(index) / name, seed=len(rows) + 1000 * count)
                rows.append({"image": f"{index}/{NAMES[number]}", "suffix": label})
        (folder / BAD).touch()
        rows.append({"image": BAD, "suffix": LABELS[0]})
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    linked = root / "train" / "0" / NAMES[0]
    outside = root.with_name("outside.png")
    linked.rename(outside)
    linked.symlink_to(outside)
    return root


class Loses(Callback):
    """Removes a file once nothing but the export is left to do."""

    def __init__(self, file: str) -> None:
        self.file = file

    def on_test_end(self, trainer: object, pl_module: object) -> None:
        Path(self.file).unlink()


class Run:
    """What is left of a run on such a set."""

    def __init__(self, folder: RunFolder, root: Path, deeds: list[str], ports: list[int]) -> None:
        self.folder, self.root, self.deeds, self.ports = folder, root, deeds, ports


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("hostile")
    root, workdir = hostile_set(place / "set"), place / "runs"
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root, config.data.on_bad_image = str(root), "skip"
    config.trainer.callbacks.loses = fdl.Config(Loses, file=str(root / "val" / "0" / NAMES[1]))
    config.data.size_px = (32, 32)
    config.data.batch_size = 16
    config.module.network.weights = None
    config.trainer.epochs = 1
    config.trainer.accelerator = "cpu"
    with watched(workdir, root / ".decoded") as deeds:
        folder = full_run(config, "resnet18_baseline", workdir)
        ports = listening(os.getpid())
    return Run(folder, root, deeds, ports)


class Page(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_the_run_ends_and_its_report_holds_no_live_html(run: Run) -> None:
    assert run.folder.stage == "finished"
    page = Page((run.folder.path / "report.html").read_text(encoding="utf-8"))
    harmless = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "th", "td"}
    assert {tag for tag, _ in page.tags} <= harmless | {"pre", "figure", "img", "figcaption"}
    attributes = {name for _, found in page.tags for name, _ in found}
    assert attributes <= {"lang", "charset", "class", "src", "alt"}
    sources = [value or "" for _, found in page.tags for name, value in found if name == "src"]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert any(label in page.text for label in LABELS[4:])  # among the worst numbers


@pytest.mark.slow
def test_tables_hold_the_labels_as_they_are(run: Run) -> None:
    assert Labels.load(run.folder.labels).names == tuple(sorted(LABELS, key=lambda label: (len(label), label)))
    with (run.folder.path / "per_class_test.csv").open(encoding="utf-8", newline="") as file:
        assert {row[0] for row in csv.reader(file)} >= set(LABELS)
    with (run.folder.path / "predictions_test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(LABELS)
    assert not [row["file"] for row in rows if row["file"][0] in "=+-@"]  # a spreadsheet would compute it


@pytest.mark.slow
def test_bad_images_are_nowhere_in_the_results_and_in_the_folder_by_name(run: Run) -> None:
    """The run also survives that a file vanishes before the export."""
    for split in ("val", "test"):
        with (run.folder.path / f"predictions_{split}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == COUNTS[split] * len(LABELS)
        assert not [row for row in rows if BAD in row["file"]]
    found = json.loads((run.folder.path / "audit.json").read_text(encoding="utf-8"))["findings"]
    illegible = [each["rows"][0] for each in found if each["kind"] == "bad_image"]
    assert illegible == [{"split": split, "label": LABELS[0], "image": f"{split}/{BAD}"} for split in COUNTS]
    assert all(f"{split}/{BAD} is empty" in (run.folder.path / "audit.txt").read_text("utf-8") for split in COUNTS)
    assert "1 of train, 1 of val, 1 of test" in run.folder.report.read_text(encoding="utf-8")
    assert run.folder.onnx.exists()


@pytest.mark.slow
def test_the_run_writes_into_its_folder_and_the_cache_alone(run: Run) -> None:
    lost = f"os.remove {str(run.root / 'val' / '0' / NAMES[1])!r}"
    written = [deed for deed in run.deeds if deed.partition(" ")[0] not in STARTS and deed != lost]
    cache_of_torch = f"os.mkdir '{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}'"
    assert set(written) <= {cache_of_torch}
    place = run.root.parent
    assert {path.name for path in place.iterdir()} == {"set", "outside.png", "runs"}
    assert {path.name for path in run.root.iterdir()} == {*COUNTS, ".decoded"}
    assert {path.name for path in (place / "runs").iterdir()} <= {"resnet18_baseline", ".aim", ".aim.lock"}
    assert not list(place.rglob("*owned"))


@pytest.mark.slow
def test_the_run_starts_no_other_programs_and_reaches_no_other_machine(run: Run) -> None:
    """git says the commit, uname the processor; Aim makes the tables of its repository with alembic."""
    started = [deed for deed in run.deeds if deed.startswith("subprocess.Popen")]
    assert any("'git'" in deed for deed in started)
    assert all(" ('git', [" in deed or " ('uname', [" in deed or "'-m', 'alembic'," in deed for deed in started)
    sockets = [deed for deed in run.deeds if deed.startswith("socket.")]
    assert all("('::1', 0)" in deed for deed in sockets)  # urllib3 looks whether there is IPv6
    assert not [deed for deed in run.deeds if deed.startswith("pickle.find_class")]


@pytest.mark.slow
def test_the_run_listens_nowhere(run: Run) -> None:
    assert run.ports == []


def test_a_socket_that_listens_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] in listening(os.getpid())


def test_an_experiment_takes_such_labels(shrink: Callable[[fdl.Buildable], None]) -> None:
    config = configs.get_experiment("quickstart")()
    for label in LABELS:
        configs.apply_override(config, f"data.labels={(label, '0')!r}")
        assert config.data.labels == (label, "0")
