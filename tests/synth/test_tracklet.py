"""Tracklets: one player, frames that wander, in both layouts, and a generator whose draws remember."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from jersey.core.errors import UserError
from jersey.synth import generate as generate_module
from jersey.synth import tracklet as tracklet_module
from jersey.synth.crop import Kind, Player
from jersey.synth.generate import generate
from jersey.synth.settings import MANIFEST
from jersey.synth.tracklet import HARD_SHARE, CorrelatedRng, render_tracklet
from jersey.synth.typefaces import UNSEEN

SMALL = {"numbers": ("7", "00"), "train": 0, "val": 0, "test": 4, "size_px": 32, "frames": 5}


def frames(seed: int, number: str = "23", count: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = render_tracklet(number, frames=count, rng=rng, typefaces=UNSEEN, size_px=32)
    return [crop.image_HW3 for crop in drawn]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "tracklets"
    generate(root, **SMALL)
    return root


def test_a_folder_of_frames_for_each_tracklet_below_its_number(folders: Path) -> None:
    assert [path.name for path in folders.iterdir() if path.is_dir()] == ["test"]
    tracks = sorted(path.relative_to(folders / "test").as_posix() for path in (folders / "test").glob("*/*"))
    assert tracks == ["00/000002", "00/000003", "7/000000", "7/000001"]
    assert all(len(list((folders / "test" / track).glob("*.jpg"))) == 5 for track in tracks)
    assert json.loads((folders / MANIFEST).read_text(encoding="utf-8"))["frames"] == 5


def test_in_annotations_rows_of_a_tracklet_share_number_and_track(folders: Path, tmp_path: Path) -> None:
    generate(tmp_path / "rows", **SMALL, layout="annotations")
    folder = tmp_path / "rows" / "test"
    rows = [json.loads(line) for line in (folder / "annotations.jsonl").read_text(encoding="utf-8").splitlines()]
    listed = {(row["suffix"], row["track"], (folder / row["image"]).read_bytes()) for row in rows}
    assert listed == {(path.parts[-3], path.parts[-2], path.read_bytes()) for path in (folders / "test").rglob("*.jpg")}
    assert len(rows) == 4 * 5


def test_two_processes_draw_the_same_and_another_seed_something_else(tmp_path: Path) -> None:
    enough = {**SMALL, "test": 100, "frames": 2}
    for name, more in (("one", {"workers": 1}), ("two", {"workers": 2})):
        generate(tmp_path / name, **enough, **more)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not set(map(bytes, frames(0))) & set(map(bytes, frames(1)))
    assert list(map(bytes, frames(0))) == list(map(bytes, frames(0)))


def test_an_interrupted_draw_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> object:
        yield next(render_tracklet(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(generate_module, "render_tracklet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "set", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_frames_are_of_one_player_and_none_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[Player] = []
    real = tracklet_module.photograph

    def spy(player: Player, *args: object, **kwargs: object) -> object:
        painted.append(player)
        return real(player, *args, **kwargs)

    monkeypatch.setattr(tracklet_module, "photograph", spy)
    for seed in range(6):
        painted.clear()
        drawn = frames(seed, "23", 20)
        assert len(set(map(bytes, drawn))) == len(painted) == 20
        assert {(player.number, player.typeface) for player in painted} == {("23", painted[0].typeface)}
        # Whether the back or the side is seen, hall and shirt are painted from the same values.
        corners = {player.painting.scene.getpixel((0, 0)) for player in painted}
        assert len(corners) == 1
        assert len({id(player) for player in painted}) == len({player.back for player in painted})


def test_neighbouring_frames_are_nearer_than_distant_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracklet_module, "_kinds", lambda frames, rng: [Kind()] * frames)
    near, far = [], []
    for seed in range(10):
        soft = [image_HW3[4:28, 4:28].reshape(6, 4, 6, 4, 3).mean(axis=(1, 3)) for image_HW3 in frames(seed, count=16)]
        near += [np.abs(one - other).mean() for one, other in itertools.pairwise(soft)]
        far += [np.abs(one - other).mean() for one, other in zip(soft, soft[10:], strict=False)]
    assert np.mean(far) > 1.4 * np.mean(near)


def test_hard_frames_come_several_in_a_row_and_have_their_share() -> None:
    hard = [[kind != Kind() for kind in tracklet_module._kinds(30, np.random.default_rng(seed))] for seed in range(400)]
    assert np.mean(hard) == pytest.approx(HARD_SHARE, abs=0.04)
    assert np.mean([row[0] for row in hard]) == pytest.approx(HARD_SHARE, abs=0.08)
    after_hard = [later for row in hard for now, later in itertools.pairwise(row) if now]
    assert np.mean(after_hard) > 2 * HARD_SHARE


def test_what_a_drift_draws_has_the_distribution_that_was_asked_for() -> None:
    drift, drawn = CorrelatedRng(np.random.default_rng(0)), []
    for _ in range(15_000):
        drift.next_frame()
        drawn.append((drift.normal(2, 3), drift.uniform(4, 6), drift.random(), drift.choice(2, p=(0.3, 0.7))))
    normal, uniform, share, choice = np.array(drawn).T
    assert (normal.mean(), normal.std()) == (pytest.approx(2, abs=0.4), pytest.approx(3, abs=0.3))
    assert (uniform.mean(), uniform.std()) == (pytest.approx(5, abs=0.1), pytest.approx(2 / 12**0.5, abs=0.06))
    assert (np.mean(share < 0.2), choice.mean()) == (pytest.approx(0.2, abs=0.07), pytest.approx(0.7, abs=0.1))


def test_a_drift_gives_each_call_its_own_values_and_moves_them_slowly() -> None:
    drift, first, second, counts = CorrelatedRng(np.random.default_rng(1)), [], [], set()
    for _ in range(2000):
        drift.next_frame()
        first.append(drift.normal())
        second.append(drift.normal(size=3))
        counts |= set(drift.integers(5, 8, 4).tolist())
        assert sorted(drift.permutation(3)) == [0, 1, 2]
        assert drift.choice("ab") in "ab"
    assert np.std(np.diff(first)) < 0.5 * np.std(first)
    assert abs(np.corrcoef(first, np.array(second)[:, 0])[0, 1]) < 0.5
    assert counts == {5, 6, 7}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"frames": 0}, "frames=0 cannot be drawn"),
        ({"frames": -2}, "frames=-2"),
        ({"frames": 100_000}, "frames=100000"),
        ({"unreadable": 0.1}, "unreadable is for crops"),
        ({"test": 0}, "train, val and test are all 0"),
        ({"test": 1}, "test=1 is too few"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path, change: dict, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        generate(tmp_path / "set", **(SMALL | change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "set").exists()
