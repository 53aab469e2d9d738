"""What becomes of the crops on which nobody can read a number.

Trained, such a crop's target is the uniform distribution over the labels: the network is to be unsure of it (as in
https://arxiv.org/abs/1711.09325), and not to know one label more, so that its confidence tells such crops from others.
Scored, it has a part in no score but `auroc_readable` (see `jersey.evaluation.metrics`).
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from jersey.data.index import Split

log = logging.getLogger(__name__)

Unreadable = Literal["train", "score", "drop"]


def as_used(splits: Mapping[str, "Split"], unreadable: Unreadable) -> dict[str, "Split"]:
    """The splits with their unreadable crops, or without them: "train" keeps all, "score" those of val and test."""
    return {name: split.readable() if _is_left_out(name, unreadable) else split for name, split in splits.items()}


def tell_left_out(splits: Mapping[str, "Split"], unreadable: Unreadable) -> None:
    """Logs how many crops `as_used` leaves out, where there are some."""
    left_out = [split for name, split in splits.items() if split.unreadable and _is_left_out(name, unreadable)]
    if left_out:
        counts = ", ".join(f"{split.unreadable} of {split.name}" for split in left_out)
        log.info("data.unreadable=%s leaves out unreadable crops: %s", unreadable, counts)


def _is_left_out(name: str, unreadable: Unreadable) -> bool:
    return unreadable == "drop" or (unreadable == "score" and name == "train")
