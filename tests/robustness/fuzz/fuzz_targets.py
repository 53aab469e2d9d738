"""What is fuzzed: for each kind of input, how examples are made, and what becomes of one.

An example is accepted or refused with a UserError of one line. Anything else is a defect: another exception, more than
CPU_S of arithmetic, more than MEMORY_BYTES at once, a file written outside the example's own folder, a program started.
"""

import copy
import json
import resource
import shutil
import signal
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from helpers.registered import EXPERIMENTS
from helpers.watched import watched
from hypothesis import strategies as st
from robustness.fuzz import fuzz_images

from jersey import config as configs
from jersey.config.paths import parameters
from jersey.config.saved import from_json
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.data.decode import decode_content, read_meta
from jersey.data.index import read_splits
from jersey.data.split import label_map
from jersey.lint.checks import PACKAGES, check, load
from jersey.runs.folder import open_run
from jersey.runs.metrics_csv import MetricsCsv, read_metrics

CPU_S, MEMORY_BYTES = 20, 2**30

CONFIGS = {name: configs.get_experiment(name)() for name in EXPERIMENTS}
SAVED = {name: json.loads(configs.to_json(config, name)) for name, config in CONFIGS.items()}
PATHS = sorted({each.path for config in CONFIGS.values() for each in parameters(config)[1:]})

# Pieces that mean something to some reader.
_NUMBERS = ["0", "00", "-1", "1e999", "nan", "NaN", "Infinity", "٣", "0x10", "1_0", "1+2j"]
_CODE = [
    "None",
    "True",
    "()",
    "[",
    "(" * 300,
    "{'a': ",
    "'",
    '"',
    "\\",
    "__import__('os')",
    "lambda: 0",
    "b'x'",
    "f'{x}'",
]
_SIGNS = ["=", ",", "\n", "\r\n", "\0", "\x1b[2J", "\u2028", "\u202e", "\ud800", "\ufeff", "é", "*", "**", "..."]
_NAMES = ["../..", "/", "$(id)", "<script>", "9" * 400, "9" * 5000]
WORDS = st.sampled_from([*_NUMBERS, *_CODE, *_SIGNS, *_NAMES])
TEXTS = st.lists(WORDS | st.text(max_size=8), max_size=5).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
DEEP = st.builds(lambda opening, depth: opening * depth, st.sampled_from(["[", '{"a":']), st.sampled_from([900, 10**5]))


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Args:
        examples: makes them.
        attempt: reads one, in an empty folder of its own.
    """

    examples: st.SearchStrategy[Any]
    attempt: Callable[[Any, Path], None]


def outcome(target: Target, example: Any, folder: Path) -> str:
    """Whether it was "accepted" or "refused"; raises for a defect."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = "accepted"
    with _limited_time(), watched(folder) as deeds:
        try:
            target.attempt(example, folder)
        except UserError as error:
            result, sentence = "refused", str(error)
            assert not set("\n\r\x1b") & set(sentence), f"more than a line: {sentence!r}"
    grown_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib)
    assert grown_bytes < MEMORY_BYTES, f"{grown_bytes / 2**20:.0f} MiB of memory"
    assert deeds == [], deeds
    return result


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


def damaged(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes with some overwritten, cut out, put in or put twice."""
    return st.builds(fuzz_images.mutated, content, fuzz_images.MUTATIONS)


def lossy(text: str) -> bytes:
    """As bytes, also where no UTF-8 can say it."""
    return text.encode("utf-8", errors="surrogatepass")


# --fdl_set


def override(example: tuple[str, str], folder: Path) -> None:
    """Sets it, and does all that comes before a run is built."""
    name, text = example
    config = copy.deepcopy(CONFIGS[name])
    configs.apply_override(config, text)
    configs.as_text(config)
    configs.flatten(config)
    assert from_json(configs.to_json(config, name), PACKAGES) == config
    check(config)


_PLACES = st.sampled_from(PATHS) | st.sampled_from(PATHS).map(lambda path: path.rpartition(".")[2]) | TEXTS
_PLAIN = st.sampled_from(["0", "1", "0.5", "100", "True", "None", "0,00", "(32, 32)", "max", "stretch", "val/acc_top1"])
_VALUES = _PLAIN | st.integers().map(str) | st.floats().map(str) | TEXTS | JSON.map(repr) | DEEP
OVERRIDES = st.tuples(st.sampled_from(EXPERIMENTS), st.tuples(_PLACES, _VALUES).map("=".join) | TEXTS)


def fiddler(example: tuple[str, str], folder: Path) -> None:
    """Calls it."""
    config = copy.deepcopy(CONFIGS[example[0]])
    configs.apply_fiddler(config, example[1])
    check(config)


_CALLS = st.tuples(st.sampled_from(configs.fiddler_names()) | TEXTS, TEXTS).map(lambda pair: f"{pair[0]}({pair[1]})")
FIDDLERS = st.tuples(st.sampled_from(EXPERIMENTS), _CALLS | TEXTS)


# --config


def saved_config(content: bytes, folder: Path) -> None:
    """Loads it, and does all that comes before a run is built."""
    (folder / "config.json").write_bytes(content)
    name, config = load(folder)
    configs.as_text(config)
    configs.as_python(config, name)
    check(config)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, child in pairs for found in [(tree, key), *_places(child)]]


@st.composite
def saved_configs(draw: st.DrawFn) -> bytes:
    """The config of an experiment, with parts exchanged for others of it, or for anything."""
    document = copy.deepcopy(SAVED[draw(st.sampled_from(EXPERIMENTS))])
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        container, key = places[draw(st.integers(0, len(places) - 1))]
        other, other_key = places[draw(st.integers(0, len(places) - 1))]
        container[key] = draw(st.just(copy.deepcopy(other[other_key])) | JSON)
    return lossy(json.dumps(document, ensure_ascii=False))


# Annotation files


def annotations(example: tuple[bytes, bytes], folder: Path) -> None:
    """Reads them as the audit does, which goes on, and as a run does, which does not."""
    for split, content in zip(("train", "val", "test"), (*example, example[0]), strict=True):
        (folder / split).mkdir()
        for name in ("a.png", "b.png"):
            (folder / split / name).write_bytes(b"")
        (folder / split / "rows.jsonl").write_bytes(content)
    problems: list[UserError] = []
    read_splits(folder, problems.append)
    label_map(read_splits(folder))


_GOOD = b'{"image": "a.png", "suffix": "0"}\n{"image": "b.png", "suffix": "00"}\n'
_ROWS = st.fixed_dictionaries(
    {"image": st.sampled_from(["a.png", "./b.png", "../x/a.png"]) | TEXTS | JSON, "suffix": st.just("0") | TEXTS | JSON}
)
_LINES = _ROWS.map(lambda row: lossy(json.dumps(row, ensure_ascii=False))) | TEXTS.map(lossy) | DEEP.map(str.encode)
_FILES = (
    st.lists(_LINES, max_size=3).map(lambda lines: _GOOD + b"\n".join(lines)) | damaged(st.just(_GOOD)) | st.binary()
)
ANNOTATIONS = st.tuples(_FILES, st.just(_GOOD) | _FILES)


# Label maps, status files, metrics


def labels(content: bytes, folder: Path) -> None:
    """Loads the map; what it takes comes back the same."""
    (folder / "labels_mapping.json").write_bytes(content)
    found = Labels.load(folder / "labels_mapping.json")
    found.save(folder / "again.json")
    assert Labels.load(folder / "again.json") == found


_MAP = Labels(("0", "00", "23")).to_json().encode()
_MAPS = st.fixed_dictionaries(
    {"labels": st.lists(TEXTS | JSON, max_size=4) | JSON, "class_to_idx": JSON, "sha256": TEXTS | JSON}
)
_TRUE_MAPS = st.lists(TEXTS, max_size=4).map(lambda names: _honest(names))


def _honest(names: list[str]) -> dict[str, Any]:
    """A map whose hash fits, as somebody can compute it who wants to."""
    forged = object.__new__(Labels)
    object.__setattr__(forged, "names", tuple(names))
    try:
        return json.loads(forged.to_json())
    except UnicodeEncodeError:
        return {"labels": names}


def as_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: lossy(json.dumps(value, ensure_ascii=False)))


LABEL_MAPS = as_json(_MAPS | _TRUE_MAPS | JSON) | damaged(st.just(_MAP)) | DEEP.map(str.encode)


def status(content: bytes, folder: Path) -> None:
    """Opens the run that it belongs to."""
    documents = {"config.txt": "lr = 1\n"}
    path = open_run(folder, "exp", "one", documents=documents).path
    (path / "status.json").write_bytes(content)
    for name in ("one", None):
        open_run(folder, "exp", name, documents=documents).reached("finished", best_epoch=0)


_STATUS = st.fixed_dictionaries(
    {"stage": st.sampled_from(["fit", "test", "finished"]) | JSON},
    optional={"epochs": st.integers() | JSON, "best_epoch": st.integers() | JSON},
)
STATUSES = as_json(_STATUS | JSON) | damaged(st.just(b'{"stage": "test", "epochs": 3}')) | DEEP.map(str.encode)


def metrics(content: bytes, folder: Path) -> None:
    """Goes on in the file, and reads it for the picture."""
    file = folder / "metrics.csv"
    file.write_bytes(content)
    logger = MetricsCsv(run_dir=folder)
    read_metrics(file)
    logger.log_metrics({"val/loss": 0.5, "epoch": 1}, step=10)
    logger.log_metrics({"test/loss": 0.5, "epoch": 1}, step=10)
    curves, test = read_metrics(file)
    assert (1, 0.5) in curves["val/loss"]
    assert test["test/loss"] == 0.5
    MetricsCsv(run_dir=folder)


_CELLS = st.sampled_from(["", "0", "1", "0.5", "nan", "inf", "1e3", '"', '"0\n"']) | TEXTS
_TABLE = st.lists(st.lists(_CELLS, max_size=5).map(",".join), max_size=5).map("\n".join)
_HEADS = st.sampled_from(
    ["epoch,step,val/loss\n", "epoch,step,test/loss,val/loss,val/loss\n", "epoch,step,,epoch\n", ""]
)
_CSV = b"epoch,step,test/loss,val/loss\n0,9,,1.5\n1,19,,0.5\n1,19,0.25,\n"
METRICS = st.builds(lambda head, table: lossy(head + table), _HEADS, _TABLE) | damaged(st.just(_CSV))


# Image files


def image(content: bytes, folder: Path) -> None:
    """Decodes it, and looks at its header alone."""
    path = folder / "a.png"
    pixels_HW3 = decode_content(content, path)
    assert pixels_HW3.dtype == np.uint8
    assert pixels_HW3.ndim == 3
    assert pixels_HW3.shape[2] == 3
    assert pixels_HW3.size > 0
    meta = read_meta(content, path)
    assert sorted((meta["width_px"], meta["height_px"])) == sorted(pixels_HW3.shape[:2])


TARGETS = {
    "overrides": Target(OVERRIDES, override),
    "fiddlers": Target(FIDDLERS, fiddler),
    "saved configs": Target(saved_configs() | as_json(JSON) | DEEP.map(str.encode), saved_config),
    "annotations": Target(ANNOTATIONS, annotations),
    "label maps": Target(LABEL_MAPS, labels),
    "status files": Target(STATUSES, status),
    "metrics": Target(METRICS, metrics),
    "images": Target(damaged(st.sampled_from(list(fuzz_images.files().values()))), image),
}
