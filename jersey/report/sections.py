"""Turns what callbacks add to the report into blocks of the page, and adds the report to Aim.

A section that fails costs one warning.
"""

import logging
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from jersey.core.atomic import atomic_write
from jersey.core.tables import format_table
from jersey.export.pipeline import CALIBRATION_FIGURE
from jersey.report.document import Block, Figure, Heading, TableBlock
from jersey.runs.state import RunState

log = logging.getLogger(__name__)


def section_blocks(run: RunState, folder: Path, *, step: int) -> list[Block]:
    """Returns the blocks of all sections, and adds their figures and tables to Aim.

    Args:
        run: state of the run, whose `report` has the sections.
        folder: folder of the run, in which figures are written as `section_<title>.png`.
        step: optimizer step, for Aim.
    """
    blocks: list[Block] = []
    for title, content in run.report.sections:
        try:
            block = _block(title, content() if callable(content) else content, folder)
        except Exception as error:  # code of the user
            log.warning("the section %r is not in the report (%s: %s)", title, type(error).__name__, error)
            continue
        if isinstance(block, Figure):
            with Image.open(folder / block.file) as image:
                run.log_image(title, image.convert("RGB"), step=step, epoch=None, subset=None)
        else:
            run.log_text(title, "\n".join(format_table([block.header, *block.rows])))
        blocks += [Heading(title), block]
    return blocks


def track_report(run: RunState, folder: Path, *, warnings: Sequence[str], step: int) -> None:
    """Adds the command, the warnings, the report and the figure of the calibration to Aim."""
    report = (folder / "report.md").read_text(encoding="utf-8")
    texts = {"command": shlex.join(sys.orig_argv), "warnings": "\n".join(warnings), "report": report}
    for name, text in texts.items():
        if text:
            run.log_text(name, text)
    with Image.open(folder / CALIBRATION_FIGURE) as image:
        run.log_image("calibration", image.convert("RGB"), step=step, epoch=None, subset="test")


def _block(title: str, content: Any, folder: Path) -> Figure | TableBlock:
    if hasattr(content, "savefig"):  # a figure of matplotlib, which only `plots` imports
        from jersey.plots.canvas import rendered

        content = rendered(content)
    if isinstance(content, Image.Image):
        file = f"section_{'_'.join(re.findall(r'[a-z0-9]+', title.lower()))}.png"
        with atomic_write(folder / file) as path:
            content.convert("RGB").save(path)
        return Figure(file, title)
    header, rows = content
    cells: Sequence[Sequence[str]] = [[str(cell) for cell in row] for row in rows]
    if any(len(row) != len(header) for row in cells):
        raise ValueError(f"its rows do not all have the {len(header)} cells of the header")
    return TableBlock([str(name) for name in header], cells)
