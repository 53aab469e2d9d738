"""A data set with hostile names, labels and links: a run finishes and does no harm."""

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
import helpers.registered  # noqa: F401  # its import registers the experiments
import numpy as np
import pytest
from aim_browser import browser_page, chromium
from helpers.opened_page import Opened
from helpers.run_folders import full_run
from helpers.watched import listening, watched
from lightning.pytorch.callbacks import Callback
from PIL import Image

from jersey import config as configs
from jersey.core.labels import Labels
from jersey.core.tables import read_csv
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


def save_noise(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def hostile_set(root: Path) -> Path:
    """Creates the data set with annotations, so that labels may contain any printable text.

    One image is a link that leaves the root, and one image of each split is bad.
    """
    for split, count in COUNTS.items():
        folder = root / split
        folder.mkdir(parents=True)
        rows = []
        for index, label in enumerate(LABELS):
            (folder / f"part_{index}").mkdir()
            for number, name in enumerate(NAMES[:count]):
                save_noise(folder / f"part_{index}" / name, seed=len(rows) + 1000 * count)
                rows.append({"image": f"part_{index}/{NAMES[number]}", "suffix": label})
        (folder / BAD).touch()
        rows.append({"image": BAD, "suffix": LABELS[0]})
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    linked = root / "train" / "part_0" / NAMES[0]
    outside = root.with_name("outside.png")
    linked.rename(outside)
    linked.symlink_to(outside)
    return root


class Loses(Callback):
    """Removes a file after the test, before the export."""

    def __init__(self, file: str) -> None:
        self.file = file

    def on_test_end(self, trainer: object, pl_module: object) -> None:
        Path(self.file).unlink()


class Run:
    """The results of a run on the hostile data set."""

    def __init__(self, folder: RunFolder, root: Path, actions: list[str], ports: list[int]) -> None:
        self.folder, self.root, self.actions, self.ports = folder, root, actions, ports


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("hostile")
    root, workdir = hostile_set(place / "set"), place / "runs"
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root, config.data.on_bad_image = str(root), "skip"
    config.trainer.callbacks.loses = fdl.Config(Loses, file=str(root / "val" / "part_0" / NAMES[1]))
    config.data.size_px = (32, 32)
    config.data.batch_size = 16
    config.module.network.weights = None
    config.trainer.epochs = 1
    config.trainer.accelerator = "cpu"
    with watched(workdir, root / ".decoded") as actions:
        folder = full_run(config, "resnet18_baseline", workdir)
        ports = listening(os.getpid())
    return Run(folder, root, actions, ports)


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

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
def test_the_run_finishes_and_its_report_contains_no_active_html(run: Run) -> None:
    assert run.folder.stage == "finished"
    page = Page((run.folder.path / "report.html").read_text(encoding="utf-8"))
    harmless = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "th", "td", "pre"}
    harmless |= {"nav", "ul", "li", "a", "div", "figure", "img", "figcaption", "label", "input"}
    assert {tag for tag, _ in page.tags} <= harmless
    metas = [found for tag, found in page.tags if tag == "meta"]
    assert [found[0][1] for found in metas] == ["utf-8", "Content-Security-Policy", "viewport"]
    attributes = {name for tag, found in page.tags if tag != "meta" for name, _ in found}
    assert attributes <= {"lang", "class", "id", "href", "src", "alt", "type"}
    values = [(name, value or "") for _, found in page.tags for name, value in found]
    assert all(value.startswith("#") for name, value in values if name == "href")
    assert {value for name, value in values if name == "type"} <= {"checkbox"}
    sources = [value for name, value in values if name == "src"]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert any(label in page.text for label in LABELS[4:])  # among the worst numbers


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed: apt-get install chromium")
def test_the_report_runs_and_fetches_nothing_in_a_browser(run: Run) -> None:
    with browser_page() as page:
        opened = Opened(page, run.folder.report)
        opened.assert_harmless()
        assert any(label in opened.text for label in LABELS[4:])


@pytest.mark.slow
def test_tables_contain_the_labels_and_no_formula(run: Run) -> None:
    assert Labels.load(run.folder.labels).names == tuple(sorted(LABELS, key=lambda label: (len(label), label)))
    for table in ("per_class_test.csv", "predictions_test.csv", "dataset.csv"):
        with (run.folder.path / table).open(encoding="utf-8", newline="") as file:
            assert {row["label"] for row in read_csv(file)} >= set(LABELS)
    tables = [*run.folder.path.glob("*.csv")]
    assert len(tables) > 5
    for table in tables:
        with table.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "-", "@"))]
        assert all(map(float, cells)), f"{table.name}: a spreadsheet would evaluate {cells}"


@pytest.mark.slow
def test_bad_images_are_excluded_from_results_and_listed_in_the_folder(run: Run) -> None:
    """The run also survives the loss of a file before the export."""
    for split in ("val", "test"):
        with (run.folder.path / f"predictions_{split}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == COUNTS[split] * len(LABELS)
        assert not [row for row in rows if BAD in row["file"]]
    found = json.loads((run.folder.path / "audit.json").read_text(encoding="utf-8"))["findings"]
    illegible = [each["rows"][0] for each in found if each["kind"] == "bad_image"]
    assert illegible == [{"split": split, "label": LABELS[0], "image": f"{split}/{BAD}"} for split in COUNTS]
    assert all(f"{split}/{BAD} is empty" in (run.folder.path / "audit.txt").read_text("utf-8") for split in COUNTS)
    assert "1 of train, 1 of val, 1 of test" in run.folder.report.with_suffix(".md").read_text(encoding="utf-8")
    assert run.folder.onnx.exists()


@pytest.mark.slow
def test_the_run_writes_only_into_its_folder_and_the_cache(run: Run) -> None:
    lost = f"os.remove {str(run.root / 'val' / 'part_0' / NAMES[1])!r}"
    written = [action for action in run.actions if action.partition(" ")[0] not in STARTS and action != lost]
    cache_of_torch = f"os.mkdir '{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}'"
    assert set(written) <= {cache_of_torch}
    place = run.root.parent
    assert {path.name for path in place.iterdir()} == {"set", "outside.png", "runs"}
    assert {path.name for path in run.root.iterdir()} == {*COUNTS, ".decoded"}
    assert {path.name for path in (place / "runs").iterdir()} <= {"resnet18_baseline", ".aim", ".aim.lock"}
    assert not list(place.rglob("*owned"))


@pytest.mark.slow
def test_the_run_starts_no_other_programs_and_reaches_no_other_machine(run: Run) -> None:
    """Allowed are git (commit), uname (processor) and alembic, with which Aim creates its tables."""
    started = [action for action in run.actions if action.startswith("subprocess.Popen")]
    assert any("'git'" in action for action in started)
    assert all(" ('git', [" in action or " ('uname', [" in action or "'-m', 'alembic'," in action for action in started)
    sockets = [action for action in run.actions if action.startswith("socket.")]
    assert all("('::1', 0)" in action for action in sockets)  # urllib3 checks for IPv6
    assert not [action for action in run.actions if action.startswith("pickle.find_class")]


@pytest.mark.slow
def test_the_run_listens_nowhere(run: Run) -> None:
    assert run.ports == []


def test_a_listening_socket_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] in listening(os.getpid())


def test_an_experiment_accepts_such_labels(shrink: Callable[[fdl.Buildable], None]) -> None:
    config = configs.get_experiment("quickstart")()
    for label in LABELS:
        configs.apply_override(config, f"data.labels={(label, '0')!r}")
        assert config.data.labels == (label, "0")
