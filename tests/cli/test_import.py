"""`--import`: modules of other packages register experiments, and saved configs may then name their objects."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.pages import program
from test_launch import error_of

pytestmark = pytest.mark.slow

Launch = Callable[..., subprocess.CompletedProcess[str]]
MODULE = '''
import fiddle as fdl
from jersey.config import experiment
from jersey.recipes.resnet18_small import resnet18_small


def my_head(*, features, labels):
    raise NotImplementedError


@experiment
def mine():
    """My own."""
    config = resnet18_small()
    config.module.network.head = fdl.Partial(my_head)
    return config
'''


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Writes a package whose experiment is in a file that nothing names."""
    folder = tmp_path / "team" / "exps"
    folder.mkdir(parents=True)
    for empty in (folder.parent, folder):
        (empty / "__init__.py").touch()
    (folder / "new_file.py").write_text(MODULE, encoding="utf-8")
    return folder / "new_file.py"


def test_every_command_knows_the_experiments_of_an_imported_package(
    launch: Launch, module: Path, tmp_path: Path
) -> None:
    listed = launch("--list", "--import=team.exps")
    assert re.search(r"^  mine +My own\.$", listed.stdout, flags=re.MULTILINE), listed.stderr
    line = "module.network.head = <Partial:team.exps.new_file.my_head>\n"
    assert line in launch("--import=team.exps", "--exp=mine", "--print_config").stdout
    diff = launch("--import=team.exps", "--exp=mine", "--diff=resnet18_small")
    assert (diff.returncode, "my_head" in diff.stdout) == (1, True)
    sweep = launch("--import=team.exps", "--exp=mine", "--sweep=seed=1,2", "--sweep_commands").stdout.splitlines()
    flags = [word for word in shlex.split(sweep[1]) if word.startswith("--")]
    assert {"--import=team.exps", "--exp=mine", "--fdl_set=seed=2"} < set(flags)
    assert len(sweep) == 2


def test_a_saved_config_may_name_imported_packages_only(launch: Launch, module: Path, tmp_path: Path) -> None:
    code = "from jersey import config; from jersey.core.packages import import_modules; import_modules(['team.exps']); "
    code += "print(config.to_json(config.get_experiment('mine')(), 'mine'))"
    written = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / "config.json").write_text(written.stdout, encoding="utf-8")
    saved = f"--config={tmp_path / 'config.json'}"
    again = launch("--import=team.exps", saved, "--print_config")
    assert "<Partial:team.exps.new_file.my_head>" in again.stdout, again.stderr
    module.write_text("open('imported', 'w')\n", encoding="utf-8")
    sentence = error_of(launch(saved, "--print_config"))
    assert "team.exps.new_file.my_head" in sentence
    assert "--import" in sentence
    assert not (tmp_path / "imported").exists()


def test_the_example_of_the_readme_is_found_in_the_current_folder(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "myexps.py").write_text(program("@experiment"), encoding="utf-8")
    printed = launch("--import=myexps", "--exp=resnet18_weights", "--print_config")
    assert "module.class_weight_power = 0.5" in printed.stdout.splitlines(), printed.stderr


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("team.no_such", "", ("no module team.no_such", "install")),
        ("no_such.exps", "", ("no module no_such.exps", "install")),
        ("my-team", "", ("'my-team'", "myteam.exps")),
        ("team/exps/new_file.py", "", ("'team/exps/new_file.py'", "myteam.exps")),
        ("team.exps.new_file.py", MODULE, ("'team.exps.new_file.py'", "myteam.exps")),
        ("team.exps", "def broken(:\n", ("team.exps.new_file", "SyntaxError", "new_file.py line 1")),
        ("team.exps", "x = 1\ny = x / 0\n", ("ZeroDivisionError", "new_file.py line 2")),
        ("team.exps", "import no_such_library\n", ("team.exps.new_file", "no_such_library")),
        ("team.exps", "raise SystemExit(0)\n", ("team.exps.new_file", "SystemExit")),
        ("team.exps", MODULE.replace("mine", "quickstart"), ("'quickstart'", "jersey.recipes.quickstart")),
        ("sys", "", ("no module sys",)),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error_of_one_sentence(
    launch: Launch, module: Path, tmp_path: Path, name: str, source: str, words: tuple[str, ...]
) -> None:
    module.write_text(source, encoding="utf-8")
    sentence = error_of(launch(f"--import={name}", "--exp=quickstart", "--print_config"))
    assert all(word in sentence for word in words), sentence
    assert not (tmp_path / "runs").exists()


def test_the_list_reports_a_file_that_is_not_python(launch: Launch, module: Path) -> None:
    module.write_text("def broken(:\n", encoding="utf-8")
    assert "new_file.py" in error_of(launch("--list", "--import=team.exps"))
