"""Generates a data set atomically on all cores; val and test have other typefaces than train.

Crop or tracklet i of a split is a function of (seed, split, i) and its number alone. Illegible crops follow the legible
ones, which are therefore the same with and without them. The workers are separate processes instead of a pool: started
as `python -m jersey.synth.generate FOLDER WORKER WORKERS`, they do not import the caller's main module and torch with
it. Each loads the settings from FOLDER's manifest.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

import jersey
from jersey.core.atomic import as_write_error, rename, write_text
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.labels import ILLEGIBLE_NAME, SPLITS, SplitName
from jersey.synth.crop import KINDS, LEGIBLE, Crop, render_crop
from jersey.synth.fonts import fonts_sha256, typefaces_of
from jersey.synth.settings import MANIFEST, Layout, Settings, Style
from jersey.synth.tracklet import render_tracklet
from jersey.synth.varied import render_varied

log = logging.getLogger(__name__)

_JPEG_QUALITY = 92
_MIN_CROPS_PER_WORKER = 100


def generate(root: Path, *, workers: int | None = None, **settings: Any) -> bool:
    """Generates train, val and test crops in `root`; returns at once if it already contains them.

    Val and test use typefaces that train lacks, and have equally many crops of each number.

    Args:
        root: folder of the data set; it appears with the manifest `synth.json` when all crops are rendered.
        workers: number of processes; None starts one per core.
        settings: fields of `Settings`, without `fonts_sha256`.

    Returns:
        Whether crops were generated.

    Raises:
        UserError: if the settings are invalid, or `root` has other contents.
    """
    wanted = Settings(**settings)
    is_used = root.is_file() or (root.is_dir() and any(root.iterdir()))
    if wanted.fonts and not (is_used and not Path(wanted.fonts).exists()):  # existing crops need no fonts
        wanted = replace(wanted, fonts_sha256=fonts_sha256(Path(wanted.fonts)))
    if is_used:
        wanted.require_same_as_in(root)
        return False
    _generate_and_rename(root, wanted, workers or os.cpu_count() or 1)
    return True


def ensure_synthetic(
    root: Path,
    *,
    numbers: tuple[str, ...],
    train: int | Sequence[int],
    val: int,
    test: int,
    size_px: int,
    imbalance: float,
    seed: int,
    illegible: float = 0.0,
    style: Style = "back",
    fonts: str | None = None,
) -> None:
    """Generates a data set in `root` unless it exists; a folder with other contents is used unchanged.

    The arguments are those of `generate`.

    Raises:
        UserError: if `root` contains crops that were generated with other settings.
    """
    settings = {name: value for name, value in locals().items() if name != "root"}
    if root.is_dir() and not any(root.iterdir()):
        raise UserError(f"the folder {root} is empty, and jersey did not make it; remove it to generate crops there")
    if root.is_dir() and not (root / MANIFEST).exists():
        log.info("using the crops in %s, which jersey did not generate", root)
        return
    if not root.exists():
        log.info("generating crops in %s", root)
    generate(root, **settings)


def _generate_and_rename(root: Path, settings: Settings, workers: int) -> None:
    typefaces_of("train", settings.style, settings.fonts)  # refuses a bad font before anything is written
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = root.with_name(f".{root.name}.{os.getpid()}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _prepare(unfinished, settings)
        _render_all(unfinished, settings, workers)
        try:
            rename(unfinished, root)  # replaces an empty folder
        except OSError:
            if not (root / MANIFEST).exists():
                raise
            settings.require_same_as_in(root)  # another process was faster
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _prepare(root: Path, settings: Settings) -> None:
    """Creates the folders, the annotations, and the manifest, from which the workers load the settings."""
    root.mkdir()
    for split in SPLITS:
        labels = settings.labels_of(split)
        paths = [_paths(settings, split, index, label) for index, label in enumerate(labels)]
        for folder in {frames[0].parent for frames in paths}:
            (root / folder).mkdir(parents=True)
        if settings.layout == "annotations" and labels:
            rows = [
                {"image": path.relative_to(split).as_posix(), "suffix": label}
                | ({"tracklet": path.parent.name} if settings.frames > 1 else {})
                for label, frames in zip(labels, paths, strict=True)
                for path in frames
            ]
            write_text(root / split / "annotations.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_text(root / MANIFEST, settings.to_json())


def _paths(settings: Settings, split: SplitName, index: int, label: str) -> list[Path]:
    path = crop_path(split, index, label, settings.layout)
    if settings.frames == 1:
        return [path]
    return [path.with_suffix("") / f"{frame:04d}.jpg" for frame in range(settings.frames)]


def crop_path(split: SplitName, index: int, label: str, layout: Layout) -> Path:
    """Returns the path of a crop relative to the root."""
    return Path(split, (label or ILLEGIBLE_NAME) if layout == "folders" else "images", f"{index:06d}.jpg")


def _render_all(root: Path, settings: Settings, workers: int) -> None:
    total = settings.frames * sum(len(settings.labels_of(split)) for split in SPLITS)
    workers = max(1, min(workers, total // _MIN_CROPS_PER_WORKER))
    with tqdm(total=total, desc="generating crops", unit="crop", disable=None) as bar:
        if workers == 1:
            for _ in render_slice(root, settings, worker=0, workers=1):
                bar.update()
        else:
            _render_in_processes(root, workers, bar)


def _render_in_processes(root: Path, workers: int, bar: tqdm) -> None:
    """Starts the workers, which write one byte per crop to a common pipe until all have exited."""
    source = str(Path(jersey.__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]),
        # numpy's BLAS would start a thread per core in each of as many processes as there are cores.
        "OPENBLAS_NUM_THREADS": "1",
    }
    read_end, write_end = os.pipe()
    processes = []
    try:
        for worker in range(workers):
            command = [sys.executable, "-m", "jersey.synth.generate", str(root), str(worker), str(workers)]
            processes.append(
                subprocess.Popen(command, stdout=write_end, stderr=subprocess.PIPE, text=True, env=environment)
            )
        os.close(write_end)
        while finished := os.read(read_end, 4096):
            bar.update(len(finished))
        for process in processes:
            _, error = process.communicate()
            if process.returncode == 2:  # the sentence of the first one is enough: all write to the same disk
                raise UserError(error.strip().rpartition("error: ")[2])
            if process.returncode:
                raise RuntimeError(f"a rendering process failed:\n{error}")
    finally:
        os.close(read_end)
        for process in processes:
            with process:  # waits for its end and closes its pipe
                process.kill()


def render_slice(root: Path, settings: Settings, *, worker: int, workers: int) -> Iterator[None]:
    """Renders every `workers`-th crop or tracklet from index `worker` on; yields after each image."""
    for split_index, split in enumerate(SPLITS):
        for index, label in enumerate(settings.labels_of(split)):
            if index % workers == worker:
                rng = np.random.default_rng([settings.seed, split_index, index])
                crops = _render(settings, split, index, label, rng)
                for path, crop in zip(_paths(settings, split, index, label), crops, strict=True):
                    with as_write_error(root / path):
                        Image.fromarray(crop.image_HW3).save(root / path, quality=_JPEG_QUALITY)
                    yield


def _render(settings: Settings, split: SplitName, index: int, label: str, rng: np.random.Generator) -> Iterable[Crop]:
    typefaces, size_px = typefaces_of(split, settings.style, settings.fonts), settings.size_px
    if settings.frames > 1:
        return render_tracklet(label, frames=settings.frames, rng=rng, typefaces=typefaces, size_px=size_px)
    number = label or settings.numbers[rng.integers(len(settings.numbers))]
    kind = LEGIBLE if label else tuple(KINDS.values())[index % len(KINDS)]
    render = render_crop if settings.style == "back" else render_varied
    return [render(number, rng=rng, typefaces=typefaces, size_px=size_px, kind=kind)]


def _run_worker(root: Path, worker: int, workers: int) -> None:
    """Renders the crops of this process, and writes one byte per crop to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too, and ends its workers
    for _ in render_slice(root, Settings.load(root), worker=worker, workers=workers):
        sys.stdout.write(".")
        sys.stdout.flush()


if __name__ == "__main__":
    with exit_on_user_error():
        _run_worker(Path(sys.argv[1]), *map(int, sys.argv[2:]))
