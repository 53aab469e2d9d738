"""Makes the images of README and docs after runs of `resnet18_small`: `uv run python docs/pictures.py [RUNS [DOCS]]`.

RUNS is the folder of all runs (default: `runs`), DOCS the folder for the images (default: that of this file). The
confusion matrix comes from the newest of the runs, the screenshots from the Aim repository. `launch.py
--exp=resnet18_small --fiddler=benchmark --sweep=lr=1e-3,3e-3` makes two suitable runs. Debian's `chromium` must be
installed.
"""

import io
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aim_browser import HEIGHT_PX, WIDTH_PX, aim_up, browser_page, column, explorer, open_until
from PIL import Image
from playwright.sync_api import Page

from jersey.synth.crop import render_crop
from jersey.synth.fonts import typefaces_of
from jersey.synth.typefaces import TRAIN, UNSEEN
from jersey.synth.varied import render_varied

DOCS = Path(__file__).parent
LR = "config.module.optimizer.lr"
TEST_SCORE = "test.acc_top1"
EXPERIMENT = "run.experiment == 'resnet18_small'"
TABLES = {
    "runs": {
        "columnsOrder": {
            "left": ["run"],
            "middle": ["tags", LR, TEST_SCORE, column("acc_top1", "val")],
            "right": [],
        },
        "hiddenColumns": ["experiment", "experiment_description", "hash", "description", "creator", "duration"],
        "columnsWidths": {"tags": 250},
    },
    "images": {"resizeMode": "hide"},
}
IMAGES_SHOWN = """() => {{
    const images = [...document.querySelectorAll('.ImageBox img')];
    return images.length >= {count} && images.every(image => image.naturalWidth > 0);
}}"""
RUN_PAGES = {"overview": "Description", "texts": "command", "metrics": "grad_norm", "distributions": "weights/head"}
"""The pages of one run, with a text that each of them shows once it is loaded."""
REPORTS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "desktop": (1024, 1100, {}),
    "dark": (1024, 700, {"color_scheme": "dark"}),
    "phone": (390, 844, {}),
    "print": (680, 962, {"media": "print"}),  # A4 without its margins, at 96 dots per inch
}
SETTLE_MS = 2000  # until the layout of a page is final


def main(runs: Path = Path("runs"), docs: Path = DOCS) -> None:
    """Makes all images."""
    contact_sheet().save(docs / "contact_sheet.jpg", quality=88)
    varied_sheet().save(docs / "varied_crops.jpg", quality=85)
    with Image.open(newest_run(runs) / "confusion_matrix_test.png") as matrix:
        save_small(matrix, docs / "confusion_matrix.png")
    with (
        tempfile.TemporaryDirectory() as logs,
        aim_up(runs, Path(logs) / "log") as address,
        browser_page(TABLES) as page,
    ):
        screenshot(page, docs / "aim_runs.png", *runs_table(address), height_px=320)
        screenshot(page, docs / "aim_metrics.png", *curves(address))
        screenshot(page, docs / "aim_images.png", *confusion_matrices(address), height_px=800)
        for name in ("overview", "metrics", "distributions"):
            screenshot(page, docs / f"aim_run_{name}.png", *run_page(address, newest_run(runs), name))
        report_screenshots(page, newest_run(runs) / "report.html", docs)


def contact_sheet(*, columns: int = 10, size_px: int = 96, gap_px: int = 8, seed: int = 0) -> Image.Image:
    """Renders synthetic crops: four rows with the typefaces of train, and below a gap two with those of test."""
    rng = np.random.default_rng(seed)
    numbers = ["0", "00", *(str(number) for number in range(1, 100))]
    order = iter([numbers[index] for index in rng.permutation(len(numbers))])
    sheet = Image.new("RGB", (columns * size_px, 6 * size_px + gap_px), "white")
    for row, typefaces in enumerate((*[TRAIN] * 4, *[UNSEEN] * 2)):
        for x in range(columns):
            crop = render_crop(next(order), rng=rng, typefaces=typefaces, size_px=size_px)
            place = x * size_px, row * size_px + gap_px * (typefaces is UNSEEN)
            sheet.paste(Image.fromarray(crop.image_HW3), place)
    return sheet


def varied_sheet(
    *, width_px: int = 960, heights_px: Sequence[int] = (120, 96, 72, 48, 32), seed: int = 0
) -> Image.Image:
    """Renders legible crops of the style "varied" in their true sizes: each row has crops that are up to so high."""
    rng, typefaces = np.random.default_rng(seed), typefaces_of("train", "varied")
    numbers = itertools.cycle([str(number) for number in rng.permutation(100)])
    rendered = [
        Image.fromarray(render_varied(next(numbers), rng=rng, typefaces=typefaces, size_px=120).image_HW3)
        for _ in range(300)
    ]
    sheet, top_px = Image.new("RGB", (width_px, sum(heights_px) + 4 * len(heights_px)), "white"), 0
    for height_px, below_px in zip(heights_px, (*heights_px[1:], 0), strict=True):
        left_px = 0
        for crop in (crop for crop in rendered if below_px < crop.height <= height_px):
            if left_px + crop.width <= width_px:
                sheet.paste(crop, (left_px, top_px))
                left_px += crop.width + 4
        top_px += height_px + 4
    return sheet


def report_screenshots(page: Page, report: Path, docs: Path) -> None:
    """Saves the top of a report on a desktop, in the dark and in print, and its beginning on a phone."""
    page.goto(report.absolute().as_uri())
    for name, (width_px, height_px, media) in REPORTS.items():
        page.emulate_media(**{"media": "screen", "color_scheme": "light"} | media)
        page.set_viewport_size({"width": width_px, "height": height_px})
        with Image.open(io.BytesIO(page.screenshot())) as image:
            save_small(image, docs / f"report_{name}.png")


def newest_run(runs: Path) -> Path:
    """Returns the newest finished run of `resnet18_small`."""
    reports = list(runs.glob("resnet18_small/*/report.md"))
    if not reports:
        raise FileNotFoundError(f"{runs} contains no finished run: run launch.py --exp=resnet18_small")
    return max(reports, key=lambda report: report.stat().st_mtime).parent


def runs_table(address: str) -> tuple[str, str]:
    """Returns the address of the table of runs, and a condition that is true once it is loaded."""
    return explorer(address, "runs", EXPERIMENT), "document.querySelector('.Table__cell.tags') !== null"


def curves(address: str) -> tuple[str, str]:
    """Returns the same for accuracy by epoch of all runs, with one color per `lr` and one stroke per split."""
    grouping = {"color": [f"run.params.{LR}"], "stroke": ["context.subset"], "chart": []}
    query = f"metric.name == 'acc_top1' and metric.context.subset != 'test' and {EXPERIMENT}"
    condition = "document.querySelector('path.Line') !== null"
    return explorer(address, "metrics", query, grouping=grouping), condition


def confusion_matrices(address: str, count: int = 1) -> tuple[str, str]:
    """Returns the same for the confusion matrices of all validations, with one row per `lr` and one column per epoch.

    Aim sends them one by one; the page is loaded once it shows `count` of them.
    """
    grouping = {"row": [f"run.params.{LR}"]}
    size = {"additionalProperties": {"alignmentType": "Height", "mediaItemSize": 37}}
    query = f"images.name == 'confusion_matrix' and images.context.subset == 'val' and {EXPERIMENT}"
    return explorer(address, "images", query, grouping=grouping, images=size), IMAGES_SHOWN.format(count=count)


def run_page(address: str, run: Path, name: str) -> tuple[str, str]:
    """Returns the same for a page of one run: one of RUN_PAGES."""
    run_hash = (run / "aim_hash").read_text(encoding="utf-8")
    condition = f"document.body.innerText.includes({json.dumps(RUN_PAGES[name])})"
    return f"{address}/runs/{run_hash}/{name}", condition


def screenshot(page: Page, path: Path, address: str, condition: str, *, height_px: int = HEIGHT_PX) -> None:
    """Saves a screenshot of a page once its condition is true and its layout is final."""
    page.set_viewport_size({"width": WIDTH_PX, "height": height_px})
    open_until(page, address, condition)
    page.wait_for_timeout(SETTLE_MS)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        save_small(image, path)


def save_small(image: Image.Image, path: Path) -> None:
    """Saves an image with a palette: a third of the size without a visible difference."""
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
