"""What becomes of every kind of dirty image file, as a run meets it.

    PYTHONPATH=tests python -m robustness.dirty_images

Adds one file of each kind in turn to a small data set, and opens that as a run does: strictly, and with
on_bad_image="skip"; then all of them together. Started by root, whom permissions do not stop, it opens them as nobody.
"""

import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from robustness.dirty_files import GONE, KINDS

from jersey.core.errors import UserError, escape_control
from jersey.core.labels import SPLITS
from jersey.core.tables import aligned
from jersey.data.datamodule import JerseyDataModule
from jersey.data.decode import decode
from jersey.data.index import Split
from jersey.data.problems import OnBadImage
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN

LABELS = ("7", "23")
SIZE_PX = (64, 48)  # height and width
AS_DRAWN = 12  # mean difference of 255 that formats with losses may make
NOBODY = 65534


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Args:
        kind: of KINDS.
        strict: by default.
        skip: with on_bad_image="skip".
    """

    kind: str
    strict: str
    skip: str


class Vanishing(JerseyDataModule):
    """Loses the file of that kind between its index and its decoding."""

    def _index(self) -> dict[str, Split]:
        index = super()._index()
        for path in index["train"].paths:
            if path.name == GONE:
                path.unlink()
        return index


def draw(number: str, seed: int) -> Image.Image:
    """A crop that is higher than wide, so that turns show."""
    rng = np.random.default_rng([seed, 11])
    crop = Image.fromarray(render_crop(number, rng=rng, typefaces=TRAIN, size_px=SIZE_PX[0]).image_HW3)
    return crop.resize(SIZE_PX[::-1])


def draw_clean(root: Path) -> None:
    """A data set without any fault."""
    for index, split in enumerate(SPLITS):
        for label in LABELS:
            folder = root / split / label
            folder.mkdir(parents=True)
            draw(label, seed=index).save(folder / "clean.png")


def measure(folder: Path) -> list[Outcome]:
    """Opens a data set with one file of each kind in turn; `folder` is empty, and open to all users."""
    picture = draw("23", seed=len(SPLITS))
    root = folder / "each"
    draw_clean(root)
    _opened(root, "refuse")  # what is imported late may be closed to nobody
    outcomes = []
    with without_rights(folder):
        for name, kind in KINDS.items():
            path = root / "train" / "23" / name
            outcomes.append(Outcome(kind.name, *(_attempt(path, picture, mode) for mode in ("refuse", "skip"))))
    return outcomes


def together(folder: Path) -> tuple[str, str]:
    """What is said of a data set with all of them, by default and with "skip"."""
    picture, root = draw("23", seed=len(SPLITS)), folder / "all"
    draw_clean(root)
    with without_rights(folder):
        for name, kind in KINDS.items():
            kind.make(root / "train" / "23" / name, picture.copy())
        try:
            strict = str(_opened(root, "refuse"))
        except UserError as error:
            strict = str(error)
        picture.save(root / "train" / "23" / GONE)
        data = _opened(root, "skip")
    kept, skipped = len(data.splits["train"]), len(data.skipped["train"])
    return strict.replace(f"{root}/", ""), f"{kept} train images are kept, {skipped} skipped"


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """As a user whom permissions stop, and to whom the folder belongs."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _attempt(path: Path, picture: Image.Image, on_bad_image: OnBadImage) -> str:
    KINDS[path.name].make(path, picture.copy())
    try:
        data = _opened(path.parents[2], on_bad_image)
        return _read(data, path, picture)
    except UserError as error:
        about = str(error).partition(f"{escape_control(str(path))} ")[2] or str(error)
        return f"refused: {about.partition('; mend')[0]}"
    except Exception as error:  # a defect; the table shows it, and the exit code
        return f"TRACEBACK: {error!r}"
    finally:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _opened(root: Path, on_bad_image: OnBadImage) -> JerseyDataModule:
    data = Vanishing(str(root), seed=0, size_px=SIZE_PX, on_bad_image=on_bad_image)
    data.setup()
    return data


def _read(data: JerseyDataModule, path: Path, picture: Image.Image) -> str:
    if any(each.problem.path == path for each in data.skipped["train"]):
        return "skipped"
    if path not in data.splits["train"].paths:
        return "not taken for an image"
    pixels_HW3 = decode(path)
    height, width, _ = pixels_HW3.shape
    return f"read as {width} x {height} RGB{_likeness(pixels_HW3, picture)}"


def _likeness(pixels_HW3: np.ndarray, picture: Image.Image) -> str:
    for words, shown in (("as drawn", picture), ("as drawn, in grey", picture.convert("L").convert("RGB"))):
        drawn_HW3 = np.asarray(shown).astype(int)
        if pixels_HW3.shape == drawn_HW3.shape and np.abs(pixels_HW3 - drawn_HW3).mean() < AS_DRAWN:
            return f", {words}"
    return ""


def as_json(outcomes: list[Outcome], *, seconds: float, memory_mb: int) -> Mapping[str, str | int | float]:
    """How many files of which fate, for machines."""
    fates = Counter(outcome.strict.partition(" ")[0].rstrip(":") for outcome in outcomes)
    return {
        "bench": "dirty_images",
        "kinds": len(outcomes),
        "read": fates["read"],
        "refused": fates["refused"],
        "not_taken": fates["not"],
        "tracebacks": sum("TRACEBACK" in outcome.strict + outcome.skip for outcome in outcomes),
        "seconds": round(seconds, 1),
        "memory_mb": memory_mb,
    }


def main() -> int:
    """Prints a row a kind, what is said of all together, and a line of JSON."""
    folder, started, before_kb = Path(tempfile.mkdtemp(prefix="jersey-bench-")), time.monotonic(), _peak_kb()
    folder.chmod(0o755)
    logging.getLogger("jersey").setLevel(logging.ERROR)  # each skipped image would be told beside the table
    try:
        outcomes, (strict, skip) = measure(folder), together(folder)
    finally:
        shutil.rmtree(folder)
    rows = [["kind", "strictly", 'with on_bad_image="skip"']]
    rows += [[each.kind, each.strict, each.skip if each.skip != each.strict else "as strictly"] for each in outcomes]
    print("\n".join(aligned(rows)))
    print(f"\nAll together, strictly: {strict}\nWith skip: {skip}.")
    memory_mb = (_peak_kb() - before_kb) // 1000
    facts = as_json(outcomes, seconds=time.monotonic() - started, memory_mb=memory_mb)
    print(json.dumps(facts))
    return 1 if facts["tracebacks"] else 0


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
