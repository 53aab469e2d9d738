"""Readers of images, data sets and decoded crops; all readers of an image must agree about it.

Shapes: H W of an image.
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
RENDERED_TOLERANCE = 12  # mean difference of 255 that lossy formats may cause
NOBODY = 65534
GOOD_ROWS = b'{"image": "a.png", "suffix": "0"}\n{"image": "b.png", "suffix": "00"}\n'


@cache
def rendered(number: str, seed: int) -> Image.Image:
    """Renders a crop that is higher than wide, so that rotations are visible."""
    rng = np.random.default_rng([seed, 11])
    crop = Image.fromarray(render_crop(number, rng=rng, typefaces=TRAIN, size_px=SIZE_PX[0]).image_HW3)
    return crop.resize(SIZE_PX[::-1])


RENDERED = rendered("23", len(SPLITS))
with tempfile.TemporaryDirectory() as _folder:
    MODEL = planted_model(Path(_folder) / "model.onnx").read_bytes()
    PREDICTOR = Predictor(Path(_folder) / "model.onnx")


def clean_set(root: Path) -> Path:
    """Creates a valid data set with one crop of each label in each split."""
    for index, split in enumerate(SPLITS):
        for label in LABELS:
            (root / split / label).mkdir(parents=True)
            rendered(label, index).save(root / split / label / "clean.png")
    return root


def opened(root: Path, on_bad_image: OnBadImage = "error") -> JerseyDataModule:
    """Opens a data set as a run does."""
    data = JerseyDataModule(str(root), seed=0, size_px=SIZE_PX, on_bad_image=on_bad_image)
    data.setup()
    return data


def data_set(spoil: Callable[[Path], None], folder: Path) -> None:
    """Audits a damaged data set, and opens it as a run does."""
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
    """Reads a file among the crops of a data set; strict and lenient runs, audit and predictor must agree about it."""
    path = clean_set(folder / "set") / "train" / "23" / file[0]
    opened(folder / "set")  # late imports would fail without privileges
    with _without_rights(folder):
        file[1](path)
        data = opened(folder / "set", "skip")
        skipped = [each.problem for each in data.skipped["train"]]
        found = [each for each in audit_folder(folder / "set").findings if each.kind == "bad_image"]
        prediction = dict(PREDICTOR.predict_folder(path.parent)).get(path)
        assert len(skipped) == len(found) == isinstance(prediction, UserError)
        if skipped:
            with pytest.raises(UserError, match="1 of 7 images cannot be used: ") as caught:
                opened(folder / "set")
            assert skipped[0].reason in str(caught.value)
            return f"refused or skipped: {skipped[0].reason}"
        opened(folder / "set")
        is_image = path in data.splits["train"].paths
        assert is_image == (prediction is not None)
        return _described(decode(path)) if is_image else "ignored"


@contextmanager
def _without_rights(folder: Path) -> Iterator[None]:
    """Continues as a user without privileges who owns the folder, because permissions do not stop root."""
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


def _described(pixels_HW3: np.ndarray) -> str:
    height, width, _ = pixels_HW3.shape
    for words, expected in (
        (", as rendered", RENDERED),
        (", as rendered, in gray", RENDERED.convert("L").convert("RGB")),
    ):
        rendered_HW3 = np.asarray(expected).astype(int)
        if pixels_HW3.shape == rendered_HW3.shape and np.abs(pixels_HW3 - rendered_HW3).mean() < RENDERED_TOLERANCE:
            return f"read as {width} x {height} RGB{words}"
    return f"read as {width} x {height} RGB"


def image(content: bytes, folder: Path) -> None:
    """Decodes an image, and reads its header separately."""
    pixels_HW3 = decode_content(content, folder / "a.png")
    assert pixels_HW3.dtype == np.uint8
    assert pixels_HW3.shape[2:] == (3,)
    assert pixels_HW3.size > 0
    meta = read_meta(content, folder / "a.png")
    assert sorted((meta["width_px"], meta["height_px"])) == sorted(pixels_HW3.shape[:2])


def annotations(content: bytes, folder: Path) -> None:
    """Reads annotations as the audit does, which continues after a problem, and as a run does, which stops."""
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
    """Loads crops from a cache in which the content replaces one of the two files."""
    paths = [folder / f"{index}.png" for index in range(3)]
    for path in paths:
        RENDERED.save(path)
    preprocessing = Preprocessing(
        resize=lambda pixels_hw3: pixels_hw3.transpose(2, 0, 1), size_px=SIZE_PX, settings="stretch"
    )
    first, again = (_load(paths, preprocessing, folder / "cache", pattern, each) for each in (None, content))
    np.testing.assert_array_equal(again.images_NCHW, first.images_NCHW)
    np.testing.assert_array_equal(again.image_meta_N, first.image_meta_N)
    (file,) = (folder / "cache").glob(pattern)
    return "kept" if file.read_bytes() == content else "rebuilt"


def _load(
    paths: list[Path], preprocessing: Preprocessing, folder: Path, pattern: str, content: bytes | None
) -> DecodedCrops:
    for file in folder.glob(pattern):
        file.unlink()  # crops in use stay mapped to the old file
        file.write_bytes(content or b"")
    return load_crops({"train": paths}, preprocessing, folder=folder)["train"]
