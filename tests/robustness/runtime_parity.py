"""Compares the outputs of an exported file in several runtimes, and for crops of another decoder.

    PYTHONPATH=tests python -m robustness.runtime_parity MODEL.onnx CROPS [--crops=500]

The same file and the same pixels are passed to onnxruntime for Python, whose outputs are the reference, to
onnxruntime-web under Node.js, which npm installs on first use, and to OpenCV's DNN module (`uv run --group bench`). A
runtime is equal if it has the reference's top-1 on every crop and its logits within 1e-4. If a runtime is missing or
cannot load the file, its row contains the reason. The exit code is 1 if a runtime is not equal, or if none loaded the
file.

The last row is the reference on the same files decoded by OpenCV instead of Pillow. It does not affect the exit code.

For a file with a static input size, crops are resized to it first.

Shapes: N crops, h w their sizes, K classes.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from robustness.runtimes import RuntimeOutput, Unavailable, in_onnxruntime, in_onnxruntime_web, in_opencv, opencv

from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.tables import format_table
from jersey.data.decode import decode
from jersey.data.files import images_below
from jersey.data.resize import resize
from jersey.inference.onnx_model import OnnxModel

TOLERANCE = 1e-4  # of a logit; float32 sums in another order differ by less

Runtime = Callable[[Path, Sequence[np.ndarray]], RuntimeOutput]
RUNTIMES: Mapping[str, Runtime] = {"onnxruntime-web": in_onnxruntime_web, "OpenCV DNN": in_opencv}


def compared(output: RuntimeOutput, reference_NK: np.ndarray) -> dict[str, Any]:
    """Compares logits with the reference, row by row; NaN is never equal."""
    difference_N = np.abs(output.logits_NK - reference_NK).max(axis=1)
    other_top1 = int((output.logits_NK.argmax(axis=1) != reference_NK.argmax(axis=1)).sum())
    return {
        "runtime": output.runtime,
        "crops": len(reference_NK),
        "max_logit_difference": float(difference_N.max()),
        "mean_logit_difference": float(difference_N.mean()),
        "other_top1": other_top1,
        "same": bool(difference_N.max() <= TOLERANCE) and not other_top1,
    }


def compared_pixels(pillow_hw3: Sequence[np.ndarray], opencv_hw3: Sequence[np.ndarray]) -> dict[str, Any]:
    """Compares the pixels of the same files: the fraction of values (three per pixel) that differ, and by how much."""
    pairs = zip(pillow_hw3, opencv_hw3, strict=True)
    differences = [np.abs(left.astype(int) - right.astype(int)) for left, right in pairs]
    every = np.concatenate([each.ravel() for each in differences])
    same = sum(not each.any() for each in differences)
    return {
        "files": len(differences),
        "same_files": same,
        "differing": float((every > 0).mean()),
        "largest": int(every.max()),
    }


def measure(model: Path, files: Sequence[Path], runtimes: Mapping[str, Runtime] = RUNTIMES) -> dict[str, Any]:
    """Runs the file in each runtime; returns rows of `compared`, or the reason why a runtime has none.

    Raises:
        UserError: the model or a crop cannot be read.
    """
    prepare = preparation(model)
    pillow_hw3 = [decode(file) for file in files]
    crops_hw3 = [prepare(pixels) for pixels in pillow_hw3]
    reference = in_onnxruntime(model, crops_hw3)
    rows: dict[str, dict[str, Any] | str] = {}
    for name, runtime in runtimes.items():
        try:
            rows[name] = compared(runtime(model, crops_hw3), reference.logits_NK)
        except Unavailable as error:
            rows[name] = str(error)
    decoded: dict[str, Any] | str
    try:
        opencv_hw3 = decode_with_opencv(files)
        output = in_onnxruntime(model, [prepare(pixels) for pixels in opencv_hw3])
        decoded, pixels = compared(output, reference.logits_NK), compared_pixels(pillow_hw3, opencv_hw3)
    except Unavailable as error:
        decoded, pixels = str(error), {}
    verdicts = [row["same"] for row in rows.values() if isinstance(row, dict)]
    summary = {"bench": "runtime_parity", "passed": bool(verdicts) and all(verdicts), "tolerance": TOLERANCE}
    return {**summary, "reference": reference.runtime, "runtimes": rows, "decoded": decoded, "pixels": pixels}


def preparation(model: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that resizes crops for a file with a static input size, and changes none for others."""
    loaded = OnnxModel(model)
    if not loaded.is_static:
        return lambda pixels_hw3: pixels_hw3
    height_px, width_px = loaded.session.get_inputs()[0].shape[2:]
    mode: Any = loaded.metadata["resize_mode"]

    def resized(pixels_hw3: np.ndarray) -> np.ndarray:
        images_13hw = torch.from_numpy(pixels_hw3).permute(2, 0, 1)[None]
        return resize(images_13hw, height_px=height_px, width_px=width_px, mode=mode)[0].permute(1, 2, 0).numpy()

    return resized


def decode_with_opencv(files: Sequence[Path]) -> list[np.ndarray]:
    """Decodes files to RGB with OpenCV.

    Raises:
        Unavailable: OpenCV is not installed, or cannot decode a file.
    """
    cv2 = opencv()
    pixels = {file: cv2.imread(str(file), cv2.IMREAD_COLOR) for file in files}
    if unread := [file for file, pixels_hw3 in pixels.items() if pixels_hw3 is None]:
        raise Unavailable(f"OpenCV cannot decode {unread[0]}")
    return [pixels_hw3[..., ::-1] for pixels_hw3 in pixels.values()]


def table(found: Mapping[str, Any]) -> str:
    """Formats one row per runtime, and one for the decoder."""
    rows = [["", "crops", "largest logit difference", "mean", "other top-1", ""]]
    for name, each in {**found["runtimes"], "decoded by OpenCV": found["decoded"]}.items():
        if isinstance(each, str):
            rows.append([name, "", "", "", "", each])
            continue
        verdict = "" if each is found["decoded"] else "equal" if each["same"] else "NOT EQUAL"
        differences = f"{each['max_logit_difference']:.1e}", f"{each['mean_logit_difference']:.1e}"
        name = name if each is found["decoded"] else each["runtime"]
        rows.append([name, str(each["crops"]), *differences, str(each["other_top1"]), verdict])
    lines = [f"Against {found['reference']}, crop by crop:", "", *format_table(rows)]
    if pixels := found["pixels"]:
        lines += ["", f"OpenCV decodes {pixels['same_files']} of {pixels['files']} files as Pillow does; of all values"]
        lines[-1] += f" {100 * pixels['differing']:.2f} % differ, by at most {pixels['largest']}."
    return "\n".join(lines)


def crops_in(folder: Path, max_crops: int) -> list[Path]:
    """Returns image files of the folder and of those below it, evenly spaced.

    Raises:
        UserError: there are none.
    """
    if not (paths := images_below(folder)):
        raise UserError(f"{folder} holds no images; name a folder of crops")
    return [paths[row] for row in np.linspace(0, len(paths) - 1, min(max_crops, len(paths))).round().astype(int)]


def main() -> int:
    """Prints a table and a line of JSON; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="exported file, such as runs/quickstart/RUN/model.onnx")
    parser.add_argument(
        "folder", type=Path, help="folder of crops, including those in folders below it, such as generated/test"
    )
    parser.add_argument(
        "--crops",
        type=int,
        default=500,
        help="number of crops, evenly spaced over the folder, such as 100 (default: %(default)s)",
    )
    with exit_on_user_error():
        set_up_console()
        arguments = parser.parse_args()
        found = measure(arguments.model, crops_in(arguments.folder, arguments.crops))
    print(table(found), end="\n\n")
    print(json.dumps(found))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
