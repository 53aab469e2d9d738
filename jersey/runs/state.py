"""What the parts of a run tell each other while it trains, so that no part has to look for another one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lightning.pytorch import Trainer

from jersey.runs.checkpoints import BackgroundCheckpointIO


@dataclass
class RunState:
    """One for each run: made with the module, and handed by the trainer to every part that wants to `join`.

    Attributes:
        eval_weights: the weights that are validated, tested and exported: the raw ones, or their average.
        freezes_weights: whether some weights have no gradient in a part of the run, which DDP has to know at its start.
        monitor: the metric that says which epoch is best, or "" where nothing does.
        mode: whether "max" or "min" of it is best.
        is_loss_broken: called before a checkpoint is written; where it returns True, none is.
        record: gets an epoch's metrics and step before its checkpoint is written.
        log_image: gets every picture, with its `step`, `epoch` and `subset`.
        checkpoint_io: writes the checkpoints.
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
        """Returns itself: a copy of the module, such as its average, belongs to the same run."""
        return self


def join_all(parts: Iterable[object], run: RunState) -> None:
    """Calls `join(run)` of each callback and logger that has it; those of Lightning's own have nothing to say."""
    for part in parts:
        if hasattr(part, "join"):
            part.join(run)
