"""Makes the pretrained reader of the package from the model.onnx of a run.

    python -m jersey.cli.package_reader runs/reader/RUN
    python -m jersey.cli.package_reader runs/resnet18_finetune/RUN --out=small.onnx

The weights are stored as float16, see `jersey.export.float16_weights`. The file is written only if it is small enough
for the package, and if its predictions on the run's val and test crops are those of the run's model.onnx. A model is
replaced only by one with the same labels, so the reader of all 101 numbers stays one.
"""

import json
from dataclasses import asdict
from pathlib import Path

from jersey.core.atomic import atomic_write
from jersey.core.command_line import parser_for
from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error, plural
from jersey.core.model_file import READER
from jersey.data.files import images_below, is_folder
from jersey.export.float16_weights import Agreement, compare, write_float16_weights
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import load

MAX_BYTES = 24_000_000
MIN_AGREEMENT = 0.999
MAX_DIFFERENCE = 0.01  # of a probability; thresholds of confidences stay valid


def package(run: Path, root: str | None = None, out: str = "jersey/inference/reader.onnx") -> None:
    """Writes the file, and prints one line of JSON with its size and its agreement with float32.

    Args:
        run: folder of a finished run, such as runs/reader/20261121-101500.
        root: folder of the run's crops, such as data/reader; by default the run's own `root`.
        out: file to write, whose folder exists, such as small.onnx.

    Raises:
        UserError: there is no such run, folder or crop, or the file does not meet the conditions.
    """
    _, config = load(run)
    folder, path = Path(root or config.data.root), Path(out)
    crops = [crop for split in ("val", "test") for crop in images_below(folder / split)]
    if not crops:
        raise UserError(f"{folder} has no image in val and test; pass the folder of the run's crops with --root")
    if not is_folder(path.parent):
        raise UserError(f"there is no folder {path.parent} to write {path.name} to; run this in the checkout of jersey")
    _require_same_labels(run, path)
    with atomic_write(path) as temporary:
        write_float16_weights(run / "model.onnx", temporary)
        size_bytes = temporary.stat().st_size
        if size_bytes > MAX_BYTES:
            what = f"{size_bytes / 1e6:.1f} MB, and the package holds at most {MAX_BYTES / 1e6:.0f} MB"
            raise UserError(f"the file of {run} would have {what}; train a smaller network")
        found = compare(run / "model.onnx", temporary, crops)
        _check(found, run)
    print(json.dumps({"file": str(path), "bytes": size_bytes, **asdict(found)}))


def _require_same_labels(run: Path, out: Path) -> None:
    """Raises a UserError if the run's model has other labels than the model that it would replace."""
    if not out.exists() and out.absolute() != READER:
        return
    old, new = OnnxModel(out).labels, OnnxModel(run / "model.onnx").labels
    if new != old:
        raise UserError(
            f"{out} is a model of {plural(len(old), 'label')}, and the {plural(len(new), 'label')} of {run} are not "
            f"the same; write another file with --out, such as --out={run.name}.onnx"
        )


def _check(found: Agreement, run: Path) -> None:
    """Raises a UserError if the rounding changes predictions; a difference of NaN does so too."""
    if not (found.agreement >= MIN_AGREEMENT and found.max_difference <= MAX_DIFFERENCE):
        raise UserError(
            f"with float16 weights, {run} has the same likeliest number on {100 * found.agreement:.2f} % of "
            f"{plural(found.crops, 'crop')} and probabilities that differ by up to {found.max_difference:.3g}, and "
            f"{100 * MIN_AGREEMENT:.1f} % and {MAX_DIFFERENCE:g} are required; choose another run"
        )


def main() -> None:
    """Runs the command."""
    with exit_on_user_error():
        set_up_console()
        package(**vars(parser_for("jersey.cli.package_reader", __doc__, package).parse_args()))


if __name__ == "__main__":
    main()
