"""The package of docs/own-repository.md, installed beside the wheel of jersey: its commands, runs and tests."""

import os
import re
import shlex
from pathlib import Path

import pytest
from helpers.installed import built_wheel, environment_beside_ours, output_of
from helpers.launched import NO_PICTURES
from helpers.pages import OUTSIDE, PAGES, page_commands

FILES = dict(re.findall(r"`(\S+)`:\n\n```\w+\n(.*?)```", PAGES[OUTSIDE], flags=re.DOTALL))
SHORT = ("--fiddler=smoke", "--fiddler=cpu", "--fdl_set=data.size_px=(32,32)", "--fdl_set=profile=False", *NO_PICTURES)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Writes the files of the page."""
    for name, text in FILES.items():
        file = tmp_path / "myteam" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (tmp_path / "myteam" / "myteam" / "__init__.py").touch()
    return tmp_path / "myteam"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_package_is_installed_and_its_commands_run(package: Path, crops_root: Path, tmp_path: Path) -> None:
    install, show, run, replay, sweep, by_name, without_entry_point, on_gpus, test = page_commands(OUTSIDE)
    assert install.startswith("pip install ")
    bin_folder = environment_beside_ours(tmp_path / "environment", str(built_wheel(tmp_path / "wheel")), str(package))

    def shell(command: str, *more: str) -> str:
        words = [*shlex.split(command.replace("/my/crops", str(crops_root))), *more]
        program = [str(bin_folder / words[0])]
        if words[0] == "torchrun":  # its script is in the environment of the tests
            program = [str(bin_folder / "python"), "-m", "torch.distributed.run"]
        return output_of(*program, *words[1:], cwd=package, PATH=f"{bin_folder}:{os.environ['PATH']}")

    lines = [line.split() for line in shell(show).splitlines()]
    assert {"team_small", "quickstart", "patient(epochs=60)", "two_layers"} <= {words[0] for words in lines if words}
    assert "module.network.head = <Partial:myteam.exps.two_layers>" in shell(without_entry_point)
    assert "module.network.head.width = 32" in shell(by_name)
    code = "from importlib.util import find_spec; assert not find_spec('experiments')"
    output_of(str(bin_folder / "python"), "-c", code, cwd=package)
    shell(run, *SHORT)
    shell(replay)
    first, again = ((package / "runs" / "team_small" / name) for name in ("first", "again"))
    assert (first / "metrics.csv").read_text() == (again / "metrics.csv").read_text()
    assert shell(sweep.replace("32,64", "32"), *SHORT).startswith("width  runs ")
    assert (package / "runs" / "team_small" / "width=32" / "model.onnx").exists()
    # `tests/training/test_distributed.py` trains on several processes.
    assert shell(on_gpus.replace("=8", "=2"), "--print_config").count("module.network.head = <Partial:myteam.") == 2
    variable, *words = test.split()
    name, value = variable.split("=")
    assert "1 passed" in output_of(str(bin_folder / words[0]), *words[1:], cwd=package, **{name: value})
    assert "two_layers" in (package / "tests" / "golden" / "team_small.txt").read_text(encoding="utf-8")
