"""The audit command in its own process: exit codes and output streams."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.dirty_tree import COPIES, Tree, crop, encoded
from helpers.repository import REPOSITORY


def audit(*flags: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "jersey.data.audit", *flags]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, env=environment)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "crops 🏀", "folders").fill()


def test_the_exit_code_is_0_with_warnings_only_and_1_with_errors(tree: Tree) -> None:
    image = crop("0", 700)
    tree.add("train", "0", encoded(image, quality=90))
    copy = tree.add("train", "0", encoded(image, quality=50))
    done = audit(str(tree.root))
    assert (done.returncode, done.stderr) == (0, "")
    assert "11 images, 0 errors, 1 warning\n" in done.stdout
    assert "warning: the same image several times in a split (1)\n" in done.stdout
    assert f"  0 in train (2 files, nearly the same): train/0/0010.jpg, {copy.image}\n" in done.stdout
    tree.add("test", "0", encoded(image, quality=50))
    leaking = audit(str(tree.root))
    assert leaking.returncode == 0, "a run accepts it"
    assert "warning: the same image in several splits, which inflates metrics; keep it in one (1)" in leaking.stdout
    tree.add("test", "0", b"")
    assert audit(str(tree.root)).returncode == 1


def test_json_is_all_of_standard_output_and_text_survives_a_terminal_without_unicode(tree: Tree) -> None:
    row = tree.add("train", "数", b"", name="é\n.jpg")
    tree.add("train", "0", b"", name="é.jpg")
    flags, environment = (str(tree.root), "--fast"), {"PYTHONIOENCODING": "ascii"}
    done = audit(*flags, "--json", environment=environment)
    content = json.loads(done.stdout)
    assert (done.returncode, content["fast"]) == (1, True)
    assert content["counts"]["train"]["数"] == 1
    assert content["sizes"]["val"]["width_px"] == [80, 80, 80]
    assert [row._asdict()] in [each["rows"] for each in content["findings"] if each["kind"] == "bad_image"]
    done = audit(*flags, environment=environment)
    assert done.returncode == 1
    assert r"\xe9.jpg is empty" in done.stdout
    assert "(headers only, without pixels)" in done.stdout.splitlines()[0]


def test_a_wrong_root_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    done = audit(str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the data folder")
    assert done.stderr.count("\n") == 1


def test_mirrored_and_less_similar_copies_can_be_excluded(tree: Tree) -> None:
    image = crop("0", 700)
    tree.add("train", "0", encoded(image, quality=90))
    tree.add("train", "0", COPIES["mirrored at quality 30"](image))
    counts = [
        len(json.loads(audit(str(tree.root), "--json", *flags).stdout)["findings"])
        for flags in ((), ("--no_mirror",), ("--max_difference=0.001",))
    ]
    assert counts == [1, 0, 0]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--max_difference=0",), "error: --max_difference=0 must be above 0 and at most 1, such as 0.3\n"),
        (
            ("--fast", "--no_mirror"),
            "error: --fast finds identical files only; leave out --max_difference and --no_mirror\n",
        ),
    ],
)
def test_wrong_settings_of_copies_are_one_sentence(tmp_path: Path, flags: tuple[str, ...], sentence: str) -> None:
    done = audit(str(tmp_path), *flags)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
