"""What was read on every crop of a split, crop by crop, so that runs can be compared on the same crops.

Shapes: N crops of the split, K classes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from lightning.pytorch import Trainer

from jersey.callbacks.after_evaluation import AfterEvaluation, Subset
from jersey.core.tables import write_csv
from jersey.evaluation.ranked import Readings

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule
    from jersey.training.module import JerseyModule

HEADER = ("file", "bytes", "true number", "read as", "confidence", "probability of the truth", "rank of the truth")


class PredictionsTable(AfterEvaluation):
    """Writes `predictions_val.csv` (the latest) and `predictions_test.csv` into `trainer.default_root_dir`.

    A row a crop, in the order of the split: its file below the data's root, the size of the file (which gives away
    another image under the same name), the true number, what was read, its probability, the probability of the true
    number and the rank of that, 1 where it was read right. `python -m jersey.compare` reads the table of the test.
    """

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        evaluation, names = module.evaluations[subset], module.labels.names
        data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `fit` and `test`
        readings = Readings(evaluation, names)
        truth_N1 = evaluation.labels_N[:, None]
        true_probability_N = evaluation.probabilities_NK.gather(1, truth_N1)[:, 0].tolist()
        rank_N = (1 + (readings.ranked_NK == truth_N1).int().argmax(dim=1)).tolist()
        confidence_N, read_N = readings.confidence_N.tolist(), readings.ranked_NK[:, 0].tolist()
        rows = []
        for row in evaluation.indices_N.argsort().tolist():
            path = data.splits[subset].paths[evaluation.indices_N[row]]
            file, true = path.relative_to(data.root).as_posix(), names[evaluation.labels_N[row]]
            scores = (confidence_N[row], true_probability_N[row], rank_N[row])
            rows.append((file, _size(path), true, names[read_N[row]], *scores))
        write_csv(Path(trainer.default_root_dir) / f"predictions_{subset}.csv", HEADER, rows)


def _size(path: Path) -> int | str:
    """In bytes; empty for a file that has gone since it was decoded, which should not stop a run at its end."""
    try:
        return path.stat().st_size
    except OSError:
        return ""
