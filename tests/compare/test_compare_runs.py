"""Reading runs: labels stay strings, and runs that cannot be paired raise an error of one sentence."""

from pathlib import Path

import pytest
from helpers.run_folders import run_folder

from jersey.compare.comparison import compare
from jersey.compare.runs import caveats, rarest, read_run, require_comparable
from jersey.core.errors import UserError

TRUE = ("0", "00", "7", "7")


def test_labels_that_are_equal_as_integers_stay_different(tmp_path: Path) -> None:
    run = read_run(run_folder(tmp_path / "run", ("00", "00", "07", "7"), true=TRUE))
    files = [f"test/{number}/{index}.jpg" for index, number in enumerate(TRUE)]
    assert run.correct_N(files).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"true": ("0", "00", "7", "0")}, "only one side has 'test/0/3.jpg'"),
        ({"true": TRUE[:3], "predicted": TRUE[:3]}, "4 and 3 crops"),
        ({"stage": "test"}, "not finished"),
        ((",7,7,", ",1,7,"), "has the label '7' in one and '1'"),
        ((",1003,", ",9,"), "1003 bytes"),
    ],
)
def test_runs_that_cannot_be_paired_raise_an_error(
    tmp_path: Path, change: dict | tuple[str, str], message: str
) -> None:
    settings = change if isinstance(change, dict) else {}
    first = run_folder(tmp_path / "a", TRUE, true=TRUE)
    other = run_folder(tmp_path / "b", **({"predicted": TRUE, "true": TRUE} | settings))
    if isinstance(change, tuple):
        table = other / "predictions_test.csv"
        table.write_text(table.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        require_comparable([read_run(first)], [read_run(other)])
    assert str(other) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    first, other = (run_folder(tmp_path / name, ("0", "0", "0", "7"), true=TRUE) for name in "ab")
    header, *rows = (other / "predictions_test.csv").read_text(encoding="utf-8").splitlines()
    (other / "predictions_test.csv").write_text("\n".join([header, *rows[::-1], ""]), encoding="utf-8")
    found = compare([read_run(first)], [read_run(other)], rare=0)
    assert (found.better_a, found.better_b) == (0, 0)


def test_a_run_named_twice_is_found_in_any_spelling(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", TRUE, true=TRUE)
    for spelling in (run, run / ".." / "a"):
        with pytest.raises(UserError, match="named twice"):
            require_comparable([read_run(run)], [read_run(spelling)])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("status.json", None, "not the folder of a run"),
        ("status.json", "[]", "not the folder of a run"),
        ("config.txt", None, "not the folder of a run"),
        ("predictions_test.csv", None, "PredictionsTable"),
        ("predictions_test.csv", "", "truncated or empty"),
        ("predictions_test.csv", "file,size_bytes,label,predicted\n", "truncated or empty"),
        ("predictions_test.csv", "file,size_bytes,label,predicted\na.jpg,3,7\n", "truncated or empty"),
        ("predictions_test.csv", "file,true\na.jpg,7\n", "cannot read"),
        ("predictions_test.csv", "file\n\xff", "cannot read"),
    ],
)
def test_an_incomplete_run_folder_raises_an_error(tmp_path: Path, file: str, content: str | None, message: str) -> None:
    run = run_folder(tmp_path / "a", TRUE, true=TRUE)
    (run / file).unlink()
    if content is not None:
        (run / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=message) as error:
        read_run(run)
    assert str(run) in str(error.value)


def test_runs_of_one_side_should_only_differ_in_the_seed(tmp_path: Path) -> None:
    runs = [
        read_run(run_folder(tmp_path / name, TRUE, true=TRUE, seed=seed, config=config))
        for name, seed, config in (("a", 0, "lr = 1"), ("b", 1, "lr = 1"), ("c", 1, "lr = 1"), ("d", 2, "lr = 2"))
    ]
    assert caveats(runs[:2], [runs[2], runs[3]]) == ["the runs of B differ in more than the seed, d: lr was 1, now 2"]
    assert caveats(runs[:1], runs[1:2]) == []
    assert "share a seed (1, 1)" in caveats(runs[:2], runs[1:3])[0]
    assert "1 and B 2 runs" in caveats(runs[2:3], runs[:2])[0]


def test_the_rarest_labels_are_tested_labels_by_train_crops(tmp_path: Path) -> None:
    counts = {"0": 9, "00": 3, "7": 5, "11": 1}
    run = read_run(run_folder(tmp_path / "a", TRUE, true=TRUE, train=counts))
    assert rarest(run, 2) == ["00", "7"]
    assert rarest(run, 10) == ["00", "7", "0"]
    assert rarest(read_run(run_folder(tmp_path / "b", TRUE, true=TRUE)), 2) == []
