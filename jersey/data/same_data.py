"""The hash of a data set, and the refusal of data that differ between the processes of a distributed run.

Each machine reads its own disk, and a batch is divided by the indices of rows. If these rows were other crops on
another machine, some crops would be trained twice and others never, without any error.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jersey.core.distributed import all_gather, broadcast, rank, world_size
from jersey.core.errors import UserError, plural
from jersey.data.split import Split, relative_name


def data_sha256(splits: Mapping[str, Split], image_meta: Mapping[str, np.ndarray]) -> str:
    """Returns the hash of the labels and image contents in split order; file names do not affect it.

    Args:
        splits: splits by name.
        image_meta: IMAGE_META [N] of the rows of each split.
    """
    digest = hashlib.sha256()
    for name, split in splits.items():
        digest.update(f"{name} {len(split)}\n".encode())
        for label, content in zip(split.labels, image_meta[name]["digest"], strict=True):
            digest.update(json.dumps(label).encode() + content.tobytes())
    return digest.hexdigest()


def require_same_everywhere(splits: Mapping[str, Split], image_meta: Mapping[str, np.ndarray], root: Path) -> None:
    """Compares labels and contents of the images in all processes, every one of which has to call it.

    Args:
        splits: splits by name.
        image_meta: IMAGE_META [N] of the rows of each split.
        root: folder of the data set on this machine.

    Raises:
        UserError: the data of a process differ from those of rank zero; all processes raise the same error.
    """
    if world_size() == 1:
        return
    if len(set(all_gather(data_sha256(splits, image_meta)))) == 1:
        return
    images = {
        f"{relative_name(path, root)} in {name}": (label, digest)
        for name, split in splits.items()
        for path, label, digest in zip(split.paths, split.labels, image_meta[name]["digest"].tolist(), strict=True)
    }
    found = all_gather(_difference(images, broadcast(images), root))
    raise UserError(f"{next(filter(None, found))}; copy the data set, so that it is the same on all machines")


def _difference(mine: Mapping[str, object], expected: Mapping[str, object], root: Path) -> str:
    """Describes how the images of this process, by name, differ from those of rank zero; returns "" if they do not."""
    names = sorted(name for name in mine.keys() | expected.keys() if mine.get(name) != expected.get(name))
    if not names:
        return ""
    first, here = names[0], f"rank {rank()} ({platform.node()}, {root})"
    if first in mine and first in expected:
        what = f"{first} has another label or content on {here} than on rank 0"
    else:
        what = f"{first} can be used on {'rank 0' if first in expected else here} only"
    return f"{plural(len(names), 'image')} differ between processes; the first, {what}"
