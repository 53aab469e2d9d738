"""The state that the parts of a run share during training, so that no part has to find another one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lightning.pytorch import Trainer

from jersey.runs.checkpoints import BackgroundCheckpointIO


@dataclass
class RunState:
    """The shared state of one run, created with the module and passed to the `join` method of every part.

    Attributes:
        eval_weights: weights that are validated, tested and exported: "raw" or "ema".
        freezes_weights: whether some weights are without a gradient for a while, which DDP must know from the start.
        monitor: metric that selects the best epoch, or "" for none.
        mode: whether the "max" or the "min" of the monitored metric is best.
        is_loss_broken: function of the trainer that is called before a checkpoint is written; True prevents the write.
        record: function that is called with an epoch's metrics and step before its checkpoint is written.
        log_image: function that is called with the name of every image, the image, its `step`, `epoch` and `subset`.
        checkpoint_io: writer of checkpoints.
    """

    eval_weights: Literal["raw", "ema"] = "raw"
    freezes_weights: bool = False
    monitor: str = ""
    mode: str = "max"
    is_loss_broken: Callable[[Trainer], bool] = lambda trainer: False
    record: Callable[[Mapping[str, float], int], None] = lambda metrics, step: None
    log_image: Callable[..., None] = lambda name, image, **where: None
    checkpoint_io: BackgroundCheckpointIO = field(default_factory=BackgroundCheckpointIO)

    def __deepcopy__(self, memo: dict[int, Any]) -> "RunState":
        """Returns itself, because a copy of the module, such as the EMA module, belongs to the same run."""
        return self


def join_all(parts: Iterable[object], run: RunState) -> None:
    """Calls `join(run)` of each callback and logger that has this method."""
    for part in parts:
        if hasattr(part, "join"):
            part.join(run)
