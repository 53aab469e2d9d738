"""Feeds damaged input to every reader of jersey: each kind of the table of damaged inputs, then random ones.

    PYTHONPATH=tests python -m robustness.fuzz --seconds=60 [--target=image]

Prints the outcome of each kind, one line per target (tried, refused, read, defects), and a last line of JSON. The exit
code is 1 after a defect, and its smallest example is printed. Random inputs are valid or damaged ones with bytes
overwritten, removed, inserted or repeated, and combinations of tokens that have a meaning for some reader.
"""

import argparse
import copy
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st
from robustness.damaged import GOOD, SAVED, TABLE
from robustness.dirty_files import CONTENTS
from robustness.image_readers import GOOD_ROWS, MODEL, RENDERED
from robustness.label_readers import LAYOUTS, good
from robustness.readers import CONFIGS, EXPERIMENTS, outcome

from jersey import config as configs
from jersey.config.paths import parameters
from jersey.core.labels import Labels
from jersey.core.tables import format_table

BATCH = 20  # examples between two checks of the clock
SEED_BYTES = 10_000  # largest input that is mutated further

# Tokens that have a meaning for some reader.
_NUMBERS = ["0", "00", "-1", "1e999", "nan", "NaN", "Infinity", "٣", "0x10", "1_0", "1+2j"]
_CODE = ["None", "True", "()", "[", "(" * 300, "{'a': ", "'", '"', "\\", "__import__('os')", "lambda: 0", "b'x'"]
_SIGNS = ["=", ",", "\n", "\r\n", "\0", "\x1b[2J", "\u2028", "\u202e", "\ud800", "\ufeff", "é", "*", "**", "..."]
_NAMES = ["../..", "/", "$(id)", "<script>", "9" * 400, "9" * 5000, "f'{x}'"]
TEXTS = st.lists(st.sampled_from([*_NUMBERS, *_CODE, *_SIGNS, *_NAMES]) | st.text(max_size=8), max_size=5).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
DEEP = st.builds(lambda opening, depth: opening * depth, st.sampled_from(["[", '{"a":']), st.sampled_from([900, 10**5]))
_LENGTHS = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\x1b\x58", b"\x58\x1b\0\0"]
_BYTES = [*_LENGTHS, b"\xff\xd8", b"\0\0\x40\0", b"\0\x40\0\0", b"PK\x03\x04", b"%!PS", b"\x80\x04"]
MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "insert", "cut", "repeat", "end"]),
        st.integers(0, 64) | st.integers(0, 2000),  # most damage is done to headers, which come first
        st.sampled_from(_BYTES) | st.binary(max_size=6),
    ),
    max_size=6,
)


def mutated(content: bytes, mutations: list[tuple[str, int, bytes]]) -> bytes:
    """Applies the mutations to the content, in order."""
    for kind, place, some in mutations:
        at = place % (len(content) + 1)
        before, after = content[:at], content[at:]
        content = {
            "write": before + some + after[len(some) :],
            "insert": before + some + after,
            "cut": before + after[len(some) :],
            "repeat": before + after[:16] * 2 + after[16:],
            "end": before,
        }[kind]
    return content


def damaged(contents: list[bytes]) -> st.SearchStrategy[bytes]:
    """Generates mutations of one of the contents."""
    return st.builds(mutated, st.sampled_from([each for each in contents if len(each) <= SEED_BYTES]), MUTATIONS)


def seeds(reader: str) -> st.SearchStrategy[bytes]:
    """Generates mutations of valid and damaged inputs of a reader."""
    return damaged([GOOD[reader]]) | damaged([kind.content for kind in TABLE if kind.reader == reader])


def lossy(text: str) -> bytes:
    """Encodes a text, including lone surrogates, which UTF-8 excludes."""
    return text.encode("utf-8", errors="surrogatepass")


def as_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: lossy(json.dumps(value, ensure_ascii=False)))


@st.composite
def rearranged(draw: st.DrawFn, texts: st.SearchStrategy[str | bytes]) -> bytes:
    """Generates JSON documents in which parts are replaced by other parts or by arbitrary JSON."""
    document = json.loads(draw(texts))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        (container, key), (other, other_key) = (places[draw(st.integers(0, len(places) - 1))] for _ in range(2))
        container[key] = draw(st.just(copy.deepcopy(other[other_key])) | JSON)
    return lossy(json.dumps(document, ensure_ascii=False))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, child in pairs for found in [(tree, key), *_places(child)]]


def _with_valid_hash(names: list[str]) -> dict[str, Any]:
    """Returns a label map with a matching hash, which an attacker can compute too."""
    forged = object.__new__(Labels)
    object.__setattr__(forged, "names", tuple(names))
    try:
        return json.loads(forged.to_json())
    except UnicodeEncodeError:
        return {"labels": names}


_PATHS = sorted({each.path for config in CONFIGS.values() for each in parameters(config)[1:]})
_PARTS = st.sampled_from(_PATHS) | st.sampled_from(_PATHS).map(lambda path: path.rpartition(".")[2]) | TEXTS
_PLAIN = st.sampled_from(["0", "1", "0.5", "100", "True", "None", "0,00", "(32, 32)", "max", "stretch", "val/acc_top1"])
_VALUES = _PLAIN | st.integers().map(str) | st.floats().map(str) | TEXTS | JSON.map(repr) | DEEP
_CALLS = st.tuples(st.sampled_from(configs.fiddler_names()) | TEXTS, TEXTS).map(lambda pair: f"{pair[0]}({pair[1]})")
_IMAGES = st.sampled_from(["a.png", "./b.png", "../x/a.png"]) | TEXTS | JSON
_ROW = as_json(st.fixed_dictionaries({"image": _IMAGES, "suffix": st.just("0") | TEXTS | JSON}))
_ROWS = st.lists(_ROW | TEXTS.map(lossy) | DEEP.map(str.encode), max_size=3).map(b"\n".join)
_MAP = {"labels": st.lists(TEXTS | JSON, max_size=4) | JSON, "class_to_idx": JSON, "sha256": TEXTS | JSON}
_MAPS = st.fixed_dictionaries(_MAP) | st.lists(TEXTS, max_size=4).map(_with_valid_hash)
_STATUSES = st.fixed_dictionaries(
    {"stage": st.sampled_from(["fit", "test", "finished"]) | JSON},
    optional={"epochs": st.integers() | JSON, "best_epoch": st.integers() | JSON},
)
_CELLS = st.sampled_from(["", "0", "1", "0.5", "nan", "inf", "1e3", '"', '"0\n"']) | TEXTS
_TABLE = st.lists(st.lists(_CELLS, max_size=5).map(",".join), max_size=5).map("\n".join)
_HEADS = st.sampled_from(["epoch,step,val/loss\n", "epoch,step,test/loss,val/loss,val/loss\n", "epoch,step,,epoch\n"])
_ANY = as_json(JSON) | DEEP.map(str.encode)
_KEYS = ["labels_mapping", "labels_sha256", "calibration", "thresholds", "vocabulary", "format_version", "network"]
UNSIGNED = MODEL[: MODEL.rindex(b"sha256") - 4]  # without the checksum


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


_VALUES_OF_KEYS = (_ANY | TEXTS.map(lossy)).map(_text)


def label_files(layout: str) -> st.SearchStrategy[bytes]:
    """Generates label files of a layout with damaged bytes, rearranged parts, or cells with a meaning."""
    content = good(layout)
    tokens = TEXTS.map(lossy)
    cells = st.builds(lambda token, at: replaced_token(content, token, at), tokens, st.integers(0, 500))
    is_json = content[:1] in b"[{" and b"\n" not in content
    return damaged([content]) | cells | (rearranged(st.just(content)) if is_json else tokens.map(content.__add__))


def replaced_token(content: bytes, token: bytes, at: int) -> bytes:
    """Replaces one word of the content, which may be a cell, a key or a number."""
    words = list(re.finditer(rb"[^\s,:;{}\[\]]+", content))
    word = words[at % len(words)]
    return content[: word.start()] + token + content[word.end() :]


TARGETS: dict[str, st.SearchStrategy[Any]] = {
    "overrides": st.tuples(st.sampled_from(EXPERIMENTS), st.tuples(_PARTS, _VALUES).map("=".join) | TEXTS),
    "fiddlers": st.tuples(st.sampled_from(EXPERIMENTS), _CALLS | TEXTS),
    "saved configs": rearranged(st.sampled_from(EXPERIMENTS).map(SAVED.__getitem__)) | _ANY,
    "annotations": _ROWS.map(GOOD_ROWS.__add__) | seeds("annotations") | st.binary(),
    "label maps": as_json(_MAPS) | _ANY | seeds("label maps"),
    "status files": as_json(_STATUSES) | _ANY | seeds("status files"),
    "metrics": st.builds(lambda head, table: lossy(head + table), _HEADS, _TABLE) | seeds("metrics"),
    "last checkpoints": seeds("last checkpoints"),
    "models": seeds("models"),
    "signed models": damaged([UNSIGNED]),
    "model metadata": st.dictionaries(
        st.sampled_from(_KEYS), (_ANY | TEXTS.map(lossy)).map(_text), min_size=1, max_size=3
    ),
    "weights": seeds("weights"),
    "safetensors": seeds("safetensors"),
    **{layout: st.tuples(st.just(layout), label_files(layout)) for layout in LAYOUTS},
    "image": damaged([encode(RENDERED) for _, expected, encode in CONTENTS.values() if expected.startswith("read")]),
}


def fuzz(name: str, seconds: float, seed: int) -> dict[str, int]:
    """Fuzzes one target until the time is over or a defect is found, and prints its line."""
    counts: Counter[str] = Counter()
    end, defects = time.monotonic() + seconds, 0
    while time.monotonic() < end and not defects:
        try:
            _batch(name, counts, seed)()
        except Exception as error:
            defects += 1
            print("\n  ".join([f"{name}: {type(error).__name__}: {error}", *getattr(error, "__notes__", [])]))
        seed += 1
    found = {"tried": counts.total(), "refused": counts["refused"], "read": counts["read"], "defects": defects}
    print(f"{name:<16}", *(f"{what} {count:>7,} " for what, count in found.items()), flush=True)
    return found


def _batch(name: str, counts: Counter[str], seed: int) -> Callable[[], None]:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(TARGETS[name])
    def batch(example: Any) -> None:
        counts[re.split(r"\W", outcome(name, example))[0]] += 1

    return batch


def main() -> int:
    """Runs the table and the targets, prints the outcomes, and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m robustness.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="time for all targets together, such as 600 (default: %(default)s)"
    )
    parser.add_argument("--target", choices=TARGETS, help="fuzz only this target, such as image, without the table")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the random inputs, such as 1 (default: %(default)s)"
    )
    flags = parser.parse_args()
    rows = [] if flags.target else [(kind, outcome(kind.reader, kind.content)) for kind in TABLE]
    print("\n".join(format_table([[kind.reader, kind.name[:40], found[:120]] for kind, found in rows])))
    unexpected = [kind.name for kind, found in rows if not re.match(kind.expected, found)]
    names = [flags.target] if flags.target else list(TARGETS)
    results = {name: fuzz(name, flags.seconds / len(names), flags.seed) for name in names}
    summary = {"seconds": flags.seconds, "seed": flags.seed, "kinds": len(rows), "unexpected": unexpected}
    print(json.dumps({**summary, "targets": results}))
    return 1 if unexpected or any(each["defects"] for each in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
