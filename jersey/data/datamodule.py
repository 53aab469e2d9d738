"""From a root folder to batches: index, label map, decoding once, and the loaders of the three splits.

Every split takes the same deterministic way; nothing here is random but the order of the train crops. Augmentation is
not here at all: the training step calls it, on the device.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch.utils.data import Sampler, SequentialSampler

from jersey.core.distributed import rank, rank_zero_first, world_size
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_INDEX, SPLITS
from jersey.data.cache import DecodedCrops, Preprocessing, load_crops
from jersey.data.index import read_splits
from jersey.data.loader import BatchLoader, InMemorySplit, uneven_share
from jersey.data.problems import OnBadImage, Skipped, bad_images_error, drop_rows, summarize_bad
from jersey.data.resize import ResizeMode, resize
from jersey.data.sampler import BalancedSampler
from jersey.data.split import Illegible, Split, label_map, missing_labels, select_illegible
from jersey.data.supplement import SyntheticSupplement

log = logging.getLogger(__name__)


class JerseyDataModule(L.LightningDataModule):
    """The crops under one root, in three splits with one label map.

    Args:
        root: folder with `train/`, `val/` and `test/`, in either layout (see `jersey.data.index`).
        seed: of the train order.
        size_px: height and width of the network's input.
        resize_mode: how crops of other shapes are brought to that size.
        batch_size: crops a training step, of all processes together.
        eval_batch_size: crops a validation or test step, likewise.
        sampler_power: 0 for a plain shuffle, up to 1 for equally frequent classes.
        cache: folder for the decoded crops, which later runs then find, relative to the root or absolute; None keeps
            them in memory alone.
        labels: the label map's names in order; None takes those of the train split.
        overfit_batch: every training batch holds the same crops, to see whether they can be learnt by heart.
        generate: called with the root before it is read, to make a data set that is not there yet.
        supplement: draws more train crops of rare numbers.
        on_bad_image: "error" a data set with images that cannot be used, or "skip" those in every split.
        illegible: "train" towards no number with the crops that nobody can read, and score how unsure the network is
            of those in val and test; "score" these alone; "drop" all of them.

    Raises:
        UserError: whatever is wrong with the files, from `setup`.
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
        supplement: SyntheticSupplement | None = None,
        on_bad_image: OnBadImage = "error",
        illegible: Illegible = "train",
    ) -> None:
        super().__init__()
        self.root = Path(root)
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
        self.supplement = supplement
        self.on_bad_image = on_bad_image
        self.illegible: Illegible = illegible
        self.splits: dict[str, Split] = {}
        self.skipped: dict[str, list[Skipped]] = {}
        self.image_meta: dict[str, np.ndarray] = {}
        self.decoded: dict[str, InMemorySplit] = {}
        self._train: BatchLoader | None = None
        self._resumed: dict[str, int] | None = None

    def prepare_data(self) -> None:
        """Draws a data set that is to be drawn; Lightning calls this too, once a machine."""
        if self.generate is not None:
            self.generate(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Reads and decodes all splits at the first call; later calls (one a Lightning stage) find it done."""
        if self.decoded:
            return
        index = self._index()
        self.labels = label_map(index, self.pinned_labels)
        crops = self._crops(index)
        bad = [problem for of_split in crops.values() for problem in of_split.bad.values()]
        if bad and self.on_bad_image == "error":
            raise bad_images_error(bad, images=sum(map(len, index.values())), root=self.root)
        for name, split in index.items():
            self._keep(split, crops[name])
        for name, split in self.splits.items():
            if absent := missing_labels(split, self.labels):
                log.warning("%s has no crops of %s; its scores say nothing about them", name, ", ".join(absent))
        self.train_sampler = BalancedSampler(
            self.decoded["train"].labels_N.tolist(),
            power=self.sampler_power,
            seed=self.seed,
            overfit_indices=self.batch_size if self.overfit_batch else None,
        )

    def _index(self) -> dict[str, Split]:
        found = read_splits(self.root)
        index = select_illegible(found, self.illegible)
        if gone := {name: count for name in SPLITS if (count := len(found[name]) - len(index[name]))}:
            counts = ", ".join(f"{count} of {name}" for name, count in gone.items())
            log.info("data.illegible=%s leaves out illegible crops: %s", self.illegible, counts)
        if self.supplement is not None:
            with rank_zero_first():
                self.supplement.generate(index["train"])
            index["train"] = self.supplement.added_to(index["train"])
        return index

    def _crops(self, index: Mapping[str, Split]) -> dict[str, DecodedCrops]:
        preprocessing = Preprocessing(resize=self._resize_array, size_px=self.size_px, settings=self.resize_mode)
        folder = None if self.cache is None else self.root / self.cache
        if folder is None and (count := world_size()) > 1:
            log.warning("each of %d processes decodes all crops; data.cache lets those of a machine share", count)
        return {name: load_crops(split.paths, preprocessing, name=name, folder=folder) for name, split in index.items()}

    def _keep(self, split: Split, crops: DecodedCrops) -> None:
        """A split as it is from here on: the rows of its crops, and those it goes without."""
        name = split.name
        self.splits[name] = drop_rows(split, crops.bad)
        self.skipped[name] = [Skipped(split.labels[row], problem) for row, problem in crops.bad.items()]
        if crops.bad:
            some = summarize_bad([*crops.bad.values()])
            log.warning("%s goes without %d of its %d images: %s", name, len(crops.bad), len(split), some)
        index_of = {**self.labels.class_to_idx, ILLEGIBLE: ILLEGIBLE_INDEX}
        class_indices = [index_of[label] for label in self.splits[name].labels]
        self.image_meta[name] = crops.image_meta_N
        self.decoded[name] = InMemorySplit(torch.from_numpy(crops.images_NCHW), torch.tensor(class_indices))

    @property
    def class_counts(self) -> list[int]:
        """Train crops of each class, in label order."""
        counts = self.splits["train"].counts()
        return [counts.get(name, 0) for name in self.labels.names]

    def _resize_array(self, image_hwC: np.ndarray) -> np.ndarray:
        image_Chw = torch.from_numpy(image_hwC).permute(2, 0, 1)
        height_px, width_px = self.size_px
        if image_Chw.shape[1:] == (height_px, width_px):
            return image_Chw.numpy()  # what `resize` would return, without its arithmetic
        return resize(image_Chw[None], height_px=height_px, width_px=width_px, mode=self.resize_mode)[0].numpy()

    def train_dataloader(self) -> BatchLoader:
        size, wanted = len(self.decoded["train"]), self.batch_size
        if size < wanted:
            raise UserError(f"data.batch_size={wanted} is more than the {size} train crops in {self.root}; lower it")
        if sentence := uneven_share(self.batch_size, world_size()):
            raise UserError(sentence)
        # A last batch of one or two crops would give batch normalization a useless estimate.
        self._train = self._batches("train", self.train_sampler, batch_size=self.batch_size, drop_last=True)
        if self._resumed is not None:
            self._train.load_state_dict(self._resumed)
            self._resumed = None  # another fit begins at the beginning
        return self._train

    def state_dict(self) -> dict[str, int]:
        """How far the epoch has come. Lightning asks the loader too, but makes it before it looks at a checkpoint."""
        return self._train.state_dict() if self._train else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """For the next train loader."""
        self._resumed = state_dict

    def val_dataloader(self) -> BatchLoader:
        return self._batches("val", SequentialSampler(self.decoded["val"]), batch_size=self.eval_batch_size)

    def test_dataloader(self) -> BatchLoader:
        return self._batches("test", SequentialSampler(self.decoded["test"]), batch_size=self.eval_batch_size)

    def _batches(self, name: str, sampler: Sampler[int], *, batch_size: int, drop_last: bool = False) -> BatchLoader:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        share = {"rank": rank(), "processes": world_size()}
        return BatchLoader(
            self.decoded[name], sampler, batch_size=batch_size, device=device, drop_last=drop_last, **share
        )
