"""What the errors of a split look like digit by digit, after every validation and after the test."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from lightning.pytorch import Trainer

from jersey.callbacks.after_evaluation import AfterEvaluation, Subset
from jersey.callbacks.picture import moment, publish
from jersey.core.tables import write_csv
from jersey.evaluation.digit_errors import digit_confusions, error_type, errors_by_type, examples, total
from jersey.evaluation.ranked import Readings

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule
    from jersey.training.module import JerseyModule


class DigitErrors(AfterEvaluation):
    """Writes two tables and a picture into `trainer.default_root_dir`, of the latest validation and of the test.

    `digit_errors_<subset>.csv` has a row a type of error (see `jersey.evaluation.digit_errors`): crops, their share of
    the split, examples. `mistakes_<subset>.csv` has a row a misread crop, the most confident first.
    `digit_errors_<subset>.png` shows the types, and which digit was read as which; it also goes to Aim.
    """

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        from jersey.plots.matrices import digit_errors

        names, counts_KK = module.labels.names, module.evaluations[subset].confusion_KK.numpy()
        errors, places, crops = errors_by_type(counts_KK, names), digit_confusions(counts_KK, names), counts_KK.sum()
        rows = [(kind, total(of_kind), total(of_kind) / crops, examples(of_kind)) for kind, of_kind in errors.items()]
        folder = Path(trainer.default_root_dir)
        write_csv(folder / f"digit_errors_{subset}.csv", ("type", "count", "share", "examples"), rows)
        _write_mistakes(folder / f"mistakes_{subset}.csv", trainer, module, subset)
        image = digit_errors(errors, places, crops=int(crops), title=moment(trainer, subset))
        publish(trainer, image, "digit_errors", subset=subset)


def _write_mistakes(path: Path, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
    evaluation, names = module.evaluations[subset], module.labels.names
    readings = Readings(evaluation, names)
    data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `fit` and `test`
    rows = []
    for row in readings.surest_mistakes().tolist():
        file = data.splits[subset].paths[evaluation.indices_N[row]]
        true, read = names[evaluation.labels_N[row]], names[readings.ranked_NK[row, 0]]
        rows.append((file, true, read, f"{readings.confidence_N[row]:.4f}", error_type(true, read)))
    write_csv(path, ("file", "true number", "read as", "confidence", "error"), rows)
