"""Returns the parts that experiments share, one function per part; an experiment changes the values that differ."""

import fiddle as fdl
from lightning.pytorch.callbacks import EarlyStopping

from jersey.augment.base import Augment
from jersey.augment.color import Color, Noise
from jersey.augment.geometry import Geometry
from jersey.callbacks.checkpoints import RunCheckpoint
from jersey.callbacks.data_statistics import DatasetStatistics, SamplerDistribution
from jersey.callbacks.distributions import Distributions
from jersey.callbacks.ema import EMA
from jersey.callbacks.grids import GradCam, InputGrid, PredictionGrid
from jersey.callbacks.monitoring import LearningRate, LossScale, ProgressBar, StopOnNonFinite
from jersey.callbacks.step_metrics import StepMetrics
from jersey.callbacks.tables import ConfusionMatrix, DigitErrors, PerClassTable, PredictionsTable
from jersey.callbacks.training_curves import TrainingCurves
from jersey.data.datamodule import JerseyDataModule
from jersey.experiment import Experiment
from jersey.models.heads import CompositionalHead
from jersey.models.network import classifier
from jersey.training.losses import CrossEntropy
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.schedules import warmup_cosine
from jersey.training.trainer import callback_dict, make_trainer

MONITOR = "val/acc_top1"  # decides about the best epoch and about early stopping


def base() -> fdl.Config[Experiment]:
    """Returns a ResNet-18 with ImageNet weights at 224 px, class-balanced sampling and evaluation of EMA weights."""
    return fdl.Config(Experiment, data=data(), module=module(), trainer=trainer(), seed=0)


def data() -> fdl.Partial[JerseyDataModule]:
    """Returns the data module of the crops under `data.root`."""
    return fdl.Partial(
        JerseyDataModule,
        root="data/jerseys",
        size_px=(224, 224),
        resize_mode="stretch",
        batch_size=64,
        eval_batch_size=256,
        sampler_power=0.5,
        cache=".decoded",
        labels=None,
        on_bad_image="error",
        illegible="train",
    )


def module() -> fdl.Partial[JerseyModule]:
    """Returns the network, its loss, optimizer, schedule and augmentation."""
    return fdl.Partial(
        JerseyModule,
        network=fdl.Partial(classifier, architecture="resnet18", weights="imagenet", head=head()),
        optimizer=fdl.Partial(adamw, lr=1e-4, weight_decay=0.05, backbone_lr_scale=1.0),
        schedule=fdl.Partial(warmup_cosine, warmup_frac=0.2, final_frac=0.01),
        loss=fdl.Config(CrossEntropy, label_smoothing=0.05),
        augment=augment(),
        class_weight_power=0.0,
    )


def head() -> fdl.Partial[CompositionalHead]:
    """Returns a head of digits and whole numbers, which is better on rare numbers and can predict unseen ones."""
    return fdl.Partial(CompositionalHead, holistic_scale=0.5)


def augment() -> fdl.Config[Augment]:
    """Returns weak geometric and strong color augmentation, because the shape of the digits carries the label."""
    return fdl.Config(
        Augment,
        geometry=fdl.Config(Geometry, rotation_deg=12.0, shear_deg=6.0, scale=0.15, shift=0.08, perspective=0.1),
        color=fdl.Config(Color, brightness=0.3, contrast=0.3, saturation=0.3, channel_swap_p=0.3),
        noise=fdl.Config(Noise, std=0.03),
    )


def mild_augment() -> fdl.Config[Augment]:
    """Returns weaker augmentation, for runs that are too short to learn from strong changes."""
    return fdl.Config(
        Augment,
        geometry=fdl.Config(Geometry, rotation_deg=8.0, shear_deg=4.0, scale=0.1, shift=0.06),
        color=fdl.Config(Color, brightness=0.2, contrast=0.2, saturation=0.2, channel_swap_p=0.3),
    )


def trainer() -> fdl.Partial[make_trainer]:
    """Returns the trainer and its callbacks."""
    return fdl.Partial(make_trainer, callbacks=callbacks(), epochs=30, precision="auto", clip_norm=1.0, accumulate=1)


def callbacks() -> fdl.Config[callback_dict]:
    """Returns the callbacks by name, so that an override can change or remove each of them."""
    return fdl.Config(
        callback_dict,
        ema=fdl.Config(EMA, decay=0.99, every_steps=4),
        early_stopping=fdl.Config(EarlyStopping, monitor=MONITOR, mode="max", patience=10),
        dataset=fdl.Config(DatasetStatistics),
        sampler=fdl.Config(SamplerDistribution),
        input_grid=fdl.Config(InputGrid),
        lr_monitor=fdl.Config(LearningRate),
        step_metrics=fdl.Config(StepMetrics),
        loss_scale=fdl.Config(LossScale),
        stop_on_non_finite=fdl.Config(StopOnNonFinite, max_steps=3),
        confusion_matrix=fdl.Config(ConfusionMatrix),
        distributions=fdl.Config(Distributions),
        digit_errors=fdl.Config(DigitErrors),
        per_class=fdl.Config(PerClassTable),
        prediction_grid=fdl.Config(PredictionGrid),
        predictions_csv=fdl.Config(PredictionsTable),
        grad_cam=fdl.Config(GradCam),
        training_curves=fdl.Config(TrainingCurves),
        progress=fdl.Config(ProgressBar),
        checkpoints=fdl.Config(RunCheckpoint, monitor=MONITOR, mode="max", every_minutes=5.0),
    )
