"""How images, data sets of them and what is decoded of them are read; all that read one say the same of it.

Shapes: H W of a picture.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers.planted_model import planted_model
from PIL import Image

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.data.audit import audit_folder
from jersey.data.cache import DecodedCrops, Preprocessing, load_crops
from jersey.data.datamodule import JerseyDataModule
from jersey.data.decode import decode, decode_content, read_meta
from jersey.data.index import read_splits
from jersey.data.problems import OnBadImage
from jersey.data.split import label_map
from jersey.inference.predictor import Predictor
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN

LABELS = ("7", "23")
SIZE_PX = (64, 48)  # height and width
AS_DRAWN = 12  # mean difference of 255 that formats with losses may make
NOBODY = 65534
GOOD_ROWS = b'{"image": "a.png", "suffix": "0"}\n{"image": "b.png", "suffix": "00"}\n'


@cache
def drawn(number: str, seed: int) -> Image.Image:
    """A crop that is higher than wide, so that turns show."""
    rng = np.random.default_rng([seed, 11])
    crop = Image.fromarray(render_crop(number, rng=rng, typefaces=TRAIN, size_px=SIZE_PX[0]).image_HW3)
    return crop.resize(SIZE_PX[::-1])


PICTURE = drawn("23", len(SPLITS))
with tempfile.TemporaryDirectory() as _folder:
    MODEL = planted_model(Path(_folder) / "model.onnx").read_bytes()
    PREDICTOR = Predictor(Path(_folder) / "model.onnx")


def clean_set(root: Path) -> Path:
    """A data set without any fault, of a crop of each label in each split."""
    for index, split in enumerate(SPLITS):
        for label in LABELS:
            (root / split / label).mkdir(parents=True)
            drawn(label, index).save(root / split / label / "clean.png")
    return root


def opened(root: Path, on_bad_image: OnBadImage = "error") -> JerseyDataModule:
    """As a run opens it."""
    data = JerseyDataModule(str(root), seed=0, size_px=SIZE_PX, on_bad_image=on_bad_image)
    data.setup()
    return data


def data_set(spoil: Callable[[Path], None], folder: Path) -> None:
    """A good data set that has been spoiled: audited, and opened as a run does."""
    spoil(clean_set(folder / "set"))
    audit = audit_folder(folder / "set")
    assert all(line.isprintable() for line in audit.text().split("\n"))
    try:
        opened(folder / "set")
    except UserError:
        assert audit.errors
        raise
    assert not audit.errors


def image_file(file: tuple[str, Callable[[Path], None]], folder: Path) -> str:
    """A file among the crops of a data set: strict and lenient runs, the audit and the predictor say the same of it."""
    path = clean_set(folder / "set") / "train" / "23" / file[0]
    opened(folder / "set")  # what is imported late may be closed to nobody
    with _without_rights(folder):
        file[1](path)
        data = opened(folder / "set", "skip")
        skipped = [each.problem for each in data.skipped["train"]]
        found = [each for each in audit_folder(folder / "set").findings if each.kind == "bad image"]
        reading = dict(PREDICTOR.predict_folder(path.parent)).get(path)
        assert len(skipped) == len(found) == isinstance(reading, UserError)
        if skipped:
            with pytest.raises(UserError, match="1 of 7 images cannot be used: ") as caught:
                opened(folder / "set")
            assert skipped[0].reason in str(caught.value)
            return f"refused or skipped: {skipped[0].reason}"
        opened(folder / "set")
        is_taken = path in data.splits["train"].paths
        assert is_taken == (reading is not None)
        return _likeness(decode(path)) if is_taken else "not taken for an image"


@contextmanager
def _without_rights(folder: Path) -> Iterator[None]:
    """As a user whom permissions stop, unlike root, and to whom the folder belongs."""
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


def _likeness(pixels_HW3: np.ndarray) -> str:
    height, width, _ = pixels_HW3.shape
    for words, shown in ((", as drawn", PICTURE), (", as drawn, in grey", PICTURE.convert("L").convert("RGB"))):
        drawn_HW3 = np.asarray(shown).astype(int)
        if pixels_HW3.shape == drawn_HW3.shape and np.abs(pixels_HW3 - drawn_HW3).mean() < AS_DRAWN:
            return f"read as {width} x {height} RGB{words}"
    return f"read as {width} x {height} RGB"


def image(content: bytes, folder: Path) -> None:
    """Decodes it, and looks at its header alone."""
    pixels_HW3 = decode_content(content, folder / "a.png")
    assert pixels_HW3.dtype == np.uint8
    assert pixels_HW3.shape[2:] == (3,)
    assert pixels_HW3.size > 0
    meta = read_meta(content, folder / "a.png")
    assert sorted((meta["width_px"], meta["height_px"])) == sorted(pixels_HW3.shape[:2])


def annotations(content: bytes, folder: Path) -> None:
    """Reads them as the audit does, which goes on, and as a run does, which does not; validation has good ones."""
    (folder / "outside.png").touch()
    for split, rows in zip(SPLITS, (content, GOOD_ROWS, content), strict=True):
        (folder / "set" / split).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            (folder / "set" / split / name).touch()
        (folder / "set" / split / "rows.jsonl").write_bytes(rows)
    problems: list[UserError] = []
    read_splits(folder / "set", problems.append)
    label_map(read_splits(folder / "set"))


def decoded_crops(content: bytes, folder: Path, *, pattern: str) -> str:
    """Takes the place of one of the two files of a cache."""
    paths = [folder / f"{index}.png" for index in range(3)]
    for path in paths:
        PICTURE.save(path)
    recipe = Preprocessing(resize=lambda pixels_hw3: pixels_hw3.transpose(2, 0, 1), size_px=SIZE_PX, settings="stretch")
    first, again = (_load(paths, recipe, folder / "cache", pattern, each) for each in (None, content))
    np.testing.assert_array_equal(again.images_NCHW, first.images_NCHW)
    np.testing.assert_array_equal(again.image_meta_N, first.image_meta_N)
    (file,) = (folder / "cache").glob(pattern)
    return "kept" if file.read_bytes() == content else "made again"


def _load(paths: list[Path], recipe: Preprocessing, folder: Path, pattern: str, content: bytes | None) -> DecodedCrops:
    for file in folder.glob(pattern):
        file.unlink()  # the crops that are held go on in the old file
        file.write_bytes(content or b"")
    return load_crops(paths, recipe, name="train", folder=folder)
