"""The arguments of commands: an empty path or text, such as that of an unset variable, is refused."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jersey import evaluate
from jersey.compare import learning_curve
from jersey.core.command_line import parser_for, path_argument
from jersey.data.audit import __main__ as audit
from jersey.inference import __main__ as inference


def takes_a_path(folder: Path) -> None:
    """Does nothing.

    Args:
        folder: folder to read.
    """


COMMANDS: dict[str, tuple[Callable[[], object], list[str]]] = {
    "annotations": (inference.parse_flags, ["crops", "--annotations="]),
    "reader": (audit.parse_flags, ["root", "--reader="]),
    "html": (audit.parse_flags, ["root", "--reader", "--html="]),
    "plot": (learning_curve.main, ["run", "--plot="]),
    "runs": (learning_curve.main, [""]),
    "out": (evaluate.command, ["model.onnx", "root", "--out="]),
    "folder": (lambda: parser_for("module", None, takes_a_path).parse_args(), [""]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_path_or_text_is_an_error_that_names_the_argument(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parse, words = COMMANDS[name]
    monkeypatch.setattr(sys, "argv", ["command", *words])
    with pytest.raises(SystemExit) as ended:
        parse()
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert name in last.lower() or name == "runs"
    expected = "the text is empty; write one" if name == "out" else "the path is empty; name a file or folder"
    assert expected in last


def test_a_path_keeps_its_text() -> None:
    assert path_argument("a b/c") == Path("a b/c")
