"""The crops of `helpers.data_trees` as boxes in larger images, as detection tools export them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from helpers.data_trees import EACH, NUMBERS, SIZE_PX, crops, pixels, write_json
from PIL import Image

FRAME_PX = (SIZE_PX * 4, SIZE_PX)  # four crops side by side, width and height


def frames(split: str) -> Iterator[tuple[str, list[tuple[str, int]], np.ndarray]]:
    """Yields the name, the number and left edge of each crop, and the pixels [H,W,3] of each frame of a split."""
    of_split = [(number, index) for each, number, _, index in crops() if each == split]
    for frame, position in enumerate(range(0, len(of_split), 4)):
        part = of_split[position : position + 4]
        boxes = [(number, SIZE_PX * column) for column, (number, _) in enumerate(part)]
        yield f"frame{frame}.png", boxes, np.concatenate([pixels(index) for _, index in part], axis=1)


def save_frame(path: Path, pixels_HW3: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels_HW3).save(path)


def coco_content(split: str, folder: Path) -> dict[str, list[dict[str, object]]]:
    """Writes the frames of a split to a folder, and returns the COCO file that has their boxes."""
    categories = [{"id": index, "name": number} for index, number in enumerate(NUMBERS)]
    content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": categories}
    for image_id, (name, boxes, pixels_HW3) in enumerate(frames(split)):
        save_frame(folder / name, pixels_HW3)
        width, height = FRAME_PX
        content["images"].append({"id": image_id, "file_name": name, "width": width, "height": height})
        for number, left in boxes:
            box = {"image_id": image_id, "category_id": NUMBERS.index(number), "bbox": [left, 0, SIZE_PX, SIZE_PX]}
            content["annotations"].append(box)
    return content


def coco(root: Path) -> Path:
    """Writes the export of Roboflow, with a COCO file beside the images of each split."""
    for split in EACH:
        write_json(root / split / "_annotations.coco.json", coco_content(split, root / split))
    return root


def coco_apart(root: Path) -> Path:
    """Writes the layout of COCO itself, with all COCO files in one folder."""
    (root / "annotations").mkdir(parents=True)
    for split in EACH:
        content = coco_content(split, root / f"{split}2017")
        write_json(root / "annotations" / f"instances_{split}2017.json", content)
    return root


def yolo(root: Path) -> Path:
    """Writes `<split>/images`, `<split>/labels` and `data.yaml`."""
    for split in EACH:
        for name, boxes, pixels_HW3 in frames(split):
            save_frame(root / split / "images" / name, pixels_HW3)
            lines = [f"{NUMBERS.index(number)} {(left + 8) / 64:.6f} 0.5 0.25 1\n" for number, left in boxes]
            text = root / split / "labels" / Path(name).with_suffix(".txt")
            text.parent.mkdir(exist_ok=True)
            text.write_text("".join(lines), encoding="utf-8")
    names = ", ".join(repr(number) for number in NUMBERS)
    (root / "data.yaml").write_text(f"train: train/images\nnc: 4\nnames: [{names}]\n", encoding="utf-8")
    return root


def yolo_by_kind(root: Path) -> Path:
    """Writes `images/<split>`, `labels/<split>` and `data.yaml`."""
    yolo(root)
    for kind in ("images", "labels"):
        (root / kind).mkdir()
        for split in EACH:
            (root / split / kind).rename(root / kind / split)
    for split in EACH:
        (root / split).rmdir()
    return root
