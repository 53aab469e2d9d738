"""`--list` parses the source code; it must list what importing the code registers."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.registered import EXPERIMENTS, FIDDLERS
from helpers.repository import REPOSITORY

from jersey import config as configs
from jersey.cli.listing import listing

FOLDER = REPOSITORY / "experiments"


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
    assert rows(listing(FOLDER), kind) == {name: (inspect.getdoc(get(name)) or "").partition("\n")[0] for name in names}


def test_missing_docstrings_and_decorators_and_arguments_of_a_fiddler(tmp_path: Path) -> None:
    source = "@fiddler\ndef b(config, power, size=(1, 2)): pass\n\n@experiment\ndef a(): pass\n\ndef helper(): pass\n"
    (tmp_path / "some.py").write_text(source)
    assert listing(tmp_path) == "experiments\n  a\n\nfiddlers\n  b(power, size=(1, 2))\n"


def test_the_list_imports_neither_torch_nor_fiddle() -> None:
    probe = """
import runpy, sys
sys.argv = ["launch.py", "--list"]
try:
    runpy.run_path("launch.py", run_name="__main__")
except SystemExit as end:
    assert not end.code
assert not {"torch", "lightning", "fiddle", "numpy", "experiments.common"} & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", probe], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "resnet18_baseline" in result.stdout
