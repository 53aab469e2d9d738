"""The table of damaged inputs: each kind, how it is created, and its expected outcome.

`test_damaged.py` tests every kind, and `fuzz.py` mutates them further. The expected outcome is a regular expression for
the beginning of what `readers.outcome` returns.
"""

import functools
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from helpers.payload import ARRAYS, CHECKPOINTS
from robustness.dirty_files import CONTENTS, PLACES
from robustness.image_readers import GOOD_ROWS, MODEL, RENDERED
from robustness.label_readers import LAYOUTS, good
from robustness.readers import CONFIGS, GOOD_LAST, torch_file

from jersey import config as configs
from jersey.core.labels import Labels
from jersey.runs.checkpoints import CHECKPOINT_FORMAT

DEEP = b"[" * 100_000
SAVED = {name: configs.to_json(config, name) for name, config in CONFIGS.items()}
MARK = 987654321  # stands for a value that is replaced in the text of a config


class Kind(NamedTuple):
    """One kind of input.

    Attributes:
        reader: key of `READERS`.
        name: description of the damage.
        content: input of the reader.
        expected: regular expression of the outcome.
    """

    reader: str
    name: str
    content: Any
    expected: str


def kinds(reader: str, expected: str, contents: Mapping[str, Any] | Sequence[Any]) -> list[Kind]:
    """Returns kinds of one reader with the same outcome; the kinds of a list are named by their contents."""
    named = contents if isinstance(contents, Mapping) else {repr(each)[:60]: each for each in contents}
    return [Kind(reader, name, content, expected) for name, content in named.items()]


# Images and data sets


def _write(path: Path, encode: Callable[[Any], bytes]) -> None:
    path.write_bytes(encode(RENDERED.copy()))


IMAGES = [
    *(
        Kind("image file", name, (file, partial(_write, encode=encode)), expected)
        for name, (file, expected, encode) in CONTENTS.items()
    ),
    *(Kind("image file", name, (file, make), expected) for name, (file, expected, make) in PLACES.items()),
]


def _stray_image(root: Path, name: str) -> None:
    RENDERED.save(root / "train" / name)


def _image(root: Path, name: str) -> None:
    RENDERED.save(root / "train" / "23" / name)


def _class_folder(root: Path, name: str) -> None:
    (root / "train" / name).mkdir()
    RENDERED.save(root / "train" / name / "a.png")


def _annotated_image(root: Path, name: str) -> None:
    (root / "train" / "rows.jsonl").write_bytes(_row(name))


def _annotated_label(root: Path, name: str) -> None:
    (root / "train" / "rows.jsonl").write_bytes(_row("23/clean.png", name))


def _row(image: str, label: str = "0") -> bytes:
    return json.dumps({"image": image, "suffix": label}).encode() + b"\n"


# File names that would set a terminal's title, clear it, or print a line of their own.
DECEPTIVE_NAMES = ("a\x1b]0;owned\x07\x1b[2J.png", "a\nerror: all is well.png", "a\r.png", "a\x9b2J.png")
PLACES_OF_NAMES = (_stray_image, _image, _class_folder, _annotated_image, _annotated_label)
OUTSIDE = ("../../../etc/passwd", "/etc/passwd", "0/../../../x.png", "..", "\0", "a\0.png")
DATA_SETS = [
    *kinds(
        "data set",
        "refused: ",
        {f"{put.__name__} {name!r}": partial(put, name=name) for put in PLACES_OF_NAMES for name in DECEPTIVE_NAMES},
    ),
    *kinds("data set", "refused: ", {f"annotated {name!r}": partial(_annotated_image, name=name) for name in OUTSIDE}),
    *kinds("annotations", "refused: ", [GOOD_ROWS + _row(name) for name in OUTSIDE]),
    *kinds("annotations", "refused: .*outside the data folder", {"outside": GOOD_ROWS + _row("../../outside.png")}),
    *kinds("annotations", "refused: ", [b"\xff", DEEP, GOOD_ROWS + b"{", b"[]", GOOD_ROWS + _row("a.png", "00")]),
]


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("arr_0.npy", content)
    return buffer.getvalue()


def _unpacking(content: bytes) -> bytes:
    """Returns a file of torch, compressed, in which each entry is followed by 50 MB of zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as found, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in found.infolist():
            archive.writestr(entry.filename, found.read(entry) + bytes(50_000_000), compresslevel=1)
    return buffer.getvalue()


def _headed(header: str) -> bytes:
    """Returns a numpy file with a custom header and no content."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


DECODED = {
    **ARRAYS,
    "a zip file": _zipped(ARRAYS["an array of objects"]),
    "the beginning of a zip file": b"PK\x03\x04" + bytes(100),
    "a header without end": _headed("{'descr': '|u1', 'shape': ("),
    "a header with a call": _headed("__import__('os').system('id')"),
    "a header of another language": _headed("  \tif {\n 'descr"),
    "a promise of much": _headed(str({"descr": "|u1", "fortran_order": False, "shape": (10**15,)})),
    "other numbers": _headed(str({"descr": "<f8", "fortran_order": False, "shape": (0,)})),
}

# Configs


def with_value(path: str, value: str) -> str:
    """Returns the saved quick start with another value of one argument, given as JSON."""
    config = configs.get_experiment("quickstart")()
    *parts, leaf = path.split(".")
    setattr(functools.reduce(getattr, parts, config), leaf, MARK)
    before, after = configs.to_json(config, "quickstart").split(str(MARK))
    return before + value + after


def optimizer_named(module: str, name: str) -> str:
    """Returns the saved quick start with another optimizer."""

    def renamed(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("name") == "sgd":
                return {**node, "module": module, "name": name}
            return {key: renamed(child) for key, child in node.items()}
        return [renamed(child) for child in node] if isinstance(node, list) else node

    return json.dumps(renamed(json.loads(SAVED["quickstart"])))


REFERENCE = '"type": "ref", "key": "make_trainer_1", "x": 0,'
HOSTILE = {
    "os.system": optimizer_named("os", "system"),
    "posix.system": optimizer_named("posix", "system"),
    "__import__": optimizer_named("builtins", "__import__"),
    "eval": optimizer_named("builtins", "eval"),
    "a module of torch that holds os": optimizer_named("torch", "os"),
    "an attribute of an attribute": optimizer_named("torch.nn", "Module.__init__.__globals__"),
    "a module that is not there": optimizer_named("jersey.no_such_module", "run"),
    "brackets without end": "[" * 200_000,
    "objects without end": '{"root":' * 200_000,
    "a number of 100,000 digits": with_value("seed", "9" * 100_000),
    "a seed too large": with_value("seed", str(10**40)),
    "a seed that numpy refuses": with_value("seed", str(2**32)),
    "a text for a number": with_value("data.batch_size", '"$(id)"'),
    "a number for a sub-config": with_value("module.optimizer", "3"),
    "a sub-config for a number": with_value("data.batch_size", "0").replace(
        '"type": "leaf",\n      "value": 0,', REFERENCE, 1
    ),
    "another experiment's name": SAVED["quickstart"].replace(
        '"experiment": "quickstart"', '"experiment": "../../quickstart"'
    ),
}
CONFIG_KINDS = [
    *kinds("saved configs", "refused: ", {name: text.encode() for name, text in HOSTILE.items()}),
    *kinds("saved configs", "read$", {"another seed": with_value("seed", "7").encode()}),
    *kinds("overrides", "refused: ", [("quickstart", each) for each in ("seed=__import__('os')", "=", "seed=\x1b[2J")]),
    *kinds(
        "fiddlers",
        "refused: ",
        [
            ("quickstart", each)
            for each in ("__import__('os')", "cpu(", "cpu(\x1b[2J)", "9" * 5000, f"cpu({'a' * 5000}=1)")
        ],
    ),
]

# Run folders

STATUSES = [
    *(b"", b"\xff", DEEP, b"{", b"[]", b"3", b"null", b"{}"),
    *(b'{"stage": ["fit"]}', b'{"stage": {"fit": 1}}', b'{"stage": "\\u001b[31m"}'),
    *(b'{"stage": "test", "epochs": ' + value + b"}" for value in (b'"1"', b"true", b"-1", b"1e9")),
    *(b'{"stage": "finished", "best_epoch": ' + value + b"}" for value in (b"[1]", b"9" * 5000)),
]
LABEL_MAPS = [
    *(DEEP, b"\xff", b'{"labels": "00", "class_to_idx": {"0": 0}, "sha256": ""}'),
    *(
        b'{"labels": [' + labels + b'], "class_to_idx": {}, "sha256": ""}'
        for labels in (b"[]", b'"0", "\\u001b[2J"', b'"0", "\\ud800"')
    ),
    b'{"labels": {"0": 0}, "class_to_idx": {"0": 0}, "sha256": ""}',
    json.dumps({"labels": ["9" * 5000], "class_to_idx": {"9" * 5000: 0}, "sha256": ""}).encode(),
    json.dumps({"labels": ["0"] * 200_000, "class_to_idx": {}, "sha256": ""}).encode(),  # not in quadratic time
    json.dumps({"labels": [str(n) for n in range(100_000)] * 2, "class_to_idx": {}, "sha256": ""}).encode(),
]
METRICS = [
    *(b"\xff", b"\0", b"epoch,step,val/loss\n0,0,=cmd()\n", b"epoch,step,val/loss\n0,0,1,2,3\n"),
    *(b"epoch,step,val/loss\n,,1\n", b"epoch,step,val/loss\n1e3,0,1\n", b'epoch,step\n"0,0\n'),
    *(b"epoch,step\n" + b"9" * 5000 + b",0\n", b"epoch,step\n" + b'"' + b"1" * 200_000 + b'",0\n'),
]
WITH_LABELS = {"labels": ["0", "00", "01"]}
NO_CHECKPOINTS = {
    "nothing": {},
    "a list": [1, 2],
    "no labels": {"state_dict": {}, "epoch": 0, "jersey": {}},
    "a word for the epoch": {"state_dict": {}, "epoch": "x", "jersey": WITH_LABELS},
    "other weights": {"state_dict": {"a": torch.ones(1)}, "epoch": 0, "jersey": WITH_LABELS},
    "numbers for labels": {"state_dict": {}, "epoch": 0, "jersey": {"labels": [0, 1]}},
}
OF_LATER_VERSION = {
    "format": torch_file({"state_dict": {}, "epoch": 0, "jersey": {"format": CHECKPOINT_FORMAT + 1, **WITH_LABELS}})
}
ENTRY = b'{"conv1.weight": {"dtype": "F32", "shape": [%d], "data_offsets": [0, %d]}}'
SAFETENSORS = {
    "nothing": b"",
    "a length": b"\xff" * 8,
    "deep": (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "a huge shape": len(ENTRY % (2**60, 2**62)).to_bytes(8, "little") + ENTRY % (2**60, 2**62),
    "another shape": len(ENTRY % (3, 8)).to_bytes(8, "little") + ENTRY % (3, 8) + bytes(8),
    "another name": len(ENTRY % (2, 8)).to_bytes(8, "little") + ENTRY % (2, 8) + bytes(8),
}
BOMB = {"an archive of 50 MB in 0.2": _unpacking(torch_file({"a": torch.zeros(1)}))}
CUT = {f"the first {frac:.0%}": GOOD_LAST[: int(frac * len(GOOD_LAST))] for frac in (0, 0.5, 0.99)}
RUN_FOLDERS = [
    *kinds("status files", "refused: .*status.json", STATUSES),
    *kinds("status files of the last run", "refused: .*status.json", STATUSES),
    *kinds("config texts", "refused: .*config.txt", [b"\xff\x00"]),
    *kinds("config texts", "refused: .*another config", [b"lr = \x1b]0;owned\x07\n"]),
    *kinds("label maps", "refused: .*labels_mapping.json", LABEL_MAPS),
    *kinds("metrics", "refused: .*metrics.csv", METRICS),
    *kinds("records of starts", "refused: .*provenance.json", [DEEP, b"\xff", b"{}", b"3"]),
    *kinds("lists of packages", "read; warned: .*packages differ", {"no text": b"\xff\n"}),
    *kinds("checkpoints", r"refused: best\.ckpt cannot be used", CHECKPOINTS),
    *kinds("checkpoints", r"refused: best\.ckpt would unpack to", BOMB),
    *kinds("checkpoints", r"refused: best\.ckpt has the checkpoint format 2, .* or use another run", OF_LATER_VERSION),
    *kinds("checkpoints", "refused: ", {name: torch_file(content) for name, content in NO_CHECKPOINTS.items()}),
    *kinds("last checkpoints", "read$", {"whole": GOOD_LAST}),
    *kinds(
        "last checkpoints",
        r"refused, and previous.ckpt is used; warned: .*last\.ckpt is damaged",
        {**CUT, **CHECKPOINTS, **BOMB, "another program's": torch_file({"another": "program"})},
    ),
    *kinds("weights", r"refused: .*weights\.pth", CHECKPOINTS),
    *kinds("weights", r"refused: .*weights\.pth would unpack to", BOMB),
    *kinds("weights", r"refused: .*weights\.pth has the checkpoint format 2, .* or use another run", OF_LATER_VERSION),
    *kinds(
        "weights", r"refused: .*weights\.pth", {name: torch_file(content) for name, content in NO_CHECKPOINTS.items()}
    ),
    *kinds("safetensors", r"refused: .*weights\.safetensors", SAFETENSORS),
    *kinds("weights of models", r"refused: .*weights\.onnx", {"half": MODEL[: len(MODEL) // 2], "of no ResNet": MODEL}),
    *kinds("models", "refused: .*model.onnx", {"nothing": b"", "half of it": MODEL[: len(MODEL) // 2]}),
    *kinds("models", "refused: .*model.onnx", {"a byte changed": MODEL.replace(b"planted", b"plAnted"), "text": b"no"}),
]

TABLE = [
    *IMAGES,
    *DATA_SETS,
    *kinds("decoded crops", "rebuilt", DECODED),
    *kinds("decoded crops' files", "rebuilt", DECODED),
    *CONFIG_KINDS,
    *RUN_FOLDERS,
]
GOOD: dict[str, Any] = {
    "annotations": GOOD_ROWS,
    "label maps": Labels(("0", "00", "23")).to_json().encode(),
    "status files": b'{"stage": "test", "epochs": 3}',
    "metrics": b"epoch,step,test/loss,val/loss\n0,9,,1.5\n1,19,,0.5\n1,19,0.25,\n",
    "records of starts": b"[]",
    "last checkpoints": GOOD_LAST,
    "models": MODEL,
    "signed models": MODEL,
    "model metadata": {"note": "7"},
    "weights": torch_file({"state_dict": {"conv1.weight": torch.zeros(8)}}),
    "safetensors": len(ENTRY % (2, 8)).to_bytes(8, "little") + ENTRY % (2, 8) + bytes(8),
    **{layout: (layout, good(layout)) for layout in LAYOUTS},
}
"""Valid content by reader."""
