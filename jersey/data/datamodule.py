"""Turns a root folder into batches: index, label map, decoding, and the loaders of the splits.

All splits are processed alike and deterministically; only the order of the train crops is random. Augmentation is not
part of this module: the training step applies it, on the device.
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import lightning as L
import numpy as np
import torch
from torch.utils.data import Sampler, SequentialSampler

from jersey.core.distributed import rank, rank_zero_first, world_size
from jersey.core.errors import UserError, plural
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_INDEX
from jersey.data.cache import DecodedCrops, Preprocessing, load_crops
from jersey.data.files import expand_home, is_folder
from jersey.data.index import read_index
from jersey.data.label_files import Format
from jersey.data.loader import BatchLoader, InMemorySplit, batch_size_error
from jersey.data.problems import OnBadImage, Skipped, bad_images_error, drop_rows, summarize_bad
from jersey.data.resize import ResizeMode, resize_image
from jersey.data.same_data import data_sha256, require_same_everywhere
from jersey.data.sampler import BalancedSampler
from jersey.data.split import Illegible, Split, label_map, missing_labels, select_illegible, take_per_label
from jersey.data.supplement import SyntheticSupplement

log = logging.getLogger(__name__)

OutsideLinks = Literal["follow", "error"]


class JerseyDataModule(L.LightningDataModule):
    """The crops under one root, in two or three splits with one label map.

    Args:
        root: folder with `train/`, `val/` and perhaps `test/`, in any layout (see `jersey.data.layout`).
        seed: seed of the train order.
        size_px: height and width of the network's input.
        resize_mode: "stretch" or "letterbox", for crops of other shapes.
        batch_size: crops per training step, over all processes; at most as many as the train split has.
        eval_batch_size: crops per validation or test step, over all processes.
        sampler_power: 0 for a plain shuffle, up to 1 for equally frequent classes.
        cache: folder for the decoded crops, absolute or relative to the root, where later runs find them; None keeps
            them in memory only.
        labels: names of the label map in order; None takes those of the train split.
        overfit_batch: whether every training batch holds the same crops, to check that they can be memorized.
        generate: function of the root that creates a missing data set before it is read; None for real data.
        generated_root: the only root that `generate` may create, so that a wrong path to real data is an error; None
            for any.
        supplement: source of additional synthetic train crops of rare numbers.
        on_bad_image: "error" refuses a data set with unusable images, "skip" excludes them from every split.
        illegible: "train" trains the network to be unconfident on illegible crops, and scores this on val and test;
            "score" only scores it; "drop" excludes all illegible crops.
        format: how the splits are labeled, if their files can be understood in two ways: "folders", "jsonl", "csv",
            "json" or "soccernet".
        outside_links: "follow" reads files outside the root that links in it lead to, "error" refuses them.
        crops_per_label: maximum number of train crops of each label, sampled with the seed, to measure what fewer crops
            would give; None uses all.

    Attributes:
        labels: label map of all splits; all these attributes are filled by `setup`.
        index: files of the data set, those included that are not used.
        splits: rows of each split by its name, without skipped and excluded ones; "test" may be absent.
        skipped: rows with unusable images that each split lacks.
        image_meta: IMAGE_META [N] of the rows of each split.
        decoded: images and class indices of each split.
        train_sampler: sampler of the train order.

    Raises:
        UserError: the data set is faulty (from `setup`), or the batch size does not suit the train split or the number
            of processes (from `train_dataloader`).
    """

    def __init__(
        self,
        root: str,
        *,
        seed: int,
        size_px: tuple[int, int] = (224, 224),
        resize_mode: ResizeMode = "stretch",
        batch_size: int = 64,
        eval_batch_size: int = 256,
        sampler_power: float = 0.0,
        cache: str | None = None,
        labels: tuple[str, ...] | None = None,
        overfit_batch: bool = False,
        generate: Callable[[Path], None] | None = None,
        generated_root: str | None = None,
        supplement: SyntheticSupplement | None = None,
        on_bad_image: OnBadImage = "error",
        illegible: Illegible = "train",
        format: Format | None = None,
        outside_links: OutsideLinks = "follow",
        crops_per_label: int | None = None,
    ) -> None:
        super().__init__()
        self.root = Path(expand_home(root))
        self.seed = seed
        self.size_px = size_px
        self.resize_mode: ResizeMode = resize_mode
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.sampler_power = sampler_power
        self.cache = cache
        self.pinned_labels = labels
        self.overfit_batch = overfit_batch
        self.generate = generate
        self.generated_root = None if generated_root is None else Path(expand_home(generated_root))
        self.supplement = supplement
        self.on_bad_image = on_bad_image
        self.illegible: Illegible = illegible
        self.format: Format | None = format
        self.outside_links = outside_links
        self.crops_per_label = crops_per_label
        self.splits: dict[str, Split] = {}
        self.skipped: dict[str, list[Skipped]] = {}
        self.image_meta: dict[str, np.ndarray] = {}
        self.decoded: dict[str, InMemorySplit] = {}
        self._train: BatchLoader | None = None
        self._resumed: dict[str, int] | None = None

    def prepare_data(self) -> None:
        """Generates a missing synthetic data set; Lightning calls this, too, once per machine."""
        if self.generate is None:
            return
        if self.generated_root in (None, self.root):
            self.generate(self.root)
        elif not is_folder(self.root):
            what = f"there is no data folder {self.root}, and crops are only generated in {self.generated_root}"
            raise UserError(f"{what}; correct data.root, or leave it out")

    def setup(self, stage: str | None = None) -> None:
        """Reads and decodes all splits in the first call; later calls (one per Lightning stage) do nothing."""
        if self.decoded:
            return
        index = self._read_index()
        self.labels = label_map(index, self.pinned_labels)
        crops = self._decode(index)
        bad = [problem for of_split in crops.values() for problem in of_split.bad.values()]
        if bad and self.on_bad_image == "error":
            raise bad_images_error(bad, images=sum(map(len, index.values())), root=self.root)
        for name, split in index.items():
            self._add_split(split, crops[name])
        require_same_everywhere(self.splits, self.image_meta, self.root)
        for name, split in self.splits.items():
            if absent := missing_labels(split, self.labels):
                log.warning("%s has no crops of %s; its metrics do not cover them", name, ", ".join(absent))
        self.train_sampler = BalancedSampler(
            self.decoded["train"].labels_N.tolist(),
            power=self.sampler_power,
            seed=self.seed,
            overfit_indices=self.batch_size if self.overfit_batch else None,
        )

    def _read_index(self) -> dict[str, Split]:
        self.index = read_index(self.root, data_format=self.format)
        if self.outside_links == "error" and (linked := self.index.linked):
            where = f"{linked[0]} leads to {os.path.realpath(linked[0])}"
            what = f"{plural(len(linked), 'link')} in {self.root} to files outside it, such as {where}"
            raise UserError(f"{what}; replace them with copies, or set data.outside_links=follow")
        for warning in self.index.all_warnings:
            log.warning("%s", warning)
        complete = self.index.splits
        index = select_illegible(complete, self.illegible)
        excluded = {name: len(split) - len(index[name]) for name, split in complete.items()}
        if counts := ", ".join(f"{count} of {name}" for name, count in excluded.items() if count):
            log.info("data.illegible=%s excludes illegible crops: %s", self.illegible, counts)
        if self.crops_per_label is not None:
            whole = index["train"]
            index["train"] = take_per_label(whole, self.crops_per_label, seed=self.seed)
            kept = f"{len(index['train']):,} of {len(whole):,} train crops"
            log.info("data.crops_per_label=%d keeps %s", self.crops_per_label, kept)
        if self.supplement is not None:
            with rank_zero_first():
                self.supplement.generate(index["train"])
            index["train"] = self.supplement.added_to(index["train"])
        return index

    def _decode(self, index: Mapping[str, Split]) -> dict[str, DecodedCrops]:
        height_px, width_px = self.size_px
        resize = partial(resize_image, height_px=height_px, width_px=width_px, mode=self.resize_mode)
        preprocessing = Preprocessing(resize=resize, size_px=self.size_px, settings=self.resize_mode)
        folder = None if self.cache is None else self.root / expand_home(self.cache)
        if folder is None and (count := world_size()) > 1:
            log.warning("each of %d processes decodes all crops; data.cache lets a machine decode them once", count)
        return load_crops({name: split.paths for name, split in index.items()}, preprocessing, folder=folder)

    def _add_split(self, split: Split, crops: DecodedCrops) -> None:
        name = split.name
        self.splits[name] = drop_rows(split, crops.bad)
        self.skipped[name] = [Skipped(split.labels[row], problem) for row, problem in crops.bad.items()]
        if crops.bad:
            examples = summarize_bad([*crops.bad.values()])
            log.warning("%s skips %d of its %d images: %s", name, len(crops.bad), len(split), examples)
        index_of = {**self.labels.class_to_idx, ILLEGIBLE: ILLEGIBLE_INDEX}
        class_indices = [index_of[label] for label in self.splits[name].labels]
        self.image_meta[name] = crops.image_meta_N
        self.decoded[name] = InMemorySplit(torch.from_numpy(crops.images_NCHW), torch.tensor(class_indices))

    @property
    def class_counts(self) -> list[int]:
        """Number of train crops of each class, in label order."""
        counts = self.splits["train"].counts()
        return [counts.get(name, 0) for name in self.labels.names]

    @cached_property
    def sha256(self) -> str:
        """Hash of the labels and image contents of all splits, after `setup`."""
        return data_sha256(self.splits, self.image_meta)

    def check_batch_size(self) -> None:
        """Raises UserError if the batch size does not suit the train split or the number of processes."""
        size = len(self.decoded["train"])
        if size < self.batch_size:
            raise UserError(
                f"data.batch_size={self.batch_size} exceeds the {size} train crops in {self.root}; lower it"
            )
        if problem := batch_size_error(self.batch_size, world_size()):
            raise UserError(problem)

    def train_dataloader(self) -> BatchLoader:
        self.check_batch_size()
        # A last batch of one or two crops would be useless for batch normalization.
        self._train = self._loader("train", self.train_sampler, batch_size=self.batch_size, drop_last=True)
        if self._resumed is not None:
            self._train.load_state_dict(self._resumed)
            self._resumed = None  # a later fit starts from the beginning
        return self._train

    def state_dict(self) -> dict[str, int]:
        """Returns the position in the epoch. A loader cannot restore it: it is created before a checkpoint is read."""
        return self._train.state_dict() if self._train else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Keeps the position for the next train loader."""
        self._resumed = state_dict

    def val_dataloader(self) -> BatchLoader:
        return self._loader("val", SequentialSampler(self.decoded["val"]), batch_size=self.eval_batch_size)

    def test_dataloader(self) -> BatchLoader:
        """Returns the loader of the test split, which must exist."""
        return self._loader("test", SequentialSampler(self.decoded["test"]), batch_size=self.eval_batch_size)

    def _loader(self, name: str, sampler: Sampler[int], *, batch_size: int, drop_last: bool = False) -> BatchLoader:
        return BatchLoader(
            self.decoded[name],
            sampler,
            batch_size=batch_size,
            device=self.trainer.strategy.root_device if self.trainer else torch.device("cpu"),
            drop_last=drop_last,
            rank=rank(),
            processes=world_size(),
        )
