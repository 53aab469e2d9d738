"""Tracklets: one player, gradually changing frames, and a generator with correlated values."""

import itertools

import numpy as np
import pytest

from jersey.synth import tracklet as tracklet_module
from jersey.synth.crop import Kind, Player
from jersey.synth.tracklet import HARD_FRACTION, CorrelatedRng, render_tracklet
from jersey.synth.typefaces import UNSEEN


def frames(seed: int, number: str = "23", count: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    crops = render_tracklet(number, frames=count, rng=rng, typefaces=UNSEEN, size_px=32)
    return [crop.image_HW3 for crop in crops]


def test_frames_show_one_player_and_all_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[Player] = []
    real = tracklet_module.photograph

    def spy(player: Player, *args: object, **kwargs: object) -> object:
        painted.append(player)
        return real(player, *args, **kwargs)

    monkeypatch.setattr(tracklet_module, "photograph", spy)
    for seed in range(6):
        painted.clear()
        images = frames(seed, "23", 20)
        assert len(set(map(bytes, images))) == len(painted) == 20
        assert {(player.number, player.typeface) for player in painted} == {("23", painted[0].typeface)}
        # Hall and jersey are painted from the same values for the back and for the side.
        corners = {player.scene.getpixel((0, 0)) for player in painted}
        assert len(corners) == 1
        assert len({id(player) for player in painted}) == len({player.back for player in painted})


def test_seeds_give_different_frames() -> None:
    assert not set(map(bytes, frames(0))) & set(map(bytes, frames(1)))


def test_consecutive_frames_are_more_similar_than_distant_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracklet_module, "_kinds", lambda frames, rng: [Kind()] * frames)
    near, far = [], []
    for seed in range(10):
        soft = [image_HW3[4:28, 4:28].reshape(6, 4, 6, 4, 3).mean(axis=(1, 3)) for image_HW3 in frames(seed, count=16)]
        near += [np.abs(one - other).mean() for one, other in itertools.pairwise(soft)]
        far += [np.abs(one - other).mean() for one, other in zip(soft, soft[10:], strict=False)]
    assert np.mean(far) > 1.4 * np.mean(near)


def test_hard_frames_are_consecutive_and_have_their_fraction() -> None:
    hard = [[kind != Kind() for kind in tracklet_module._kinds(30, np.random.default_rng(seed))] for seed in range(400)]
    assert np.mean(hard) == pytest.approx(HARD_FRACTION, abs=0.04)
    assert np.mean([row[0] for row in hard]) == pytest.approx(HARD_FRACTION, abs=0.08)
    after_hard = [later for row in hard for now, later in itertools.pairwise(row) if now]
    assert np.mean(after_hard) > 2 * HARD_FRACTION


def test_correlated_values_have_the_requested_distribution() -> None:
    rng, values = CorrelatedRng(np.random.default_rng(0)), []
    for _ in range(15_000):
        rng.next_frame()
        values.append((rng.normal(2, 3), rng.uniform(4, 6), rng.random(), rng.choice(2, p=(0.3, 0.7))))
    normal, uniform, unit, choice = np.array(values).T
    assert (normal.mean(), normal.std()) == (pytest.approx(2, abs=0.4), pytest.approx(3, abs=0.3))
    assert (uniform.mean(), uniform.std()) == (pytest.approx(5, abs=0.1), pytest.approx(2 / 12**0.5, abs=0.06))
    assert (np.mean(unit < 0.2), choice.mean()) == (pytest.approx(0.2, abs=0.07), pytest.approx(0.7, abs=0.1))


def test_each_call_has_its_own_slowly_changing_values() -> None:
    rng, first, second, counts = CorrelatedRng(np.random.default_rng(1)), [], [], set()
    for _ in range(2000):
        rng.next_frame()
        first.append(rng.normal())
        second.append(rng.normal(size=3))
        counts |= set(rng.integers(5, 8, 4).tolist())
        assert sorted(rng.permutation(3)) == [0, 1, 2]
        assert rng.choice("ab") in "ab"
    assert np.std(np.diff(first)) < 0.5 * np.std(first)
    assert abs(np.corrcoef(first, np.array(second)[:, 0])[0, 1]) < 0.5
    assert counts == {5, 6, 7}
