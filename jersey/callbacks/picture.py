"""Where a picture goes: into the run folder as a PNG file, and into Aim as one of a sequence."""

from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from jersey.core.atomic import replacing
from jersey.runs.aim import find_tracker


def publish(trainer: Trainer, image: Image.Image, name: str, *, subset: str) -> None:
    """Keeps a picture of a subset as `<name>_<subset>.png`, the latest, and all of them in Aim, beside the metrics."""
    save(trainer, image, f"{name}_{subset}")
    is_fitting = trainer.state.fn == TrainerFn.FITTING
    # A validation outside fit repeats an epoch that is already there.
    if is_fitting or subset == "test":
        # In fit Lightning logs an epoch's metrics at the step before the one that it counts by then.
        step = max(trainer.global_step - 1, 0) if is_fitting else trainer.global_step
        track(trainer, image, name, step=step, subset=subset)


def save(trainer: Trainer, image: Image.Image, name: str) -> None:
    """Puts a picture into the run folder, as `<name>.png`, in place of an earlier one."""
    with replacing(Path(trainer.default_root_dir) / f"{name}.png") as temporary:
        image.save(temporary, format="PNG")


def track(trainer: Trainer, image: Image.Image, name: str, *, step: int, subset: str | None = None) -> None:
    """Gives a picture to Aim, where there is one; what was there under this name and step is replaced."""
    tracker = find_tracker(trainer)
    if tracker is not None:
        tracker.log_image(name, image, step=step, epoch=trainer.current_epoch, subset=subset)


def moment(trainer: Trainer, subset: str) -> str:
    """For a picture's title: "val, epoch 3" during fit, else "test"."""
    return f"{subset}, epoch {trainer.current_epoch}" if trainer.state.fn == TrainerFn.FITTING else subset
