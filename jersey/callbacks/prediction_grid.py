"""Crops that the network read right, was sure of and wrong, and was least sure of, as one picture.

Shapes: N crops of the split with a label, M <= N chosen rows, U unreadable ones, H W size.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from lightning.pytorch import Trainer
from torch import Tensor

from jersey.callbacks.after_evaluation import AfterEvaluation, Subset
from jersey.callbacks.picture import moment, publish
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.ranked import Readings, spread

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule
    from jersey.plots.image_grid import Tile
    from jersey.training.module import JerseyModule


class PredictionGrid(AfterEvaluation):
    """Writes `predictions_val.png` (the latest) and `predictions_test.png`, and adds them to Aim as `predictions`.

    Of the unreadable crops, where there are some, it shows those that were read with most confidence.

    Args:
        crops: how many to show of each kind, at most.
    """

    def __init__(self, *, crops: int = 10) -> None:
        self.crops = crops

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        from jersey.plots.image_grid import Section, image_grid

        evaluation = module.evaluations[subset]
        readings = Readings(evaluation, module.labels.names)
        data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `fit` and `test`
        images_NCHW = data.decoded[subset].images_NCHW
        right_M, wrong_M, unsure_M = readings.right(), readings.surest_mistakes(), readings.least_sure()
        kinds = [
            ("read right, from all over the split", right_M, spread(right_M, self.crops)),
            ("read wrong, the surest first", wrong_M, wrong_M[: self.crops]),
            ("least sure, mistakes framed", unsure_M, unsure_M[: self.crops]),
        ]
        sections = [
            Section(kind, _tiles(shown_M, readings, images_NCHW), out_of=len(all_M)) for kind, all_M, shown_M in kinds
        ]
        if evaluation.unreadable:
            tiles = _unreadable_tiles(evaluation, readings.names, images_NCHW, self.crops)
            sections.append(Section("unreadable, the surest first", tiles, out_of=evaluation.unreadable))
        title = f"{moment(trainer, subset)}: {len(right_M)} of {len(unsure_M)} crops read right"
        publish(trainer, image_grid(title, sections, columns=10), "predictions", subset=subset)


def _tiles(rows_M: Tensor, readings: Readings, images_NCHW: Tensor) -> "list[Tile]":
    from jersey.plots.image_grid import Tile

    images_MHW3 = images_NCHW[readings.evaluation.indices_N[rows_M]].permute(0, 2, 3, 1).numpy()
    return [
        Tile([image_HW3], readings.caption(row), is_marked=not readings.is_right_N[row])
        for image_HW3, row in zip(images_MHW3, rows_M.tolist(), strict=True)
    ]


def _unreadable_tiles(evaluation: Evaluation, names: Sequence[str], images_NCHW: Tensor, most: int) -> "list[Tile]":
    from jersey.plots.image_grid import Tile

    confidence_U, read_U = evaluation.unreadable_confidence_U, evaluation.unreadable_logits_UK.argmax(dim=1).tolist()
    return [
        Tile(
            [images_NCHW[evaluation.unreadable_indices_U[row]].permute(1, 2, 0).numpy()],
            (f"{confidence_U[row]:.1%} for {names[read_U[row]]}", ILLEGIBLE_NAME),
        )
        for row in confidence_U.argsort(descending=True, stable=True)[:most].tolist()
    ]
