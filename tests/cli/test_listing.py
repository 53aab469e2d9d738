"""`--list` parses the source code; it must list what importing the code registers."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.registered import EXPERIMENTS, FIDDLERS, MODULES
from helpers.repository import REPOSITORY

from jersey import config as configs
from jersey.cli.listing import listing
from jersey.config.registry import parts_for


def rows(text: str, kind: str) -> dict[str, str]:
    """Returns the summaries by name, from the table of `kind`."""
    part = text.partition(f"{kind}s\n")[2].partition("\n\n")[0]
    cells = [line.split("  ", maxsplit=2) for line in part.splitlines()]
    return {name.partition("(")[0]: summary.strip() for _, name, summary in cells}


@pytest.mark.parametrize(
    ("kind", "names", "get"),
    [("experiment", EXPERIMENTS, configs.get_experiment), ("fiddler", FIDDLERS, configs.get_fiddler)],
)
def test_the_list_agrees_with_the_registries(kind: str, names, get) -> None:  # type: ignore[no-untyped-def]
    assert names
    assert rows(listing(MODULES), kind) == {
        name: (inspect.getdoc(get(name)) or "").partition("\n")[0] for name in names
    }


def test_the_list_has_every_part_with_its_summary() -> None:
    tables = dict(re.findall(r"^parts for (\w+)\n((?:  .+\n)+)", listing(MODULES), flags=re.MULTILINE))
    assert {"head", "loss", "optimizer", "schedule"} <= set(tables)
    for place, table in tables.items():
        parts = parts_for(place)
        assert parts is not None
        ours = {name: parts.get(name) for name in parts.names() if parts.get(name).__module__.startswith("jersey.")}
        expected = {name: (inspect.getdoc(each) or "").partition("\n")[0] for name, each in ours.items()}
        assert dict(line.strip().split(maxsplit=1) for line in table.splitlines()) == expected


def test_parts_of_other_packages_are_listed_however_they_are_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "import collections\nfrom json import JSONDecoder, dumps\n@part('head')\ndef a():\n  'First.'\n"
        "part('head', 'b')(dumps)\npart('loss')(collections.Counter)\npart('loss')(JSONDecoder)\n"
    )
    (tmp_path / "some_parts.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    heads, losses = listing(["some_parts"]).split("\n\n")[2:]
    assert heads.startswith("parts for head\n  a  First.\n  b  Serialize")
    assert losses == "parts for loss\n  Counter\n  JSONDecoder\n"


def test_missing_docstrings_and_decorators_and_arguments_of_a_fiddler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "@fiddler\ndef b(config, power, size=(1, 2)): pass\n\n@experiment\ndef a(): pass\n\ndef helper(): pass\n"
    (tmp_path / "some_listed.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert listing(["some_listed"]) == "experiments\n  a\n\nfiddlers\n  b(power, size=(1, 2))\n"


def test_the_list_imports_neither_torch_nor_fiddle() -> None:
    probe = """
import runpy, sys
sys.argv = ["launch.py", "--list"]
try:
    runpy.run_path("launch.py", run_name="__main__")
except SystemExit as end:
    assert not end.code
imported = {name.partition(".")[0] for name in sys.modules} | {name for name in sys.modules if "recipes." in name}
assert not {"torch", "lightning", "fiddle", "numpy", "experiments", "jersey.recipes.common"} & imported
"""
    result = subprocess.run([sys.executable, "-c", probe], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "resnet18_baseline" in result.stdout
