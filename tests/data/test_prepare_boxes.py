"""Boxes of COCO and YOLO exports become crops; those that cannot are counted by reason."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from helpers import data_trees as trees
from helpers import detection_exports as exports
from helpers.data_trees import EACH, NUMBERS, SIZE_PX, crops, pixels
from helpers.faulty_trees import edited
from helpers.prepared import audit_code, contents, prepare
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from jersey.core.errors import UserError
from jersey.data.decode import decode
from jersey.data.index import read_index
from jersey.data.prepare.boxes import MIN_SIDE_PX, Box, BoxReason, region
from jersey.data.prepare.source import read_source
from jersey.data.prepare.yolo import read_names

EXPORTS = [exports.coco, exports.coco_apart, exports.yolo, exports.yolo_by_kind]


@pytest.mark.parametrize("make", EXPORTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("layout", ["jsonl", "folders"])
def test_boxes_become_crops_with_the_same_pixels_labels_and_splits(
    make: Callable[[Path], Path], layout: str, tmp_path: Path
) -> None:
    root = make(tmp_path / "set")
    before = contents(root)
    prepare(root, tmp_path / "out", f"--layout={layout}")
    assert contents(root) == before
    found = {
        name: sorted((label, decode(path).tobytes()) for label, path in zip(split.labels, split.paths, strict=True))
        for name, split in read_index(tmp_path / "out").splits.items()
    }
    expected = {
        split: sorted((number, pixels(index).tobytes()) for each, number, _, index in crops() if each == split)
        for split in EACH
    }
    assert found == expected
    assert audit_code(tmp_path / "out") == 0


@pytest.mark.parametrize("make", EXPORTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_images_are_found_in_another_unicode_normal_form(
    make: Callable[[Path], Path], written: Literal["NFC", "NFD"], on_disk: Literal["NFC", "NFD"], tmp_path: Path
) -> None:
    """As macOS writes "é" in names of files, and not in texts."""
    root, accent = make(tmp_path / "set"), "\u00e9"
    for path in sorted(root.rglob("frame*")):
        form = on_disk if path.suffix == ".png" else written
        path.rename(path.with_name(unicodedata.normalize(form, accent + path.name)))
    for path in root.rglob("*.json"):
        text = path.read_text(encoding="utf-8").replace("frame", unicodedata.normalize(written, f"{accent}frame"))
        path.write_text(text, encoding="utf-8")
    source = read_source(root, data_format=None)
    assert not source.unused_boxes
    assert len(source.crops) == len(list(crops()))


@pytest.mark.parametrize("make", EXPORTS, ids=lambda make: make.__name__)
def test_boxes_of_one_image_stay_together(make: Callable[[Path], Path], tmp_path: Path) -> None:
    prepare(make(tmp_path / "set"), tmp_path / "out", "--resplit", "--fractions=0.5,0.25,0.25")
    splits_of: dict[str, set[str]] = {}
    for split in read_index(tmp_path / "out").splits.values():
        for path in split.paths:
            frame = str(path).partition("/images/")[2].rpartition("_")[0]
            splits_of.setdefault(frame.removeprefix("images/"), set()).add(split.name)
    assert len(splits_of) <= 10
    assert sum(map(len, splits_of.values())) <= 10  # frames of one name in several splits


def test_a_coco_file_is_a_source_and_attributes_and_tracks_are_read(tmp_path: Path) -> None:
    root = tmp_path / "set"
    content = exports.coco_content("train", root / "frames")
    content["categories"] = [{"id": 0, "name": "player"}]
    for index, box in enumerate(content["annotations"]):
        number = NUMBERS[int(box["category_id"])]  # type: ignore[call-overload]
        box |= {"category_id": 0, "attributes": {"number": number, "track_id": index % 5, "occluded": False}}
    content["annotations"][3]["attributes"] = {"number": "?"}
    trees.write_json(root / "instances.json", content)
    prepare(root / "instances.json", tmp_path / "out", "--fractions=0.5,0.5,0")
    found = read_index(tmp_path / "out").splits.values()
    assert sum(len(split) for split in found) == 24
    assert sum(split.illegible for split in found) == 1
    tracklets = [set(filter(None, split.tracklets)) for split in found]
    assert set.union(*tracklets) == set("01234")
    assert not set.intersection(*tracklets)


def bad_coco(root: Path) -> None:
    """Writes an export with 24 good train boxes and others that cannot be used."""
    exports.coco(root)
    file = root / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["categories"].append({"id": 9, "name": "referee"})
    content["images"] += [
        {"id": 90, "file_name": "../../secret.png"},
        {"id": 91, "file_name": "/etc/passwd"},
        {"id": 92, "file_name": "lost.png"},
        {"id": 93, "file_name": "broken.png"},
        {"id": 94, "file_name": "frame0.png", "width": 640, "height": 480},
        {"id": 95},
        "no entry",
    ]
    (root / "train" / "broken.png").write_bytes(b"no image")
    good = {"image_id": 0, "category_id": 0, "bbox": [0, 0, 16, 16]}
    bad = [
        *({"image_id": image} for image in (90, 91, 92, 93, 94, 95, 96)),
        {"category_id": 9},
        {"category_id": 77},
        *(
            {"bbox": box}
            for box in (
                [0, 0, 0, 16], [0, 0, 16, -1], [64, 0, 16, 16], [-16, 0, 16, 16], [0, 0, 7, 16], [60, 0, 16, 16],
[0, 0, 16], None, "0 0 16 16", [0, 0, "x", 1], [0, 0, float("nan"), 16], [1e400, 0, 16, 16],
                [10**400, 0, 1, 1],
            )
        ),
        {"attributes": {"track_id": "a\nb"}},
        {"attributes": {"track_id": [1]}},
        {"attributes": {"number": 7, "jersey": 8}},
    ]  # fmt: skip
    content["annotations"] += [good | each for each in bad] + ["no annotation", None]
    trees.write_json(file, content)


def test_boxes_that_cannot_be_used_are_counted_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "set"
    bad_coco(root)
    prepare(root, tmp_path / "out")
    output = capsys.readouterr().out
    table = output.partition("Boxes not used")[2].partition("\n\n")[0].splitlines()[1:]
    counted = {line.split("  ")[0]: int(line.split("  ", 1)[1].split()[0]) for line in table}
    assert counted == {
        BoxReason.NOT_A_BOX: 9,
        BoxReason.NO_IMAGE: 3,
        BoxReason.OUTSIDE_SOURCE: 2,
        BoxReason.BAD_TRACKLET: 2,
        BoxReason.NO_NUMBER: 3,
        BoxReason.BAD_IMAGE: 1,
        BoxReason.OTHER_SIZE: 1,
        BoxReason.EMPTY: 2,
        BoxReason.OUTSIDE: 2,
        BoxReason.TINY: 2,
    }
    boxes = len(json.loads((root / "train" / "_annotations.coco.json").read_text(encoding="utf-8"))["annotations"])
    assert len(read_index(tmp_path / "out").splits["train"]) == 24 == boxes - sum(counted.values())
    assert audit_code(tmp_path / "out") == 0
    assert "image that does not exist or cannot be decoded  1      train/broken.png" in output


def test_faulty_lines_of_yolo_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = exports.yolo(tmp_path / "set")
    labels = root / "train" / "labels"
    with (labels / "frame0.txt").open("a", encoding="utf-8") as file:
        file.write(
            "\n0 0.5 0.5 0.25\n9 0.5 0.5 0.25 1\nx 0.5 0.5 0.25 1\n0 nan 0.5 0.25 1\n0 2 0.5 0.25 1\n0 0.5 0.5 0 1\n"
        )
    (labels / "lost.txt").write_text("0 0.5 0.5 0.25 1\n", encoding="utf-8")
    edited("data.yaml", "'23'", "'23', person")(root)
    with (labels / "frame1.txt").open("a", encoding="utf-8") as file:
        file.write("4 0.5 0.5 0.25 1\n")
    prepare(root, tmp_path / "out")
    source = read_source(root, data_format=None)
    reasons = Counter(reason for _, reason in source.unused_boxes)
    assert reasons == {BoxReason.NOT_A_BOX: 4, BoxReason.NO_IMAGE: 1, BoxReason.NO_NUMBER: 1}
    output = capsys.readouterr().out
    assert f"{BoxReason.OUTSIDE}  " in output
    assert f"{BoxReason.EMPTY}  " in output
    assert len(read_index(tmp_path / "out").splits["train"]) == 24
    assert "train/labels/lost.txt" in output


def test_the_names_of_a_yolo_export_are_in_its_root_and_another_file_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exports.yolo(tmp_path / "set")
    (tmp_path / "set" / "train" / "args.yaml").write_text("imgsz: 640\n", encoding="utf-8")
    prepare(tmp_path / "set", tmp_path / "out")
    assert set(read_index(tmp_path / "out").splits["train"].counts()) == set(NUMBERS)
    table = capsys.readouterr().out.partition("Files not used")[2].partition("\n\n")[0].splitlines()[1:]
    assert [line.split() for line in table] == [["not", "an", "image", "1", "train/args.yaml"]]


SIDE = st.floats(-200, 400, allow_nan=False)


@example(left=10, top=10, width=MIN_SIDE_PX, height=MIN_SIDE_PX, margin=0, is_relative=False)  # just large enough
@given(left=SIDE, top=SIDE, width=SIDE, height=SIDE, margin=st.floats(0, 1), is_relative=st.booleans())
def test_a_region_lies_in_the_image_and_contains_the_visible_part_of_its_box(
    left: float, top: float, width: float, height: float, margin: float, is_relative: bool
) -> None:
    unit = (120, 80) if is_relative else (1, 1)
    box = Box(left / unit[0], top / unit[1], width / unit[0], height / unit[1], is_relative)
    found = region(box, 120, 80, margin)
    visible = (min(left + width, 120) - max(left, 0), min(top + height, 80) - max(top, 0))
    if isinstance(found, BoxReason):
        assert width <= 0 or height <= 0 or min(visible) < MIN_SIDE_PX
        return
    assert min(visible) > MIN_SIDE_PX - 0.1
    first, upper, last, lower = found
    assert 0 <= first < last <= 120
    assert 0 <= upper < lower <= 80
    assert first <= max(left, 0) + 0.1
    assert last >= min(left + width, 120) - 0.1
    assert first >= max(left - margin * width, 0) - 1.1
    assert last <= min(left + width + margin * width, 120) + 1.1


def test_a_margin_is_added_on_each_side_as_far_as_the_image_reaches(tmp_path: Path) -> None:
    prepare(exports.coco(tmp_path / "set"), tmp_path / "out", "--margin=0.5")
    widths = Counter(Image.open(path).width for path in read_index(tmp_path / "out").splits["train"].paths)
    assert widths == {SIZE_PX * 1.5: 12, SIZE_PX * 2: 12}  # at an edge of the frame, and between others


def test_crops_of_a_rotated_photograph_are_upright(tmp_path: Path) -> None:
    root = exports.yolo(tmp_path / "set")
    path = root / "train" / "images" / "frame0.png"
    upright = decode(path)
    exif = Image.Exif()
    exif[0x0112] = 8  # stored rotated, so that the stored size is not that of the labels
    Image.fromarray(np.rot90(upright, -1).copy()).save(path, exif=exif)
    assert np.array_equal(decode(path), upright)
    prepare(root, tmp_path / "out")
    found = {decode(each).tobytes() for each in read_index(tmp_path / "out").splits["train"].paths}
    assert {pixels(index).tobytes() for split, _, _, index in crops() if split == "train"} == found


NAMES = {0: "0", 1: "00", 2: "7"}


@pytest.mark.parametrize(
    "text",
    [
        "names: ['0', '00', '7']",
        'names: ["0", "00", "7"]  # three',
        "names: [0, 00, 7,]",
        "names:\n- '0'\n- \"00\"\n- 7\n",
        "train: x\nnames:\n  - 0\n  - 00  # double zero\n\n  # a comment\n  - 7\nnc: 3\n",
        "names:\n  0: '0'\n  1: 00\n  2: 7\nnc: 3",
        "names: {0: '0', 1: '00', 2: '7'}",
        "names: [\n  '0',\n  '00', '7'\n]\nnc: 3",
        "names:\n  [ '0', '00',\n    '7' ]\n",
        "path: ../x\r\nnames:\r\n  0: 0\r\n  1: 00\r\n  2: 7\r\n",
        "\ufeffnames: ['0', '00', '7']",
    ],
)
def test_the_names_of_categories_are_read_as_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_bytes(text.encode())
    assert read_names(tmp_path / "data.yaml") == NAMES


def test_quoted_names_keep_commas_hashes_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: ['a, b', 'it''s # 7', \"c: d\", e f]", encoding="utf-8")
    assert read_names(tmp_path / "data.yaml") == {0: "a, b", 1: "it's # 7", 2: "c: d", 3: "e f"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nc: 3",
        "names:",
        "names: 7",
        "names: []",
        "names: ['0', '00'",
        "names: ['0', '00",
        "names: [[0], 1]",
        "names: &all ['0']",
        "names: *all",
        "names: |\n  0\n  1",
        "names:\n  - 0\n  1: 1",
        "names: {0: a, 0: b}",
        "names: {a: 0}",
        "names: ['0',, '7']",
        "names: !!set {0}",
        "names: [" + "'" * 5001,
        "namespace: ['0']",
    ],
)
def test_other_forms_are_refused_with_an_example(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"write them as names: \['0', '00', '23'\]"):
        read_names(tmp_path / "data.yaml")
