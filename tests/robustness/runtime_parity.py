"""Whether the exported file gives the same answers in every runtime, and however a crop is decoded.

    PYTHONPATH=tests python -m robustness.runtime_parity MODEL.onnx CROPS [--crops=500]

The same file and the same pixels go to onnxruntime for Python, whose answers are the reference, to onnxruntime-web
under Node.js, which npm installs on first use, and to OpenCV's DNN module (`uv run --group bench`). A runtime is the
same if it has the reference's top-1 on every crop and its logits within 1e-4. One that is not here, or cannot take the
file, has the reason in its row. Exit code 1 if one is not the same, or none took the file.

Below them is the reference on the same files decoded by OpenCV in place of Pillow; that is told and not judged.

A file for crops of one size only gets them fitted to that size beforehand.

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
from robustness.runtimes import Answer, Unavailable, in_onnxruntime, in_onnxruntime_web, in_opencv, opencv

from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.tables import format_table
from jersey.data.decode import decode
from jersey.data.files import images_below
from jersey.data.resize import resize
from jersey.inference.onnx_model import OnnxModel

TOLERANCE = 1e-4  # of a logit

Runtime = Callable[[Path, Sequence[np.ndarray]], Answer]
RUNTIMES: Mapping[str, Runtime] = {"onnxruntime-web": in_onnxruntime_web, "OpenCV DNN": in_opencv}


def compared(answer: Answer, reference_NK: np.ndarray) -> dict[str, Any]:
    """How some logits compare with the reference, row by row; what is not a number is never the same."""
    difference_N = np.abs(answer.logits_NK - reference_NK).max(axis=1)
    other_top1 = int((answer.logits_NK.argmax(axis=1) != reference_NK.argmax(axis=1)).sum())
    return {
        "runtime": answer.runtime,
        "crops": len(reference_NK),
        "max_logit_difference": float(difference_N.max()),
        "mean_logit_difference": float(difference_N.mean()),
        "other_top1": other_top1,
        "same": bool(difference_N.max() <= TOLERANCE) and not other_top1,
    }


def compared_pixels(pillow_hw3: Sequence[np.ndarray], opencv_hw3: Sequence[np.ndarray]) -> dict[str, Any]:
    """How pixels of the same files compare: share of the values (a pixel has three) that differ, and by how much."""
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
    """Hands the file to each runtime: rows as of `compared`, or a text that says why there is none.

    Raises:
        UserError: the model or a crop cannot be read.
    """
    as_wanted = fitting(model)
    pillow_hw3 = [decode(file) for file in files]
    crops_hw3 = [as_wanted(pixels) for pixels in pillow_hw3]
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
        answer = in_onnxruntime(model, [as_wanted(pixels) for pixels in opencv_hw3])
        decoded, pixels = compared(answer, reference.logits_NK), compared_pixels(pillow_hw3, opencv_hw3)
    except Unavailable as error:
        decoded, pixels = str(error), {}
    verdicts = [row["same"] for row in rows.values() if isinstance(row, dict)]
    facts = {"bench": "drop_in", "passed": bool(verdicts) and all(verdicts), "tolerance": TOLERANCE}
    return {**facts, "reference": reference.runtime, "runtimes": rows, "decoded": decoded, "pixels": pixels}


def fitting(model: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Crops as the file takes them: as they are, but for a file of one size."""
    loaded = OnnxModel(model)
    if not loaded.is_static:
        return lambda pixels_hw3: pixels_hw3
    height_px, width_px = loaded.session.get_inputs()[0].shape[2:]
    mode: Any = loaded.metadata["resize_mode"]

    def fitted(pixels_hw3: np.ndarray) -> np.ndarray:
        images_13hw = torch.from_numpy(pixels_hw3).permute(2, 0, 1)[None]
        return resize(images_13hw, height_px=height_px, width_px=width_px, mode=mode)[0].permute(1, 2, 0).numpy()

    return fitted


def decode_with_opencv(files: Sequence[Path]) -> list[np.ndarray]:
    """RGB, as OpenCV reads the files.

    Raises:
        Unavailable: there is no OpenCV, or it cannot read one.
    """
    cv2 = opencv()
    pixels = {file: cv2.imread(str(file), cv2.IMREAD_COLOR) for file in files}
    if unread := [file for file, pixels_hw3 in pixels.items() if pixels_hw3 is None]:
        raise Unavailable(f"OpenCV cannot decode {unread[0]}")
    return [pixels_hw3[..., ::-1] for pixels_hw3 in pixels.values()]


def table(found: Mapping[str, Any]) -> str:
    """A row a runtime, and one for the decoder."""
    rows = [["", "crops", "largest logit difference", "mean", "other top-1", ""]]
    for name, each in {**found["runtimes"], "decoded by OpenCV": found["decoded"]}.items():
        if isinstance(each, str):
            rows.append([name, "", "", "", "", each])
            continue
        verdict = "" if each is found["decoded"] else "the same" if each["same"] else "NOT THE SAME"
        differences = f"{each['max_logit_difference']:.1e}", f"{each['mean_logit_difference']:.1e}"
        name = name if each is found["decoded"] else each["runtime"]
        rows.append([name, str(each["crops"]), *differences, str(each["other_top1"]), verdict])
    lines = [f"Against {found['reference']}, crop by crop:", "", *format_table(rows)]
    if pixels := found["pixels"]:
        lines += ["", f"OpenCV decodes {pixels['same_files']} of {pixels['files']} files as Pillow does; of all values"]
        lines[-1] += f" {100 * pixels['differing']:.2f} % differ, by {pixels['largest']} at most."
    return "\n".join(lines)


def crops_in(folder: Path, most: int) -> list[Path]:
    """Image files of the folder and of those below it, evenly spread over them.

    Raises:
        UserError: there is none.
    """
    if not (paths := images_below(folder)):
        raise UserError(f"{folder} holds no images; name a folder of crops")
    return [paths[row] for row in np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)]


def main() -> int:
    """Prints a table and a line of JSON; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model.onnx")
    parser.add_argument("folder", type=Path, help="of crops; those in folders below it count too")
    parser.add_argument("--crops", type=int, default=500, help="how many, spread evenly over the folder (500)")
    with exit_on_user_error():
        set_up_console()
        arguments = parser.parse_args()
        found = measure(arguments.model, crops_in(arguments.folder, arguments.crops))
    print(table(found), end="\n\n")
    print(json.dumps(found))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
