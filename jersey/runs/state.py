"""The state that the parts of a run share during training, so that no part has to find another one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lightning.pytorch import Trainer

from jersey.runs.checkpoints import BackgroundCheckpointIO


@dataclass
class ReportSections:
    """The sections that callbacks add to the report of a run.

    Attributes:
        sections: title and content of each section, in their order.
    """

    sections: list[tuple[str, Any]] = field(default_factory=list)

    def add(self, title: str, content: Any) -> None:
        """Adds a section, which appears in the report and in Aim. Call it after the test: a resumed run tests again.

        Args:
            title: heading of the section.
            content: a PIL image, a matplotlib figure, a table as (header, rows), or a function that returns one.
        """
        self.sections.append((title, content))


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
        log_step: function that is called with the metrics of a step, and its index.
        step_metrics: latest metrics by step, by name.
        log_distribution: function that is called with the name and the counts of a histogram, and where it belongs.
        log_text: function that is called with the name of a text for Aim, and the text.
        report: sections that callbacks add to the report.
        checkpoint_io: writer of checkpoints.
    """

    eval_weights: Literal["raw", "ema"] = "raw"
    freezes_weights: bool = False
    monitor: str = ""
    mode: str = "max"
    is_loss_broken: Callable[[Trainer], bool] = lambda trainer: False
    record: Callable[[Mapping[str, float], int], None] = lambda metrics, step: None
    log_image: Callable[..., None] = lambda name, image, **where: None
    log_step: Callable[[Mapping[str, float], int], None] = lambda metrics, step: None
    step_metrics: Mapping[str, float] = field(default_factory=dict)
    log_distribution: Callable[..., None] = lambda name, counts_B, **where: None
    log_text: Callable[[str, str], None] = lambda name, text: None
    report: ReportSections = field(default_factory=ReportSections)
    checkpoint_io: BackgroundCheckpointIO = field(default_factory=BackgroundCheckpointIO)

    def __deepcopy__(self, memo: dict[int, Any]) -> "RunState":
        """Returns itself, because a copy of the module, such as the EMA module, belongs to the same run."""
        return self


def join_all(parts: Iterable[object], run: RunState) -> None:
    """Calls `join(run)` of each callback and logger that has this method."""
    for part in parts:
        if hasattr(part, "join"):
            part.join(run)
