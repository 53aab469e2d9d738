"""Settings of a generated data set: crops of each number, errors of one sentence, and the manifest."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.fonts import write_font
from hypothesis import given
from hypothesis import strategies as st

from jersey.core.errors import UserError
from jersey.synth.generate import generate
from jersey.synth.settings import MANIFEST, Settings, apportion

SMALL = {"numbers": ("7", "0", "00", "01"), "train": 12, "val": 5, "test": 4, "size_px": 32}


@given(st.integers(1, 60), st.integers(0, 3000), st.floats(1, 500))
def test_counts_have_the_total_never_rise_and_are_positive(classes: int, extra: int, imbalance: float) -> None:
    numbers = [str(number) for number in range(classes)]
    counts = apportion(classes + extra, numbers=numbers, imbalance=imbalance)
    assert list(counts) == numbers
    assert sum(counts.values()) == classes + extra
    assert min(counts.values()) >= 1
    assert all(first >= second for first, second in itertools.pairwise(counts.values()))
    even = apportion(classes + extra, numbers=numbers).values()
    assert max(even) - min(even) <= 1


def test_a_long_tail_matches_hand_computed_counts() -> None:
    # The targets 400, 200, 100 fall by the square root of 4.
    assert apportion(700, numbers=["8", "00", "6"], imbalance=4.0) == {"8": 400, "00": 200, "6": 100}


def test_only_train_has_a_long_tail_and_its_counts_can_be_listed() -> None:
    tail = Settings(("7", "0", "00"), 28, 6, 6, imbalance=4.0)
    assert tail.numbers_of("train") == ["7"] * 16 + ["0"] * 8 + ["00"] * 4
    assert tail.numbers_of("val") == tail.numbers_of("test") == ["7", "7", "0", "0", "00", "00"]
    assert Settings(("7", "0"), [1, 3], 2, 2).numbers_of("train") == ["7", "0", "0", "0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": ()}, "no numbers"),
        ({"numbers": ("7", "a")}, "'a' is not a jersey number"),
        ({"numbers": ("7", "\u0663")}, "is not a jersey number"),
        ({"numbers": ("7", "00", "7")}, "appear twice: 7"),
        ({"train": 3}, "train=3 is too few"),
        ({"test": 1}, "test=1 is too few"),
        ({"train": 0, "val": 0, "test": 0}, "train, val and test are all 0"),
        ({"train": (3, 3, 3)}, "train=3,3,3 is not a count of at least 1 for each of 4 numbers"),
        ({"train": (3, 3, 0, 3)}, "train=3,3,0,3 is not a count"),
        ({"train": (3, 3, 3, 3), "imbalance": 2.0}, "imbalance=2.0 has no effect if train lists"),
        ({"size_px": 4}, "size_px=4"),
        ({"imbalance": 0.5}, "imbalance=0.5"),
        ({"imbalance": float("nan")}, "imbalance=nan"),
        ({"layout": "zip"}, "layout='zip'"),
        ({"seed": -1}, "seed=-1"),
        *(({"illegible": value}, f"illegible={value} is not a fraction") for value in (-0.1, 1.5, float("nan"))),
        *(({"frames": frames}, f"frames={frames} is out of range") for frames in (0, -2, 100_000)),
        ({"frames": 5, "illegible": 0.1}, "illegible is for crops"),
        ({"frames": 5, "style": "varied"}, "tracklets exist in the style back only"),
        ({"style": "wide"}, "style='wide' is unknown; choose one of back, varied"),
    ],
)
def test_invalid_settings_are_an_error_of_one_sentence(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        generate(tmp_path / "set", **(SMALL | change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "set").exists()


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "set"
    generate(root, **SMALL)
    return root


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 13}, "train=12, now it is 13"),
        ({"train": (3, 3, 3, 3)}, "train=12, now it is 3,3,3,3"),
        ({"numbers": ("7", "0", "00", "1")}, "numbers=7,0,00,01"),
        ({"seed": 3}, "seed=0"),
        ({"illegible": 0.5}, r"illegible=0\.0, now it is 0\.5"),
        ({"frames": 2}, "frames=1, now it is 2"),
        ({"style": "varied"}, "style=back, now it is varied"),
        ({"fonts": "league"}, "fonts=None, now it is league"),
    ],
)
def test_changed_settings_are_an_error(generated: Path, change: dict, message: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in generated.rglob("*")}
    with pytest.raises(UserError, match=message) as error:
        generate(generated, **(SMALL | change))
    assert "delete the folder or choose another root" in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in generated.rglob("*")} == before


def test_an_old_manifest_means_plain_crops_in_the_style_back_but_an_old_generator_is_an_error(
    generated: Path, tmp_path: Path
) -> None:
    manifest = json.loads((generated / MANIFEST).read_text(encoding="utf-8"))
    newer = ("illegible", "frames", "style", "fonts", "fonts_sha256")
    old = {name: value for name, value in manifest.items() if name not in newer}
    assert len(old) == len(manifest) - len(newer)
    (tmp_path / MANIFEST).write_text(json.dumps(old), encoding="utf-8")
    generate(tmp_path, **SMALL)
    assert Settings.load(tmp_path) == Settings(**SMALL)
    for change, message in (
        ({"illegible": 0.5}, r"illegible=0\.0, now it is 0\.5"),
        ({"style": "varied"}, "style=back"),
    ):
        with pytest.raises(UserError, match=message):
            generate(tmp_path, **SMALL, **change)
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"generator_version": 0}), encoding="utf-8")
    with pytest.raises(UserError, match="generator_version=0"):
        generate(tmp_path, **SMALL)


@pytest.mark.parametrize("change", ["added", "removed", "replaced", "renamed"])
def test_other_font_files_in_the_same_folder_are_an_error(tmp_path: Path, change: str) -> None:
    fonts, root = tmp_path / "fonts", tmp_path / "set"
    for name in ("one", "two"):
        write_font(fonts / f"{name}.ttf", name)
    assert generate(root, **SMALL, fonts=str(fonts))
    (fonts / "license.txt").write_text("free", encoding="utf-8")
    assert not generate(root, **SMALL, fonts=str(fonts))
    if change == "added":
        write_font(fonts / "three.ttf", "three")
    elif change == "renamed":
        (fonts / "two.ttf").rename(fonts / "other.ttf")
    else:
        (fonts / "two.ttf").unlink()
    if change == "replaced":
        write_font(fonts / "two.ttf", "two", face="DejaVuSans")
    with pytest.raises(UserError, match=rf"set was generated with other font files than those now in {fonts}; delete"):
        generate(root, **SMALL, fonts=str(fonts))
    shutil.rmtree(root)
    assert generate(root, **SMALL, fonts=str(fonts))


def test_an_empty_name_of_the_fonts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fonts is empty; name a folder"):
        generate(tmp_path / "set", **SMALL, fonts="")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_file", [True, False])
def test_existing_files_of_other_origin_are_not_changed(tmp_path: Path, is_file: bool) -> None:
    mine = tmp_path / "set" if is_file else tmp_path / "set" / "mine.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match="not generated by jersey"):
        generate(tmp_path / "set", **SMALL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_the_manifest_has_style_and_fonts_and_finished_crops_need_no_fonts_again(tmp_path: Path) -> None:
    fonts, root = tmp_path / "fonts", tmp_path / "set"
    write_font(fonts / "one.ttf", "One")
    settings = SMALL | {"style": "varied", "fonts": str(fonts)}
    generate(root, **settings)
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    assert (manifest["style"], manifest["fonts"]) == ("varied", str(fonts))
    assert replace(Settings.load(root), fonts_sha256="") == Settings(**settings)
    moved = fonts.rename(tmp_path / "moved")
    assert not generate(root, **settings)
    assert not generate(root, **settings | {"fonts": str(moved)})
    with pytest.raises(UserError, match="style=varied, now it is back"):
        generate(root, **(settings | {"style": "back"}))
