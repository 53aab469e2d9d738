"""Drawn crops as an experiment's data: made at the first run, found by later ones."""

import logging
from collections.abc import Sequence
from pathlib import Path

from jersey.synth.generate import generate
from jersey.synth.settings import MANIFEST

log = logging.getLogger(__name__)


def draw_unless_there(
    root: Path,
    *,
    numbers: tuple[str, ...],
    train: int | Sequence[int],
    val: int,
    test: int,
    size_px: int,
    imbalance: float,
    seed: int,
    unreadable: float = 0.0,
) -> None:
    """Draws a data set into `root`, or leaves a folder alone that somebody else has filled.

    Args: as `jersey.synth.generate.generate`.

    Raises:
        UserError: `root` holds crops that were drawn with other settings.
    """
    if root.exists() and any(root.iterdir()) and not (root / MANIFEST).exists():
        log.info("using the crops in %s, which jersey has not drawn", root)
        return
    if not root.exists():
        log.info("drawing crops into %s", root)
    generate(
        root,
        numbers=numbers,
        train=train,
        val=val,
        test=test,
        size_px=size_px,
        imbalance=imbalance,
        seed=seed,
        unreadable=unreadable,
    )
