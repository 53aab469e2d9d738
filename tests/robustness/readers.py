"""How each kind of input is read, and what becomes of it: read, refused in a sentence, or skipped and told.

Anything else is a defect: another exception, a sentence of more than a line, more than CPU_S of arithmetic, more than
MEMORY_BYTES at once, a file written outside the input's own folder, a program started, an object unpickled.
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
import pytest
import torch
from helpers.planted import baseline
from helpers.registered import EXPERIMENTS
from helpers.watched import watched
from robustness.image_readers import annotations, data_set, decoded_crops, image, image_file

from jersey import config as configs
from jersey.compare.runs import read_run
from jersey.config.saved import from_json
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.experiment import load_best_weights
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import PACKAGES, check, load
from jersey.runs.checkpoints import usable_checkpoint
from jersey.runs.folder import open_run
from jersey.runs.metrics_csv import MetricsCsv, read_metrics
from jersey.runs.provenance import record_start
from jersey.sweep.table import read_result

CPU_S, MEMORY_BYTES = 20, 2**30
CONFIG_FILES = {"config.txt": "lr = 0.1\n"}
PROGRAMS = ("git", "uname")  # which a run asks for its commit and its processor
CONFIGS = {name: configs.get_experiment(name)() for name in EXPERIMENTS}


def fate(reader: str, content: Any) -> str:
    """What becomes of an input: "read", "refused: ..." or what its reader says, and warnings; raises for a defect."""
    told = logging.handlers.BufferingHandler(10_000)
    told.setLevel(logging.WARNING)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(prefix="jersey-damaged-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        logging.getLogger("jersey").addHandler(told)
        try:
            with _limited_time(), watched(folder) as deeds:
                found = READERS[reader](content, folder) or "read"
        except UserError as error:
            found = f"refused: {str(error).replace(f'{folder}/', '')}"
        finally:
            logging.getLogger("jersey").removeHandler(told)
    assert found.isprintable(), f"more than a line: {found!r}"
    assert len(found) < 1000
    grown_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib)
    assert grown_bytes < MEMORY_BYTES, f"{grown_bytes / 2**20:.0f} MiB of memory"
    harm = [deed for deed in deeds if not any(f"Popen ('{program}'," in deed for program in PROGRAMS)]
    assert harm == []
    return "; told: ".join([found, *(record.getMessage() for record in told.buffer)])


@contextmanager
def _limited_time() -> Iterator[None]:
    """Raises when this process has computed for too long; what other processes do does not count."""

    def late(signal_number: int, frame: types.FrameType | None) -> None:
        raise TimeoutError(f"more than {CPU_S} s")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def all_refuse(first: Callable[[], Any], *others: Callable[[], Any]) -> None:
    """Calls the first; where that is refused, the others refuse as well."""
    try:
        first()
    except UserError:
        for other in others:
            with pytest.raises(UserError):
                other()
        raise


# Configs


def override(example: tuple[str, str], folder: Path) -> None:
    """Sets it, and does all that comes before a run is built."""
    name, text = example
    config = copy.deepcopy(CONFIGS[name])
    configs.apply_override(config, text)
    configs.as_text(config)
    configs.flatten(config)
    assert from_json(configs.to_json(config, name), PACKAGES) == config
    check(config)


def fiddler(example: tuple[str, str], folder: Path) -> None:
    """Calls it."""
    config = copy.deepcopy(CONFIGS[example[0]])
    configs.apply_fiddler(config, example[1])
    check(config)


def saved_config(content: bytes, folder: Path) -> None:
    """Loads it, and does all that comes before a run is built."""
    (folder / "config.json").write_bytes(content)
    name, config = load(folder)
    configs.as_text(config)
    configs.as_python(config, name)
    check(config)


# Run folders


def labels(content: bytes, folder: Path) -> None:
    """Loads the map; what it takes comes back the same."""
    (folder / "labels_mapping.json").write_bytes(content)
    found = Labels.load(folder / "labels_mapping.json")
    found.save(folder / "again.json")
    assert Labels.load(folder / "again.json") == found


def status(content: bytes, folder: Path, *, name: str | None) -> None:
    """Goes on with the run that it belongs to, by name or as the last one; tables of runs leave out what they must."""
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
    """Goes on with the run whose config it is."""
    path = open_run(folder, "exp", "one", config_files=CONFIG_FILES).path
    (path / "config.txt").write_bytes(content)
    open_run(folder, "exp", "one", config_files=CONFIG_FILES)


def metrics(content: bytes, folder: Path) -> None:
    """Goes on in the file, and reads it for the picture."""
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
    """Notes another start in it."""
    (folder / name).write_bytes(content)
    record_start(folder)


def checkpoint(content: bytes, folder: Path) -> None:
    """Takes its weights."""
    (folder / "best.ckpt").write_bytes(content)
    module = fdl.build(baseline().module)(labels=Labels(("0", "00", "01")), class_counts=[1, 1, 1], seed=0)
    load_best_weights(module, folder / "best.ckpt")


def last_checkpoint(content: bytes, folder: Path) -> str:
    """Goes on from it, or from a good one before it; from none when both are like it."""
    run = open_run(folder, "exp", "one", config_files=CONFIG_FILES)
    last, previous = run.last_checkpoints
    last.parent.mkdir()
    last.write_bytes(content)
    previous.write_bytes(GOOD_LAST)
    if usable_checkpoint(run) == last:
        return "read"
    previous.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.ckpt and previous\.ckpt of the run .* are damaged; remove them"):
        usable_checkpoint(run)
    return "refused, and the one before it is taken"


def onnx(content: bytes, folder: Path) -> None:
    """Loads it."""
    (folder / "model.onnx").write_bytes(content)
    OnnxModel(folder / "model.onnx")


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
    "models": onnx,
}
"""What reads an input in an empty folder, and says what became of it if that is not plain."""
