"""Readers of each kind of input, and its outcome: read, refused in one sentence, or skipped with a warning.

Everything else is a defect: another exception, a message of several lines, more than CPU_S of computation, more than
MEMORY_BYTES of memory, a file written outside the input's folder, a program started, an object unpickled.
"""

import copy
import io
import logging.handlers
import resource
import signal
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import fiddle as fdl
import numpy as np
import pytest
import torch
from helpers.planted import baseline
from helpers.planted_model import planted_model
from helpers.registered import EXPERIMENTS
from helpers.watched import watched
from robustness.image_readers import annotations, data_set, decoded_crops, image, image_file
from robustness.label_readers import LAYOUTS, label_file

from jersey import config as configs
from jersey.compare.runs import read_run
from jersey.config.saved import from_json
from jersey.core.errors import UserError, escape_control
from jersey.core.labels import Labels
from jersey.core.model_file import with_checksum
from jersey.experiment import load_best_weights
from jersey.inference.onnx_model import OnnxModel
from jersey.inference.predictor import Predictor
from jersey.lint.checks import PACKAGES, check, load
from jersey.models.network import classifier
from jersey.runs.checkpoints import usable_checkpoint
from jersey.runs.folder import open_run
from jersey.runs.metrics_csv import MetricsCsv, read_metrics
from jersey.runs.provenance import record_start
from jersey.sweep.table import read_result

CPU_S, MEMORY_BYTES = 20, 2**30  # limits of a reader; with more, an input could exhaust the host
CONFIG_FILES = {"config.txt": "lr = 0.1\n"}
PROGRAMS = ("git", "uname")  # a run calls them to record its commit and processor
CONFIGS = {name: configs.get_experiment(name)() for name in EXPERIMENTS}


def outcome(reader: str, content: Any) -> str:
    """Returns the outcome of an input with its warnings: "read", "refused: ..." or another; raises after a defect."""
    warnings = logging.handlers.BufferingHandler(10_000)
    warnings.setLevel(logging.WARNING)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(prefix="jersey-damaged-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        logging.getLogger("jersey").addHandler(warnings)
        try:
            with _limited_time(), watched(folder) as actions:
                found = READERS[reader](content, folder) or "read"
        except UserError as error:
            found = f"refused: {str(error).replace(f'{folder}/', '')}"
        finally:
            logging.getLogger("jersey").removeHandler(warnings)
    assert found == escape_control(found), f"characters that must not be printed: {found!r}"
    assert len(found) < 1000
    grown_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib)
    assert grown_bytes < MEMORY_BYTES, f"{grown_bytes / 2**20:.0f} MiB of memory"
    harmful = [action for action in actions if not any(f"Popen ('{program}'," in action for program in PROGRAMS)]
    assert harmful == []
    return "; warned: ".join([found, *(record.getMessage() for record in warnings.buffer)])


@contextmanager
def _limited_time() -> Iterator[None]:
    """Raises if this process computes for too long; the time of other processes is not counted."""

    def raise_timeout(signal_number: int, frame: types.FrameType | None) -> None:
        raise TimeoutError(f"more than {CPU_S} s")

    before = signal.signal(signal.SIGVTALRM, raise_timeout)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def all_refuse(first: Callable[[], Any], *others: Callable[[], Any]) -> None:
    """Calls the first; if it refuses its input, the others must refuse it too."""
    try:
        first()
    except UserError:
        for other in others:
            with pytest.raises(UserError):
                other()
        raise


# Configs


def override(example: tuple[str, str], folder: Path) -> None:
    """Applies an override, and does everything that precedes the build of a run."""
    name, text = example
    config = copy.deepcopy(CONFIGS[name])
    configs.apply_override(config, text)
    configs.as_text(config)
    configs.flatten(config)
    assert from_json(configs.to_json(config, name), PACKAGES) == config
    check(config)


def fiddler(example: tuple[str, str], folder: Path) -> None:
    """Applies a fiddler, and checks the config."""
    config = copy.deepcopy(CONFIGS[example[0]])
    configs.apply_fiddler(config, example[1])
    check(config)


def saved_config(content: bytes, folder: Path) -> None:
    """Loads a saved config, and does everything that precedes the build of a run."""
    (folder / "config.json").write_bytes(content)
    name, config = load(folder)
    configs.as_text(config)
    configs.as_python(config, name)
    check(config)


# Run folders


def labels(content: bytes, folder: Path) -> None:
    """Loads a label map; a valid one is saved and loaded unchanged."""
    (folder / "labels_mapping.json").write_bytes(content)
    found = Labels.load(folder / "labels_mapping.json")
    found.save(folder / "again.json")
    assert Labels.load(folder / "again.json") == found


def status(content: bytes, folder: Path, *, name: str | None) -> None:
    """Resumes the run of a status file, by name or as the latest one; tables of runs skip a damaged one."""
    path = open_run(folder, "exp", "one", config_files=CONFIG_FILES).path
    (path / "status.json").write_bytes(content)
    try:
        all_refuse(
            lambda: open_run(folder, "exp", name, config_files=CONFIG_FILES).mark_stage("finished", best_epoch=0),
            lambda: read_run(path),
        )
    except UserError:
        assert read_result(path) is None
        raise


def config_text(content: bytes, folder: Path) -> None:
    """Resumes the run of a config."""
    path = open_run(folder, "exp", "one", config_files=CONFIG_FILES).path
    (path / "config.txt").write_bytes(content)
    open_run(folder, "exp", "one", config_files=CONFIG_FILES)


def metrics(content: bytes, folder: Path) -> None:
    """Continues a metrics file, and reads it for the figure."""
    file = folder / "metrics.csv"
    file.write_bytes(content)
    try:
        all_refuse(lambda: MetricsCsv(run_dir=folder), lambda: read_metrics(file))
    except UserError:
        assert file.read_bytes() == content
        raise
    logger = MetricsCsv(run_dir=folder)
    logger.log_metrics({"val/loss": 0.5, "epoch": 1}, step=10)
    logger.log_metrics({"test/loss": 0.5, "epoch": 1}, step=10)
    curves, test = read_metrics(file)
    assert (1, 0.5) in curves["val/loss"]
    assert test["test/loss"] == 0.5
    MetricsCsv(run_dir=folder)


def start_record(content: bytes, folder: Path, *, name: str) -> None:
    """Records another start of the run."""
    (folder / name).write_bytes(content)
    record_start(folder)


def checkpoint(content: bytes, folder: Path) -> None:
    """Loads the weights of a checkpoint."""
    (folder / "best.ckpt").write_bytes(content)
    module = fdl.build(baseline().module)(labels=Labels(("0", "00", "01")), class_counts=[1, 1, 1], seed=0)
    load_best_weights(module, folder / "best.ckpt")


def weights(content: bytes, folder: Path, *, suffix: str) -> None:
    """Loads weights for a new run."""
    (folder / f"weights{suffix}").write_bytes(content)
    classifier(labels=Labels(("0", "00", "01")), weights=str(folder / f"weights{suffix}"))


def last_checkpoint(content: bytes, folder: Path) -> str:
    """Resumes from a last checkpoint, or from a valid previous one, and refuses if both are damaged."""
    run = open_run(folder, "exp", "one", config_files=CONFIG_FILES)
    last, previous = run.last_checkpoints
    last.parent.mkdir()
    last.write_bytes(content)
    previous.write_bytes(GOOD_LAST)
    if usable_checkpoint(run) == last:
        return "read"
    previous.write_bytes(content)
    with pytest.raises(
        UserError, match=r"no usable checkpoint \(last\.ckpt and previous\.ckpt cannot be read\); restore"
    ):
        usable_checkpoint(run)
    return "refused, and previous.ckpt is used"


def onnx(content: bytes, folder: Path) -> None:
    """Loads a model file."""
    (folder / "model.onnx").write_bytes(content)
    OnnxModel(folder / "model.onnx")


def signed_model(body: bytes, folder: Path) -> None:
    """Loads a model file whose checksum is valid, and predicts with it."""
    (folder / "model.onnx").write_bytes(with_checksum(body))
    Predictor(folder / "model.onnx").predict(np.zeros((4, 6, 3), np.uint8))


def model_metadata(metadata: dict[str, str], folder: Path) -> None:
    """Loads a model with other metadata, and uses all of them."""
    planted_model(folder / "model.onnx", **metadata)
    predictor = Predictor(folder / "model.onnx", min_precision=0.95, open_vocabulary=True)
    assert predictor.model.temperature > 0
    predictor.predict(np.zeros((4, 6, 3), np.uint8))


def torch_file(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


GOOD_LAST = torch_file({"jersey": {"labels": ["0", "00"]}, "state_dict": {"weight": torch.zeros(1000)}})
READERS: dict[str, Callable[[Any, Path], str | None]] = {
    "image": image,
    "image file": image_file,
    "data set": data_set,
    "annotations": annotations,
    "decoded crops": partial(decoded_crops, pattern="train*[0-9a-f].npy"),
    "decoded crops' files": partial(decoded_crops, pattern="train*.files.npz"),
    "overrides": override,
    "fiddlers": fiddler,
    "saved configs": saved_config,
    "label maps": labels,
    "status files": partial(status, name="one"),
    "status files of the last run": partial(status, name=None),
    "config texts": config_text,
    "metrics": metrics,
    "records of starts": partial(start_record, name="provenance.json"),
    "lists of packages": partial(start_record, name="packages.txt"),
    "checkpoints": checkpoint,
    "last checkpoints": last_checkpoint,
    "weights": partial(weights, suffix=".pth"),
    "safetensors": partial(weights, suffix=".safetensors"),
    "weights of models": partial(weights, suffix=".onnx"),
    "models": onnx,
    "signed models": signed_model,
    "model metadata": model_metadata,
    **dict.fromkeys(LAYOUTS, label_file),
}
"""Functions that read an input in an empty folder; they return its outcome unless it is "read"."""
