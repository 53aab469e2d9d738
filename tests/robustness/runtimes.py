"""The runtimes that are compared: each takes an ONNX file and crops, and returns logits.

Every crop is passed alone and as it was decoded, as a program does that integrates the file.

Shapes: N crops, h w the size of each, K classes.
"""

import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from jersey.inference.onnx_model import OnnxModel

ONNXRUNTIME_WEB = "1.30.0"
NODE_PACKAGES = Path("~/.cache/jersey/node").expanduser()
SCRIPT = Path(__file__).with_name("runtime_parity.mjs")


class Unavailable(Exception):
    """Raised with the reason if a runtime is missing or cannot load the file."""


class RuntimeOutput(NamedTuple):
    """Name and version of a runtime, and its logits, one row per crop."""

    runtime: str
    logits_NK: np.ndarray


def in_onnxruntime(path: Path, crops_hw3: Sequence[np.ndarray]) -> RuntimeOutput:
    """Runs the file in onnxruntime for Python, through the predictor's `OnnxModel`."""
    model = OnnxModel(path)
    logits_NK = np.concatenate([model.logits(_planes(crop)[None]) for crop in crops_hw3])
    return RuntimeOutput(f"onnxruntime {version('onnxruntime')}", logits_NK)


def in_onnxruntime_web(path: Path, crops_hw3: Sequence[np.ndarray]) -> RuntimeOutput:
    """Runs the file in onnxruntime-web under Node.js, on its wasm backend.

    Raises:
        Unavailable: Node.js or the package is missing, or it cannot load the file.
    """
    package = onnxruntime_web()
    with TemporaryDirectory() as folder:
        crops, logits = Path(folder, "crops.bin"), Path(folder, "logits.bin")
        crops.write_bytes(b"".join(map(_record, crops_hw3)))
        output = _output_of(["node", str(SCRIPT), str(package), str(path), str(crops), str(logits)])
        logits_NK = np.fromfile(logits, "<f4").reshape(len(crops_hw3), -1)
    versions = json.loads(output.splitlines()[-1])
    return RuntimeOutput(f"onnxruntime-web {versions['onnxruntime-web']}, wasm, Node.js {versions['node']}", logits_NK)


def onnxruntime_web() -> Path:
    """Returns the folder of the npm package, which is installed on first use.

    Raises:
        Unavailable: npm is missing, or its registry does not answer.
    """
    folder = NODE_PACKAGES / ONNXRUNTIME_WEB
    package = folder / "node_modules" / "onnxruntime-web"
    if not (package / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _output_of(
            ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", f"onnxruntime-web@{ONNXRUNTIME_WEB}"]
        )
    return package


def in_opencv(path: Path, crops_hw3: Sequence[np.ndarray]) -> RuntimeOutput:
    """Runs the file in OpenCV's DNN module.

    Raises:
        Unavailable: OpenCV is not installed, or cannot load or run the file.
    """
    cv2 = opencv()
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
        rows = []
        for crop_hw3 in crops_hw3:
            network.setInput(_planes(crop_hw3)[None], "input")
            rows.append(network.forward("logits"))
    except cv2.error as error:
        raise Unavailable(f"OpenCV {cv2.__version__} cannot load the file: {_reason(str(error))}") from None
    return RuntimeOutput(f"OpenCV DNN {cv2.__version__}", np.concatenate(rows))


def opencv() -> Any:
    """Imports OpenCV.

    Raises:
        Unavailable: OpenCV is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise Unavailable("OpenCV is not installed; run this with `uv run --group bench`") from None


def _reason(error: str) -> str:
    """Extracts the node at which OpenCV fails, and its innermost error."""
    node = re.search(r"Node \[([^\]]+)\]:\((?:onnx_node!)?([^)]+)\)", error)
    words = re.findall(r"error: \([-\d]+:([^)]*)\) (.*)", error)
    sentence = ": ".join(words[-1]) if words else error.strip()
    return f"node {node[2]} of type {node[1]}: {sentence}" if node else sentence


def _planes(crop_hw3: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(crop_hw3.transpose(2, 0, 1))


def _record(crop_hw3: np.ndarray) -> bytes:
    return np.array(crop_hw3.shape[:2], "<u4").tobytes() + _planes(crop_hw3).tobytes()


def _output_of(command: list[str]) -> str:
    """Runs a program and returns its output.

    Raises:
        Unavailable: the program is missing or fails.
    """
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line] or ["there is no error message"]
        raise Unavailable(f"{command[0]} has failed: {lines[0][:300]}")
    return done.stdout
