"""`python -m jersey.compare` on the command line, on runs with known differences."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.run_folders import run_folder
from helpers.simulated import two_sides

from jersey.compare.__main__ import parse_flags

NUMBERS = [str(number) for number in range(40)]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jersey.compare", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def folders(tmp_path: Path, name: str, correct_SN: np.ndarray) -> list[Path]:
    """Writes one run per row, which predicts 99 if incorrect; the labels become rarer in training one by one."""
    labels = [NUMBERS[index % len(NUMBERS)] for index in range(correct_SN.shape[1])]
    train = {number: 1000 - int(number) for number in NUMBERS}
    predictions = [
        [label if correct else "99" for label, correct in zip(labels, correct_N, strict=True)]
        for correct_N in correct_SN
    ]
    return [
        run_folder(tmp_path / name / f"s{seed}", each, true=labels, seed=seed, config=f"head = {name}", train=train)
        for seed, each in enumerate(predictions)
    ]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sequence[Path], Sequence[Path]]:
    tmp_path = tmp_path_factory.mktemp("runs")
    a_SN, b_SN = two_sides(np.random.default_rng(2), runs=(3, 3), seed_spread=(0.005, 0.005), accuracy=0.8, gain=0.06)
    b_SN[:, np.arange(b_SN.shape[1]) % 40 >= 35] = False  # predictions on the five rarest labels are incorrect
    return folders(tmp_path, "plain", a_SN), folders(tmp_path, "digits", b_SN)


def test_better_overall_and_worse_on_rare_labels_is_reported(sides: tuple) -> None:
    a, b = sides
    done = command("--rare=5", *a, "--", *b)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "A: 3 runs (plain/s0, plain/s1, plain/s2)"
    assert "B differs from A: head was plain, now digits" in lines
    assert any("1,500 test crops of 40 labels" in line for line in lines)
    verdicts = {line.partition(": ")[0]: line for line in lines[-3:]}
    assert "B is worse by" in verdicts["macro recall of the 5 rarest"]
    assert set(verdicts) == {"top-1", "macro recall", "macro recall of the 5 rarest"}
    assert "warning" not in done.stdout


def test_json_has_the_same_results_and_the_metrics_of_every_run(sides: tuple) -> None:
    a, b = sides
    found = json.loads(command(*a, "--", *b, "--json", "--rare=5").stdout)
    score = found["scores"]["top-1"]
    assert found["a"] == [str(path) for path in a]
    assert found["about"] == "two settings"
    assert found["mcnemar_p"] is None
    assert len(score["a"]) == len(score["b"]) == 3
    assert score["gain"] == pytest.approx(np.mean(score["b"]) - np.mean(score["a"]))
    assert score["interval"][0] < score["gain"] < score["interval"][1]
    assert found["scores"]["macro recall of the 5 rarest"]["b"] == [0, 0, 0]
    assert found["scores"]["macro recall of the 5 rarest"]["verdict"] == "worse"


def test_one_pair_of_runs_compares_two_models_by_mcnemars_test(tmp_path: Path) -> None:
    (a,), (b,) = (
        folders(tmp_path, name, correct)
        for name, correct in zip("ab", two_sides(np.random.default_rng(0)), strict=True)
    )
    text = command(a, "--", b).stdout
    assert "no difference shown" in text
    assert "A is better on" in text.split("crops of")[1].splitlines()[0]
    assert "McNemar" in text
    assert "these two trained models" in text


@pytest.mark.parametrize(
    "arguments", [(), ("RUN",), ("RUN", "--"), ("--", "RUN"), ("RUN", "--", "RUN"), ("RUN", "--", "nowhere")]
)
def test_invalid_arguments_print_one_sentence_and_exit_with_code_2(tmp_path: Path, arguments: Sequence[str]) -> None:
    run = run_folder(tmp_path / "run", ("7",), true=("7",))
    done = command(*(str(run) if argument == "RUN" else argument for argument in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_flags_are_accepted_on_either_side() -> None:
    for arguments in (["--rare=3", "a", "b", "--", "c"], ["a", "b", "--", "c", "--rare=3"]):
        runs_a, runs_b, flags = parse_flags(arguments)
        assert [str(path) for path in (*runs_a, *runs_b)] == ["a", "b", "c"]
        assert (flags.rare, flags.json) == (3, False)
        assert len(runs_a) == 2
