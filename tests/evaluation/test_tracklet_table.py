"""Tracks on a file whose answers are known."""

import json
import sys
from pathlib import Path

import pytest
from helpers.planted_model import LABELS, crop_of, file_of, planted_model
from PIL import Image

from jersey.core.errors import UserError
from jersey.evaluation import tracklets
from jersey.evaluation.tracklets import read_tracks, scores
from jersey.inference import Predictor


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor(planted_model(tmp_path / "model.onnx"))


def draw(folder: Path, number: str, frames: list[tuple[str, int]]) -> None:
    """A track: what each frame looks like, and how surely."""
    for index, (seen, sureness) in enumerate(frames):
        file_of(folder / number / "a" / f"{index:04d}.png", seen, sureness=sureness)


def test_sure_frames_outweigh_others_and_a_roster_rules_numbers_out(predictor: Predictor, tmp_path: Path) -> None:
    draw(tmp_path / "tracks", "0", [("0", 255), ("00", 60), ("0", 255)])
    draw(tmp_path / "tracks", "23", [("10", 40), ("10", 40), ("23", 255)])
    tracks = read_tracks(predictor, tmp_path / "tracks")
    assert [LABELS[track.label] for track in tracks] == ["0", "23"]
    found = {(each.frames, each.roster): each for each in scores(predictor, tracks, roster=5, threshold=0.5)}
    assert set(found) == {(1, 0), (1, 5), (3, 0), (3, 5)}
    assert (found[1, 0].windows, found[1, 0].right) == (6, 3)
    assert (found[3, 0].windows, found[3, 0].right) == (2, 2)
    assert found[3, 0].answered >= found[1, 0].answered
    teams = {size: scores(predictor, tracks, roster=size, threshold=0.0)[1].right for size in (2, 5)}
    assert teams[5] == 3  # a roster of all numbers says nothing
    assert teams[2] >= teams[5]


def test_a_number_that_the_model_does_not_read(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "tracks" / "99" / "a").mkdir(parents=True)
    Image.fromarray(crop_of("0")).save(tmp_path / "tracks" / "99" / "a" / "0.png")
    with pytest.raises(UserError, match="tracks of '99'"):
        read_tracks(predictor, tmp_path / "tracks")


def test_it_prints_a_table_and_a_line_of_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = planted_model(tmp_path / "model.onnx")
    draw(tmp_path / "tracks", "0", [("0", 255)] * 30)
    arguments = ["--roster=3", "--min_precision=0.95"]
    monkeypatch.setattr(sys, "argv", ["tracklets", str(model), str(tmp_path / "tracks"), *arguments])
    tracklets.main()
    *_, last = capsys.readouterr().out.splitlines()
    assert [each["right"] for each in json.loads(last)["scores"]] == [30, 30, 10, 10, 3, 3, 1, 1]
    monkeypatch.setattr(sys, "argv", [*sys.argv[:3], "--roster=99"])
    with pytest.raises(SystemExit) as caught:
        tracklets.main()
    assert caught.value.code == 2
    assert "--roster=99 is no team" in capsys.readouterr().err
