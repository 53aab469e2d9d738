"""The table and the numbers of a benchmark agree, its last line is JSON, and its options are documented."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from jersey.bench import callbacks, epoch, gpu, loader, onnx_latency, startup, train_step
from jersey.bench.harness import command, print_speeds
from jersey.cli import label_preservation
from jersey.core.command_line import parser_for
from jersey.core.errors import UserError
from jersey.synth.benchmark import ensure_benchmark

TIMES_S = {"base": [1.0, 2.0, 10.0], "twice": [0.5, 1.0, 5.0], "mixed": [1.0, 1.0, 20.0]}


def test_the_table_and_the_numbers_agree(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = print_speeds("an epoch", TIMES_S, baseline="base", crops=10)
    text = capsys.readouterr().out.strip()
    assert [line.split()[0] for line in text.splitlines()[2:]] == list(TIMES_S)
    assert "2.000 (2.000 to 2.000)" in text
    assert "2000.0" in text  # the base's median, in ms
    assert numbers["twice"] == pytest.approx({"median_ms": 1000.0, "speed": 2.0, "low": 2.0, "high": 2.0})
    assert numbers["mixed"] == pytest.approx({"median_ms": 1000.0, "speed": 1.0, "low": 0.75, "high": 1.5})


def run(monkeypatch: pytest.MonkeyPatch, measure: Any, *words: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    with pytest.raises(SystemExit) as caught:
        command("speed", "doc", measure)
    return caught.value.code


@pytest.mark.parametrize(("numbers", "code"), [({}, 0), ({"passed": True}, 0), ({"passed": False}, 1)])
def test_the_last_line_is_json_and_a_missed_limit_is_exit_code_1(
    numbers: dict[str, bool], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(
        folder: Path, changes: Sequence[str], px: tuple[int, ...] = (), kind: Literal["a", "b"] = "a", rounds: int = 3
    ) -> dict[str, Any]:
        return {"arguments": [str(folder), changes, px, kind, rounds], **numbers}

    assert run(monkeypatch, measure, "run", "--set=lr=1", "--set=x=2", "--px", "32", "64", "--kind=b") == code
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["arguments"] == ["run", ["lr=1", "x=2"], [32, 64], "b", 3]
    assert line.items() >= {"bench": "speed", **numbers}.items()
    assert "torch" in line["machine"]


def test_a_user_error_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(px: int = 64) -> None:
        raise UserError("there is no run")

    assert run(monkeypatch, measure) == 2
    assert capsys.readouterr().err == "error: there is no run\n"


@pytest.mark.parametrize(
    "function",
    [
        *(callbacks.measure, epoch.bench, gpu.measure, loader.measure, onnx_latency.measure, startup.measure),
        *(train_step.measure, label_preservation.measure, ensure_benchmark),
    ],
    ids=lambda function: function.__module__,
)
def test_help_describes_every_argument_with_an_example(function: Any) -> None:
    parser = parser_for(function.__module__, "What it does.\n\nShapes: B batch", function)
    assert "Shapes" not in parser.format_help()
    arguments = [action for action in parser._actions if action.dest != "help"]
    assert arguments
    for action in arguments:
        assert re.search(r"\w.* such as \S", action.help or ""), action
