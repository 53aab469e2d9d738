"""A flag whose text alone is wrong is an error before torch is imported, which takes ten seconds."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.registered import EXPERIMENTS, FIDDLERS
from helpers.repository import REPOSITORY

from jersey.cli.flag_texts import check_flags
from jersey.core.errors import UserError

PROBE = """
import runpy, sys
sys.argv[0] = "launch.py"
try:
    runpy.run_path("launch.py", run_name="__main__")
finally:
    assert not {"torch", "lightning", "experiments"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "--exp is missing; use one of quickstart, "),
        (("--exp=quickstar",), "unknown experiment 'quickstar'; did you mean quickstart?"),
        (("--exp=quickstart", "--config=here"), "--exp and --config both select a config"),
        (
            ("--config=/no/such/run",),
            "cannot read /no/such/run (No such file or directory); name the folder of ",
        ),
        (("--config=docs",), "the folder docs contains no config.json"),
        (("--exp=quickstart", "--fiddler=smok"), "unknown fiddler 'smok'; did you mean smoke?"),
        (("--exp=quickstart", "--fiddler=smoke("), "smoke( is not a fiddler; write name or name(argument=value)"),
        (("--exp=quickstart", "--fdl_set=lr"), "lr is not an override; write path=value"),
        (
            ("--exp=quickstart", "--diff=quickstar"),
            "unknown experiment 'quickstar'; did you mean quickstart?; and ",
        ),
        (("--exp=quickstart", "--sweep=lr"), "--sweep='lr' is not an axis"),
        (("--exp=quickstart", "--sweep=lr=1,,2"), "--sweep='lr=1,,2' has an empty value"),
        (("--exp=quickstart", "--run=../else"), "--run=../else is not a plain folder name"),
        (("--exp=quickstart", "lr=1"), "'lr=1' is not a flag"),
    ],
)
def test_the_error_precedes_the_import_of_torch(flags: tuple[str, ...], sentence: str) -> None:
    command = [sys.executable, "-c", PROBE, *flags]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"error: {sentence}")


def checked(**flags: object) -> None:
    """Checks flags as `launch.py` passes them."""
    given: dict = dict.fromkeys(["exp", "saved", "other", "run_name"])
    given |= {name: [] for name in ("fiddlers", "overrides", "axes", "dimensions")}
    check_flags([], ["jersey.recipes", "experiments"], **{**given, **flags})


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_registered_names_are_accepted(exp: str) -> None:
    checked(exp=exp, fiddlers=FIDDLERS, other=exp)


def test_a_folder_of_a_run_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    checked(saved=str(tmp_path), other=str(tmp_path), run_name="first", axes=["lr=1e-4,3e-4"], overrides=["lr=1"])
    with pytest.raises(UserError, match="unknown fiddler"):
        checked(saved=str(tmp_path), fiddlers=["nothing"])
