"""Aim's pages for the repository of a real run, in a real browser."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import pictures
import pytest
from aim_browser import aim_up, browser_page, chromium, column, explorer, open_until
from helpers.countdown import rows_of
from helpers.run_folders import full_run
from PIL import Image
from playwright.sync_api import Page, expect

from jersey import config as configs
from jersey.runs.aim import short_commit
from jersey.runs.folder import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed: apt-get install chromium"),
]

EXPERIMENT = "resnet18_small"
EPOCHS, BATCH_SIZE = 2, 16
LR = pictures.LR
REGISTERED = configs.get_experiment(EXPERIMENT)()


@pytest.fixture(scope="module")
def finished(crops_root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A small version of the experiment of the pictures."""
    config = configs.get_experiment(EXPERIMENT)()
    config.data.root = str(crops_root)
    config.data.generate = None
    config.data.size_px = (32, 32)
    config.data.batch_size = BATCH_SIZE
    config.trainer.epochs = EPOCHS
    config.trainer.accelerator = "cpu"
    return full_run(config, EXPERIMENT, tmp_path_factory.mktemp("runs"), name="first")


@pytest.fixture(scope="module")
def address(finished: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with aim_up(finished.path.parent.parent, tmp_path_factory.mktemp("aim_up") / "log") as address:
        yield address


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page(pictures.TABLES) as page:
        yield page


def test_the_table_shows_the_run_with_its_tags_and_its_score(page: Page, address: str, finished: RunFolder) -> None:
    open_until(page, *pictures.runs_table(address))
    assert page.locator(".Table__cell.run").all_inner_texts() == [finished.name]
    start = json.loads((finished.path / "provenance.json").read_text(encoding="utf-8"))[-1]
    tags = [EXPERIMENT, short_commit(start["commit"]), start["machine"].partition(",")[0]]
    assert sorted(page.locator(".Table__cell.tags").inner_text().split()) == sorted(tag for tag in tags if tag)
    for row, subset, cell in ((-2, "val", column("acc_top1", "val")), (-1, "test", pictures.TEST_SCORE)):
        shown = page.locator(f'.Table__cell[class~="{cell}"]').last.inner_text()
        assert float(shown) == pytest.approx(float(rows_of(finished.path)[row][f"{subset}/acc_top1"]), abs=1e-6)


def test_curves_are_plotted_and_grouped_by_lr(page: Page, address: str) -> None:
    open_until(page, *pictures.curves(address))
    lines = page.locator("path.Line")
    expect(lines).to_have_count(len(("train", "val")), timeout=20_000)
    assert all(length > 100 for length in lines.evaluate_all("paths => paths.map(path => path.getTotalLength())"))
    legend = page.locator(".ChartLegends").text_content()
    assert str(REGISTERED.module.optimizer.lr) in legend


def test_confusion_matrices_are_a_sequence_of_full_size_images(page: Page, address: str, finished: RunFolder) -> None:
    open_until(page, *pictures.confusion_matrices(address, count=EPOCHS))
    images = page.locator(".ImageBox img")
    assert images.count() == EPOCHS
    sizes = images.evaluate_all("images => images.map(image => [image.naturalWidth, image.naturalHeight])")
    # After training the file shows the best epoch, in the same layout but with another title.
    with Image.open(finished.path / "confusion_matrix_val.png") as best:
        for size in sizes:
            assert size == pytest.approx(best.size, rel=0.15)


def test_config_values_are_axes_of_the_params_explorer(page: Page, address: str) -> None:
    axes = [LR, "config.data.batch_size"]
    options = [{"label": axis, "key": axis, "group": "Params", "type": "params", "color": "#3E72E7"} for axis in axes]
    open_until(page, explorer(address, "params", options=options), "document.querySelector('path.Line') !== null")
    assert page.locator("path.Line").count() == 1
    ticks = " ".join(page.locator(".Axis .tick").all_text_contents())
    assert str(REGISTERED.module.optimizer.lr) in ticks
    assert str(BATCH_SIZE) in ticks


def test_a_run_shows_its_description_command_and_distributions(page: Page, address: str, finished: RunFolder) -> None:
    expected = {
        "overview": [inspect.getdoc(configs.get_experiment(EXPERIMENT)).partition("\n")[0]],
        "texts": ["command", "report"],
        "distributions": ["confidence", "weights/backbone.layer1", "weights/head"],
    }
    for name, words in expected.items():
        open_until(page, *pictures.run_page(address, finished.path, name))
        shown = " ".join(page.inner_text("body").split())
        assert [word for word in words if word not in shown] == [], name


def test_the_pictures_of_the_readme_can_be_made(finished: RunFolder, tmp_path: Path) -> None:
    (finished.path / "config_diff.txt").write_text("", encoding="utf-8")
    command = [sys.executable, pictures.__file__, finished.path.parent.parent, tmp_path]
    subprocess.run(command, timeout=300, check=True)
    made = {path.name for path in tmp_path.iterdir()}
    shown = {path.name for path in pictures.DOCS.iterdir() if path.suffix in {".png", ".jpg"}}
    assert made == shown - {"learning_curve.png"}  # `jersey.compare.learning_curve` makes it, after many runs
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 200_000, path
