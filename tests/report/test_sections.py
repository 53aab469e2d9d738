"""Sections that a callback adds to the report: figures, tables, and code that fails."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Plot
from PIL import Image

from jersey.report.document import Figure, Heading, TableBlock
from jersey.report.sections import section_blocks
from jersey.runs.state import RunState


@pytest.fixture
def run() -> RunState:
    return RunState()


def test_figures_and_tables_are_blocks_and_reach_the_tracker(run: RunState, tmp_path: Path) -> None:
    images, texts = [], []
    run.log_image = lambda name, image, **where: images.append((name, image.size, where["step"]))
    run.log_text = lambda name, text: texts.append((name, text))
    plot = Plot(figsize=(2, 1))
    plot.subplots().plot([0, 1])
    run.report.add("Jersey colors!", Image.new("RGB", (3, 2), "red"))
    run.report.add("My plot", lambda: plot)
    run.report.add("My table", (("team", "crops"), [("A", np.int64(3)), ("B", 4)]))
    blocks = section_blocks(run, tmp_path, step=7)
    assert blocks[::2] == [Heading("Jersey colors!"), Heading("My plot"), Heading("My table")]
    assert blocks[1] == Figure("section_jersey_colors.png", "Jersey colors!")
    assert Image.open(tmp_path / "section_jersey_colors.png").size == (3, 2)
    assert Image.open(tmp_path / "section_my_plot.png").width > 100
    assert blocks[5] == TableBlock(["team", "crops"], [["A", "3"], ["B", "4"]])
    assert [(name, step) for name, _, step in images] == [("Jersey colors!", 7), ("My plot", 7)]
    assert texts == [("My table", "team  crops\nA     3\nB     4")]


@pytest.mark.parametrize("content", [lambda: 1 / 0, 5, None, (("a", "b"), [("one cell",)])])
def test_a_section_that_fails_costs_one_warning(
    run: RunState, tmp_path: Path, content: object, caplog: pytest.LogCaptureFixture
) -> None:
    run.report.add("broken", content)
    run.report.add("whole", (("a",), [("b",)]))
    assert section_blocks(run, tmp_path, step=0) == [Heading("whole"), TableBlock(["a"], [["b"]])]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "'broken' is not in the report" in record.getMessage()
