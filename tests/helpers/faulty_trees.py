"""The trees of `tests/data/test_data_trees.py`: every kind of oddity that people's folders have, and its cousins."""

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from helpers import data_trees as trees
from helpers import detection_exports
from helpers.data_trees import EACH, NUMBERS, Tree, crops, move_number, remove, rename_suffixes, save

GAMES = (("0", "1"), ("00", "2"), ("7", "3"), ("23", "4"))  # the folder of a game that gets the crops of each number
SEVEN = next(index for split, number, _, index in crops() if number == "7")  # the first crop of train/7
Change = Callable[[Path], object]


def changed(base: Callable[[Path], object], *changes: Change) -> Change:
    """Returns a function that writes a good tree and then changes it."""

    def make(root: Path) -> None:
        base(root)
        for change in changes:
            change(root)

    return make


def plain(*changes: Change) -> Change:
    return changed(trees.folders, *changes)


def rows_changed(base: Callable[[Path], object], file: str, change: Callable[[list[str]], list[str]]) -> Change:
    """Returns a function that writes a good tree and then changes the lines of a label file of train."""

    def edit(root: Path) -> None:
        path = root / file
        path.write_text("".join(change(path.read_text(encoding="utf-8").splitlines(keepends=True))), encoding="utf-8")

    return changed(base, edit)


def replaced(old: str, new: str, *, count: int = 1_000) -> Callable[[list[str]], list[str]]:
    return lambda lines: [line.replace(old, new) if index < count else line for index, line in enumerate(lines)]


def edited(path: str, old: str, new: str, *, count: int = -1, encoding: str = "utf-8") -> Change:
    """Replaces text in a file."""

    def change(root: Path) -> None:
        text = (root / path).read_text(encoding="utf-8")
        assert old in text
        (root / path).write_text(text.replace(old, new, count), encoding=encoding)

    return change


def write(path: str, content: bytes = b"x") -> Change:
    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)

    return change


def image(path: str, index: int = 900, kind: str = "PNG") -> Change:
    return lambda root: save(root / path, index, kind)


def renamed(old: str, new: str) -> Change:
    def change(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return change


def removed(path: str) -> Change:
    return lambda root: remove(root / path)


def link(path: str, target: str) -> Change:
    """Links `path` to `target`, both relative to the root."""

    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(os.path.relpath(root / target, (root / path).parent))

    return change


def use(**settings: str) -> Callable[[Path], dict[str, str]]:
    return lambda root: settings


def do(*changes: Change) -> Callable[[Path], None]:
    def remedy(root: Path) -> None:
        for change in changes:
            change(root)

    return remedy


def suffix_trees() -> list[Tree]:
    kinds = [
        (".jfif", "JPEG"),
        (".jpe", "JPEG"),
        (".JPG", "JPEG"),
        (".ppm", "PPM"),
        (".pgm", "PPM"),
        (".mpo", "JPEG"),
        (".avif", "AVIF"),
        (".AVIF", "AVIF"),
        (".jp2", "JPEG2000"),
        ("", "JPEG"),
        (".img", "PNG"),
        (".txt", "WEBP"),
        (".heic", "JPEG"),
        (".dib", "BMP"),
        (".TIFF", "TIFF"),
    ]
    found = [
        Tree(f"suffix {suffix or 'none'}", plain(partial(rename_suffixes, suffix=suffix, kind=kind)))
        for suffix, kind in kinds
    ]
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    one_heic = write("train/23/photo.heic", heic)
    all_heic = [write(f"train/23/{index}.HEIC", heic) for index in range(3)]
    return [
        *found,
        Tree("one HEIC", plain(one_heic), said=["pip install pillow-heif"]),
        Tree("a video", plain(write("train/23/game.mp4")), said=["Files not used", "train/23/game.mp4"]),
        Tree("an SVG", plain(write("val/23/game.svg")), said=["convert it to PNG", "val/23/game.svg"]),
        Tree(
            "only HEIC",
            plain(removed("train/23"), *all_heic),
            refused="train/23 has no image that can be used (3 of its 3 files: HEIC image",
            remedy=do(removed("train/23"), removed("val/23"), removed("test/23")),
        ),
        Tree(
            "only HEIC in val",
            plain(removed("val/23"), *(write(f"val/23/{each}.heic", heic) for each in "ab")),
            refused="val/23 has no image that can be used",
            remedy=do(removed("val/23")),
        ),
        Tree(
            "only videos",
            plain(removed("train/7"), write("train/7/a.mp4")),
            refused="train/7 has no image that can be used",
            remedy=do(removed("train/7"), removed("val/7"), removed("test/7")),
        ),
    ]


def label_trees() -> list[Tree]:
    illegible: list[Tree] = [
        Tree(
            f"folder {name}",
            plain(partial(move_number, number="00", name=name)),
            train=18,
            labels=("0", "7", "23"),
            said=[f'"{name}" is read as illegible'],
        )
        for name in ("-1", "Unreadable", "Unknown", "none", "NULL", "nan", "?")
    ]
    rows = "train/annotations.jsonl"
    cells = [
        Tree(
            f"suffix {cell}",
            rows_changed(trees.jsonl, rows, replaced('"suffix": "00"', f'"suffix": {cell}', count=8)),
            train=22,
            said=[f'"{written}" is read as illegible (2 images)'] if written else [],
        )
        for cell, written in (
            ('"-1"', "-1"),
            ("null", "null without quotes"),
            ("-1", "-1 without quotes"),
            ('""', ""),
            ('"Illegible"', "Illegible"),
            ("NaN", "NaN without quotes"),
        )
    ]
    return [
        *illegible,
        *cells,
        Tree(
            "7.0 in two rows",
            rows_changed(trees.jsonl, rows, replaced('"suffix": "7"', '"suffix": "7.0"', count=14)),
            said=['"7.0" is read as 7 (2 images)'],
        ),
        Tree(
            "numbers without quotes",
            rows_changed(trees.jsonl, rows, replaced('"suffix": "7"', '"suffix": 7')),
            said=['"7 without quotes" is read as 7 (6 images)'],
        ),
        Tree("folder 7.0", plain(renamed("train/7", "train/7.0")), said=['"7.0" is read as 7 (6 images)']),
        Tree(
            "CSV 7.0",
            rows_changed(trees.csv_in_splits, "train/labels.csv", replaced(",7", ",7.0")),
            said=['"7.0" is read as 7 (6 images)'],
        ),
        Tree(
            "a label beside numbers",
            plain(partial(move_number, number="23", name="#23")),
            labels=("0", "7", "00", "#23"),
            said=["'#23' (10 images, perhaps 23)"],
        ),
        Tree(
            "a team beside numbers",
            plain(partial(move_number, number="23", name="referee")),
            labels=("0", "7", "00", "referee"),
            said=["'referee' (10 images)"],
        ),
        Tree(
            "labels that are all names",
            plain(
                *(
                    partial(move_number, number=each, name=f"player {'abcd'[index]}")
                    for index, each in enumerate(NUMBERS)
                )
            ),
            labels=("player a", "player b", "player c", "player d"),
        ),
        Tree(
            "boolean label",
            rows_changed(trees.jsonl, rows, replaced('"suffix": "7"', '"suffix": true')),
            refused="neither text nor a number",
            remedy=do(edited(rows, "true", '"7"')),
        ),
    ]


def label_file_trees() -> list[Tree]:
    games = plain(*(renamed(f"train/{old}", f"train/{new}") for old, new in GAMES))

    def games_with_csv(root: Path) -> None:
        games(root)
        rows: trees.Rows = []
        for old, new in GAMES:
            rows += [{"image": f"{new}/{old}_{index}.png", "label": old} for index in range(6)]
        trees.write_csv(root / "train" / "labels.csv", rows)

    def root_json(root: Path) -> None:
        for index in range(10):
            save(root / "images" / f"{index}.png", index)
        trees.write_json(
            root / "annotations.json",
            [{"image": f"images/{index}.png", "label": str(index % 2)} for index in range(10)],
        )

    def add_splits(root: Path) -> None:
        rows = json.loads((root / "annotations.json").read_text())
        for index, row in enumerate(rows):
            row |= {"split": "train" if index < 8 else "val", "label": str(index % 2)}
        trees.write_json(root / "annotations.json", rows)

    one_row = json.dumps({"file_name": "7/7_0.png", "label": "7"}).encode()
    half = rows_changed(trees.jsonl, "train/annotations.jsonl", lambda lines: lines[::2])
    coco = json.dumps({"images": [], "annotations": [], "categories": []}).encode()
    return [
        Tree(
            "games beside CSV",
            games_with_csv,
            refused="has both one folder per number and CSV rows",
            remedy=use(format="csv"),
        ),
        Tree(
            "stray metadata",
            plain(write("train/metadata.jsonl", one_row)),
            refused="has both one folder per number and JSONL rows",
            remedy=use(format="folders"),
        ),
        Tree(
            "rows and number folders",
            changed(trees.jsonl, image("train/7/extra.png")),
            refused="has both one folder per number and JSONL rows",
            remedy=do(removed("train/7")),
        ),
        Tree(
            "rows and number folders in val",
            changed(trees.csv_in_splits, image("val/0/extra.png")),
            refused="the val split",
            remedy=use(format="csv"),
        ),
        Tree(
            "rows and an illegible folder",
            changed(trees.jsonl, image("test/illegible/extra.png")),
            refused="the test split",
            remedy=use(format="jsonl"),
        ),
        Tree(
            "CSV and JSONL",
            changed(trees.jsonl, write("train/labels.csv", b"image,label\nimages/7_0.png,7\n")),
            refused="has both JSONL rows and CSV rows",
            remedy=use(format="jsonl"),
        ),
        Tree(
            "CSV in the root beside folders",
            plain(write("labels.csv", b"image,label\ntrain/7/7_0.png,7\n")),
            refused="has both one folder per number and CSV rows",
            remedy=do(removed("labels.csv")),
        ),
        Tree(
            "images and annotations.json",
            root_json,
            refused="annotations.json: 10 rows are in no split; add a column `split` with train, val or test, or split "
            "them with `python -m jersey.data.prepare",
            remedy=add_splits,
        ),
        Tree(
            "a stray file in the root",
            plain(write("metadata.jsonl", one_row)),
            refused="metadata.jsonl: 1 row is in no split; add a column `split` with train, val or test, or remove the",
            remedy=do(removed("metadata.jsonl")),
        ),
        Tree(
            "a stray table in the root",
            plain(write("labels.csv", b"image,label\na.png,7\nb.png,7\n")),
            refused="labels.csv: 2 rows are in no split",
            remedy=use(format="folders"),
        ),
        Tree(
            "half of the rows deleted",
            half,
            train=12,
            said=["12 files are not used", "image without a row in a label file"],
        ),
        Tree(
            "a row without an image",
            rows_changed(trees.jsonl, "train/annotations.jsonl", replaced("images/7_0.png", "images/lost.png")),
            refused="does not exist; repair or remove",
        ),
        Tree(
            "a log file of JSON lines",
            plain(write("train/log.jsonl", b'{"step": 1}\n')),
            said=["rows without an image or a label"],
        ),
        Tree("a table of other things", plain(write("players.csv", b"name,height\nA,1.98\n")), said=["players.csv"]),
        Tree(
            "CSV without a column of labels",
            changed(trees.csv_in_splits, write("train/labels.csv", b"image,player\nimages/7_0.png,A\n")),
            refused="name its columns image and label",
        ),
        Tree(
            "two columns of labels",
            changed(trees.csv_in_splits, write("train/labels.csv", b"image,label,number\nimages/7_0.png,A,7\n")),
            refused="'label' and 'number' can both be the label",
        ),
        Tree("semicolons", changed(trees.csv_in_splits, edited("train/labels.csv", ",", ";"))),
        Tree(
            "byte order mark and spaces",
            changed(
                trees.csv_in_splits,
                lambda root: (root / "train/labels.csv").write_text(
                    (root / "train/labels.csv").read_text().replace(",", ", "), encoding="utf-8-sig"
                ),
            ),
        ),
        Tree(
            "COCO",
            detection_exports.coco,
            refused="is a COCO export with boxes in larger images; `python -m jersey.data.prepare",
        ),
        Tree(
            "YOLO",
            detection_exports.yolo,
            refused="is a YOLO export",
        ),
        Tree("Roboflow", trees.roboflow, said=["valid is val", "CSV rows"]),
        Tree("Hugging Face", lambda root: trees.hugging_face(root, ".csv"), said=["CSV rows"]),
        Tree(
            "SoccerNet",
            trees.soccernet,
            train=18,
            labels=("0", "7", "23"),
            said=["SoccerNet tracklets", '"-1" is read as illegible'],
        ),
        Tree("one CSV for all splits", trees.csv_in_root, said=["CSV rows"]),
        *(
            Tree(
                f"labels in {name}",
                plain(write(f"annotations/{name}", content)),
                said=["label file in a sub-folder; move it into the data folder", f"annotations/{name}"],
            )
            for name, content in (
                ("train.csv", b"image,label\ntrain/7/7_0.png,7\n"),
                ("rows.jsonl", one_row),
                ("sub/list.json", b'[{"image": "train/7/7_0.png", "label": "7"}]'),
                ("instances_train.json", coco),
            )
        ),
        Tree("other files in annotations", plain(write("annotations/sizes.csv", b"a,b\n1,2\n")), said=["not an image"]),
        Tree(
            "an unknown split in a row",
            changed(trees.csv_in_root, edited("labels.csv", ",val", ",holdout", count=1)),
            refused="the split 'holdout' is not train, val or test",
        ),
        Tree("a missing format", plain(), said=["one folder per number"]),
        Tree(
            "broken JSON beside folders",
            plain(write("train/notes.json", b"{")),
            said=["no rows that can be read"],
        ),
    ]


def copy_trees() -> list[Tree]:
    """Copies are warnings of audit and run alike; one image with two labels is an error of both."""
    row = '{"image": "images/%s.png", "suffix": "%s"}\n'
    return [
        Tree(
            "a copy in another split",
            plain(image("val/7/copy.png", SEVEN)),
            said=["7 in train and val (2 files, byte for byte)"],
        ),
        Tree(
            "a copy with another number",
            plain(image("train/23/copy.png", SEVEN)),
            train=25,
            said=["7 and 23 in train (2 files, byte for byte)"],
        ),
        Tree(
            "an illegible copy",
            plain(image("test/illegible/copy.png", SEVEN)),
            said=["7 and illegible in train and test (2 files, byte for byte)"],
        ),
        Tree(
            "a copy in rows",
            rows_changed(
                changed(trees.jsonl, image("train/images/copy.png", SEVEN)),
                "train/annotations.jsonl",
                lambda lines: [*lines, row % ("copy", "00")],
            ),
            train=25,
            said=["7 and 00 in train (2 files, byte for byte)"],
        ),
        Tree(
            "an image in the rows of two splits",
            rows_changed(
                trees.jsonl,
                "val/annotations.jsonl",
                lambda lines: [*lines, row.replace("images", "../train/images") % ("7_0", "7")],
            ),
            said=["7 in train and val (one file)"],
        ),
        Tree(
            "an image with two labels",
            rows_changed(trees.jsonl, "train/annotations.jsonl", lambda lines: [*lines, row % ("7_0", "23")]),
            refused="has the labels '7' and '23'; keep the correct one",
            remedy=do(edited("train/annotations.jsonl", row % ("7_0", "23"), "")),
        ),
    ]


def link_trees() -> list[Tree]:
    def outside(root: Path) -> None:
        for index in range(3):
            save(root.parent / "elsewhere" / f"{index}.png", 800 + index)

    return [
        Tree("tracklet linked from outside", plain(outside, link("train/7/tracklet_a", "../elsewhere")), train=27),
        Tree("tracklet linked from the root", plain(image("pool/a/1.png"), link("train/7/a", "pool/a")), train=25),
        Tree(
            "number linked",
            plain(outside, link("train/8", "../elsewhere")),
            train=27,
            labels=("0", "7", "8", "00", "23"),
        ),
        Tree("split linked", plain(renamed("val", "../val_elsewhere"), link("val", "../val_elsewhere"))),
        Tree("loop", plain(link("train/7/loop", "train")), said=["a link into the folder itself"]),
        Tree("link to itself", plain(link("train/7/self", "train/7/self")), said=["a link to nowhere"]),
        Tree("link to a sibling", plain(link("train/7/again", "train/23")), said=["a link into the folder itself"]),
        Tree(
            "rows name images behind a link",
            changed(trees.jsonl, renamed("train/images", "../far"), link("train/images", "../far")),
        ),
        Tree(
            "link to nowhere",
            plain(link("train/7/lost.png", "nowhere.png")),
            refused="does not exist; repair or remove them",
            remedy=do(removed("train/7/lost.png")),
        ),
    ]


def path_trees() -> list[Tree]:
    def absolute(root: Path) -> None:
        trees.jsonl(root)
        path = root / "train/annotations.jsonl"
        path.write_text(path.read_text().replace("images/", f"{root}/train/images/"))

    rows = "train/annotations.jsonl"
    return [
        Tree(
            "backslashes",
            rows_changed(trees.jsonl, rows, replaced("images/", r"images\\")),
            said=["train/annotations.jsonl: \\ is read as / (24 paths)"],
        ),
        Tree(
            "one backslash in a file for all splits",
            changed(trees.csv_in_root, edited("labels.csv", "val/images/7_0", r"val\images\7_0", count=1)),
            said=["labels.csv: \\ is read as / (1 path)"],
        ),
        Tree(
            "backslashes in CSV",
            rows_changed(trees.csv_in_splits, "train/labels.csv", replaced("images/", "images\\")),
            said=["train/labels.csv: \\ is read as / (24 paths)"],
        ),
        Tree("absolute paths inside", absolute),
        Tree(
            "absolute paths outside",
            rows_changed(trees.jsonl, rows, replaced("images/", "/far/images/")),
            refused="lies outside the data folder",
            remedy=do(edited(rows, "/far/images/", "images/")),
        ),  # type: ignore[func-returns-value, return-value]
        Tree(
            "paths of Windows",
            rows_changed(trees.jsonl, rows, replaced("images/", r"C:\\crops\\images\\")),
            refused="is an absolute path of Windows",
            remedy=do(edited(rows, r"C:\\crops\\images\\", "images/")),
        ),  # type: ignore[func-returns-value, return-value]
        Tree("paths of the split", changed(trees.csv_in_root, edited("labels.csv", "train/images/", "images/"))),
    ]


def only_seven(split: str) -> Change:
    """Keeps the rows of 7 only."""

    def change(root: Path) -> None:
        path = root / split / "annotations.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"7"' in line), encoding="utf-8")

    return change


def split_trees() -> list[Tree]:
    def nested(root: Path) -> None:
        trees.folders(root / "crops")

    def unsplit(root: Path) -> None:
        for number in NUMBERS:
            for index in range(3):
                save(root / number / f"{index}.png", 3 * NUMBERS.index(number) + index)

    return [
        *(
            Tree(f"val is {name}", plain(renamed("val", name)), said=[f"{name} is val"])
            for name in ("valid", "validation", "Val", "dev")
        ),
        *(
            Tree(f"train is {name}", plain(renamed("train", name)), said=[f"{name} is train"])
            for name in ("Train", "training")
        ),
        Tree("rows in valid", changed(trees.jsonl, renamed("val", "valid")), said=["valid is val"]),
        Tree(
            "two folders for val",
            plain(image("valid/7/a.png")),
            refused="two folders for val, val and valid",
            remedy=do(removed("valid")),
        ),
        Tree(
            "nested by an archive",
            nested,
            refused="its folder crops has test, train, val; set `root` to",
            remedy=lambda root: {"root": str(root / "crops")},
        ),
        Tree("no splits", unsplit, refused="`python -m jersey.data.prepare"),
        Tree(
            "rows without a split",
            changed(
                trees.csv_in_root,
                renamed("train", "images/a"),
                renamed("val", "images/b"),
                edited("labels.csv", "train/images", "images/a/images"),
                edited("labels.csv", "val/images", "images/b/images"),
                edited("labels.csv", ",train", ","),
            ),
            refused="rows are in no split; add a column `split`",
        ),
        Tree("empty", lambda root: None, refused="it has neither folders nor images"),
        Tree("only a text", write("notes.txt"), refused="it has neither folders nor images"),
        Tree("no test", plain(removed("test")), said=["no test split"]),
        Tree(
            "no val",
            plain(removed("val")),
            refused="has no folder val (it has test, train); `python -m jersey.data.prepare",
        ),
        Tree("no train", plain(removed("train")), refused="has no folder train"),
        Tree(
            "empty test",
            plain(*(removed(f"test/{number}") for number in NUMBERS)),
            refused="remove the folder, as test is optional",
            remedy=do(removed("test")),
        ),
        Tree(
            "a data set beside",
            plain(lambda root: trees.folders(root / "unseen")),
            said=["image of another data set inside this one"],
        ),
        Tree("images beside", plain(image("new/a.png")), said=["image in none of the splits"]),
        Tree(
            "an image beside class folders",
            plain(image("train/a.png")),
            refused="is not in a class folder; move it into one or remove it",
            remedy=do(removed("train/a.png")),
        ),
        Tree("an empty class folder", plain(lambda root: (root / "train/42").mkdir()), said=["train/42 is empty"]),
        Tree("an empty folder of a name", plain(lambda root: (root / "val/ref").mkdir()), said=["val/ref is empty"]),
        Tree("a folder of texts", plain(write("train/docs/license.txt")), said=["not an image"]),
        Tree(
            "a class of texts",
            plain(write("train/42/notes.txt")),
            refused="train/42 has no image that can be used (1 of its 1 files: not an image)",
            remedy=do(removed("train/42")),
        ),
        Tree(
            "a class of a name that vanishes",
            plain(write("train/referee/a.psd")),
            refused="train/referee has no image that can be used",
            remedy=do(removed("train/referee")),
        ),
        Tree(
            "one class",
            plain(*(removed(f"{split}/{number}") for split in EACH for number in ("0", "00", "23"))),
            refused="has fewer than two classes (7)",
        ),
        Tree(
            "one class in rows",
            changed(trees.jsonl, *(only_seven(split) for split in EACH)),
            refused="has fewer than two classes (7)",
        ),
        Tree(
            "an unknown number in val",
            plain(renamed("val/7", "val/8")),
            refused="the val split has labels that the train split lacks: 8",
            remedy=do(removed("val/8")),
        ),
        Tree(
            "a damaged image",
            plain(write("val/7/bad.png", b"no image")),
            refused="is not an image in a supported format",
            remedy=do(removed("val/7/bad.png")),
        ),
        Tree(
            "HEIC called JPEG",
            plain(write("val/7/bad.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")),
            refused="pip install pillow-heif",
            remedy=do(removed("val/7/bad.jpg")),
        ),
    ]


def leftover_trees() -> list[Tree]:
    names: Sequence[str] = (
        "@eaDir/a.png/SYNOPHOTO_THUMB_M.png",
        ".DS_Store",
        "__MACOSX/train/7/._a.png",
        "train/@eaDir/a.png",
        "train/7/@eaDir/a.png",
        "train/7/Thumbs.db",
        "train/7/.DS_Store",
        "train/__MACOSX/7/a.png",
        "train/7/._a.png",
        "train/7/desktop.ini",
        "val/#recycle/a.png",
        "train/.thumbnails/a.png",
    )
    return [Tree(f"leftover {name}", plain(image(name)), said=["Files not used"]) for name in names]


def all_at_once(base: Callable[[Path], object]) -> Change:
    """Returns a function that writes a good tree and adds a file for each reason for which files are not used."""
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    one_row = b"image,label\ntrain/7/7_0.png,7\n"
    return changed(
        base,
        *(image(name) for name in ("@eaDir/a.png", "train/@eaDir/a.png", "train/.thumbnails/a.png", "new/a.png")),
        *(write(name) for name in (".DS_Store", "train/Thumbs.db", "read me.txt", "train/game.mp4", "val/game.svg")),
        *(write(f"train/{index}.heic", heic) for index in range(2)),
        write("players.csv", b"name,height\nA,1.98\n"),
        write("annotations/train.csv", one_row),
        write("notes.json", b"{"),
        link("new/loop", "train"),
        link("train/lost", "nowhere"),
        lambda root: trees.folders(root / "unseen"),
        renamed("val", "valid"),
        removed("test"),
    )


TREES = [
    Tree("folders", trees.folders, said=["one folder per number"]),
    *suffix_trees(),
    *label_trees(),
    *label_file_trees(),
    *copy_trees(),
    *link_trees(),
    *path_trees(),
    *split_trees(),
    *leftover_trees(),
    Tree("all at once in folders", all_at_once(plain(partial(rename_suffixes, suffix=".jfif", kind="JPEG")))),
    Tree(
        "all at once in rows",
        all_at_once(rows_changed(trees.jsonl, "train/annotations.jsonl", lambda lines: lines[::2])),
        train=12,
    ),
]
