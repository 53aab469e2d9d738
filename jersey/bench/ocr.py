"""Compares an exported file with general OCR packages: accuracy and latency on the test crops of a data set.

    python -m jersey.bench.ocr runs/quickstart/RUN/model.onnx data/quickstart --every=4

Every candidate reads the same decoded crops, one at a time, on one CPU thread; they take turns of a few crops. The time
includes whatever a candidate does to a decoded crop.

- jersey: `jersey.inference.Predictor` with the file;
- RapidOCR, PP-OCRv6 and PP-OCRv4: the recognizers that the packages rapidocr and rapidocr-onnxruntime contain, on the
  whole crop, without their text detection; they resize it to a height of 48 px;
- ddddocr: the recognizer of that package, which is made for captchas.

An OCR package may answer with any text. It is correct if its digits alone are the label, whatever else it has read.
Illegible crops, and those whose label is not a number of digits, are left out. `uv sync --group bench` installs the
packages.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jersey.bench import harness
from jersey.core.errors import UserError
from jersey.core.tables import format_table
from jersey.data.decode import decode
from jersey.data.index import read_splits
from jersey.evaluation.calibration import wilson_interval
from jersey.inference import Predictor
from jersey.inference.onnx_model import CPU

CROPS_PER_TURN = 16

Reader = Callable[[np.ndarray], str]
"""Reads the text on a crop, uint8 RGB [h,w,3]."""


def readers(model: Path) -> dict[str, Reader]:
    """Returns the candidates by name, each on one thread.

    Args:
        model: path of an exported `model.onnx`.

    Raises:
        UserError: the model cannot be used, or a package is not installed.
    """
    predictor = Predictor(model, threads=1)
    try:
        found = {
            "jersey": lambda crop_hw3: predictor.predict(crop_hw3).number or "",
            "RapidOCR, PP-OCRv6": _rapidocr(),
            "RapidOCR, PP-OCRv4": _rapidocr_onnxruntime(),
            "ddddocr": _ddddocr(),
        }
    except ModuleNotFoundError as error:
        raise UserError(f"the package {error.name} is not installed; run `uv sync --group bench`") from None
    logging.getLogger("RapidOCR").setLevel(logging.WARNING)  # the logger of both packages
    return found


def _rapidocr() -> Reader:
    from rapidocr import RapidOCR

    threads = dict.fromkeys((f"EngineConfig.onnxruntime.{pool}_op_num_threads" for pool in ("intra", "inter")), 1)
    engine: Any = RapidOCR(params={"Global.text_score": 0.0, **threads})  # by default it drops texts below 0.5

    def read(crop_hw3: np.ndarray) -> str:
        texts = engine(_bgr(crop_hw3), use_det=False, use_cls=False, use_rec=True).txts
        return texts[0] if texts else ""

    return read


def _rapidocr_onnxruntime() -> Reader:
    from rapidocr_onnxruntime import RapidOCR

    recognize: Any = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1).text_rec

    def read(crop_hw3: np.ndarray) -> str:
        ((text, _score),), _seconds = recognize(_bgr(crop_hw3))
        return text

    return read


def _ddddocr() -> Reader:
    import ddddocr

    ocr: Any = ddddocr.DdddOcr(show_ad=False)
    session = ocr.ocr_engine.session  # it has no option for the number of threads
    one_thread = session.get_session_options()
    one_thread.intra_op_num_threads = 1
    path = Path(ddddocr.__file__).with_name("common_old.onnx")
    ocr.ocr_engine.session = type(session)(path, one_thread, providers=[CPU])
    return lambda crop_hw3: ocr.classification(Image.fromarray(crop_hw3))


def _bgr(crop_hw3: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(crop_hw3[..., ::-1])


def digits_of(text: str) -> str:
    """Returns the digits 0 to 9 of a text, in order."""
    return "".join(character for character in text if character in "0123456789")


def read_all(candidates: dict[str, Reader], crops: Sequence[np.ndarray]) -> tuple[dict[str, list[str]], harness.Times]:
    """Returns the texts of each candidate, one per crop, and its seconds per crop, one value per turn.

    Args:
        candidates: readers by name; every second round of turns is in reverse order.
        crops: crops, uint8 RGB [h,w,3], at least two.
    """
    texts: dict[str, list[str]] = {name: [] for name in candidates}
    times_s: harness.Times = {name: [] for name in candidates}
    order = list(candidates)
    size = min(CROPS_PER_TURN, math.ceil(len(crops) / 2))  # a distribution of times needs two turns
    for start in range(0, len(crops), size):
        turn = crops[start : start + size]
        for name in order:
            read = candidates[name]
            read(turn[0])  # warms up
            started = time.perf_counter()
            texts[name] += [read(crop_hw3) for crop_hw3 in turn]
            times_s[name].append((time.perf_counter() - started) / len(turn))
        order.reverse()
    return texts, times_s


def measure(model: Path, root: Path, every: int = 1) -> dict[str, Any]:
    """Prints the accuracy and the speed of each candidate.

    Args:
        model: exported file, such as runs/quickstart/20261121-101500/model.onnx.
        root: data set, of whose test split the crops are read, such as data/quickstart.
        every: 1 to read all of these crops, 4 to read every fourth.
    """
    crops, labels = _test_crops(root, every)
    texts, times_s = read_all(readers(model), crops)
    rows, accuracy = [["", "correct", "accuracy", "95 % interval"]], {}
    for name, found in texts.items():
        correct = sum(digits_of(text) == label for text, label in zip(found, labels, strict=True))
        low, high = wilson_interval(correct, len(crops))
        fractions = {"accuracy": correct / len(crops), "low": low, "high": high}
        value, *interval = (f"{100 * fraction:.1f} %" for fraction in fractions.values())
        rows.append([name, f"{correct:,} / {len(crops):,}", value, " to ".join(interval)])
        accuracy[name] = {key: round(fraction, 4) for key, fraction in fractions.items()}
    print("\n".join([f"test crops of {root}", *format_table(rows), ""]))
    speeds = harness.print_speeds("one crop at a time, one CPU thread", times_s, baseline="jersey", crops=1)
    return {"crops": len(crops), "accuracy": accuracy, "speeds": speeds}


def _test_crops(root: Path, every: int) -> tuple[list[np.ndarray], list[str]]:
    if every < 1:
        raise UserError(f"--every={every} reads no crop; set it to 1 or more")
    split = read_splits(root)["test"]
    rows = [row for row, label in enumerate(split.labels) if label and digits_of(label) == label][::every]
    if len(rows) < 2:
        what = f"--every={every} leaves {len(rows)} test crops of a number in {root}"
        raise UserError(f"{what}, and 2 are needed; set it lower or choose another data set")
    return [decode(split.paths[row]) for row in rows], [split.labels[row] for row in rows]


if __name__ == "__main__":
    harness.command("ocr", __doc__, measure)
